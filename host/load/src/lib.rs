//! Traffic for llem: requests over HTTP, batches over a worker's pipes, metrics pages read at intervals.
//!
//! Everything here touches the world and puts its times on one clock, [`clock::now_ns`]. What the
//! times mean is computed by `llem_core::latency` from the [`RequestLog`](llem_core::latency::RequestLog)
//! that both ways to drive an engine return. Nothing here starts or stops an engine, decides when a
//! window opens, or prints.
//!
//! # A server under load
//!
//! One thread drives all streams; the caller watches its counters, opens windows by time and tells it
//! to stop. The log covers the whole run, ramp and drain included, so a window is a matter of
//! arithmetic afterwards:
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use llem_core::{arrival::Arrival, latency::{Window, window_metrics}};
//! use llem_core::workload::{Form, Length, Synthetic, Workload};
//! use llem_load::{clock, http::{self, Control, Plan, Protocol}, target::Target};
//!
//! let workload = Workload::Synthetic(Synthetic {
//!     vocabulary: 1000..30_000,
//!     input_tokens: Length::Exact(256),
//!     output_tokens: Length::Exact(128),
//!     shared_prefix_tokens: 0,
//!     form: Form::TokenIds,
//!     seed: 42,
//! });
//! let target = Target::parse("http://127.0.0.1:8000/v1")?;
//! let plan = Plan::new(target, Protocol::OpenAiCompletions, "model", workload, Arrival::ClosedLoop { concurrency: 64 });
//! let control = Arc::new(Control::new());
//! let running = http::spawn(plan, Arc::clone(&control))?;
//! // Warm-up, until the caller is satisfied with `control.progress()` and the power it sees.
//! let from_ns = clock::now_ns();
//! std::thread::sleep(Duration::from_secs(30));
//! let window = Window { from_ns, to_ns: clock::now_ns() };
//! control.drain(); // nothing new; requests in flight are followed to their end
//! let log = running.join()?;
//! let metrics = window_metrics(&log, window, None, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A worker over pipes
//!
//! [`batch::BatchSession`] speaks `llem-batch/1` to whatever is at the other end of a reader and a
//! writer, such as a child's standard output and input.
//!
//! # Questions beside the load
//!
//! [`probe::probe`] makes one request and waits: readiness, inspections. [`scrape::Scraper`] reads a
//! Prometheus page at intervals.

pub mod batch;
pub mod clock;
pub mod http;
pub mod probe;
pub mod prometheus;
mod response;
pub mod scrape;
pub mod target;
pub mod tls;
