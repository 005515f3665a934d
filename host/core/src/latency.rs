//! From token times to latencies, throughputs and goodput of a window.
//!
//! Everything is a function of the request log and the window's bounds, so that it can be computed
//! again from a stored log, for other windows and other objectives. Measures nothing itself.

mod distribution;
mod log;
#[cfg(test)]
mod simulation;
mod slo;
mod spread;
mod window;

pub use distribution::{Distribution, Estimate};
pub use log::{CpuSample, EngineStep, Request, RequestLog, Status};
pub use slo::{Slo, SloVerdict};
pub use spread::{Latency, at_shares};
pub use window::{
    ClientVerdict, Throughput, Window, WindowMetrics, judge, tokens_received, window_metrics,
};
