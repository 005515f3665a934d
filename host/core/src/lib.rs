//! The pure part of llem: studies, schedules, statistics, energy arithmetic and stream decoding.
//!
//! Nothing here reads a clock, a file, the environment or a global random state, starts a thread or
//! awaits anything: times and seeds are arguments, and the same input gives the same output on every
//! machine.

pub mod account;
pub mod arrival;
pub mod backend;
pub mod breaker;
pub mod energy;
pub mod event;
pub mod flops;
pub mod journal;
pub mod latency;
pub mod model;
pub mod record;
pub mod repeat;
pub mod schedule;
pub mod search;
pub mod server;
pub mod shard;
pub mod sse;
pub mod stats;
pub mod steady;
pub mod study;
pub mod units;
pub mod workload;
