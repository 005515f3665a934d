//! What the two client programs of the comparison share: their arguments and their report.
//!
//! Measures nothing but the processor time of the process.

use std::{
    io::{self, Write},
    time::Duration,
};

use llem_core::latency::{RequestLog, Window, window_metrics};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// `URL STREAMS REQUESTS TOKENS [RATE]`.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// Base address of the server, such as `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// Streams at one time.
    pub streams: u32,
    /// Requests in all.
    pub requests: u64,
    /// Output tokens of each.
    pub tokens: u32,
    /// Requests a second; none is a closed loop.
    pub rate: Option<f64>,
}

impl Arguments {
    /// Reads the process's arguments; none where they are wrong.
    pub fn read() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        Some(Self {
            url: arguments.next()?,
            streams: arguments.next()?.parse().ok()?,
            requests: arguments.next()?.parse().ok()?,
            tokens: arguments.next()?.parse().ok()?,
            rate: arguments.next().and_then(|rate| rate.parse().ok()),
        })
    }
}

impl Arguments {
    /// The time over which the streams start, so that they do not stay in step.
    pub fn ramp_up(&self) -> Duration {
        Duration::from_micros(500) * self.streams
    }
}

/// Prints what a run gave as one line of JSON. The first request of each stream is the ramp and
/// counts for no latency.
pub fn report(client: &str, streams: u32, log: &RequestLog) -> io::Result<()> {
    let cpu_us = process_cpu_us();
    let ramp = usize::try_from(streams).unwrap_or(0).min(log.requests.len() / 2);
    let from_ns = log
        .requests
        .get(ramp)
        .map_or(log.started_ns, |request| request.scheduled_ns.saturating_sub(1));
    let metrics = window_metrics(log, Window { from_ns, to_ns: log.ended_ns }, None, 1);
    let tokens: u64 = log.requests.iter().filter_map(|request| request.output_tokens).sum();
    let completed = log.requests.iter().filter(|request| request.is_completed()).count();
    let milliseconds = |distribution: &Option<llem_core::latency::Distribution>| {
        distribution.as_ref().map(|distribution| {
            json!({"p50": distribution.p50.point * 1e3, "p99": distribution.p99.map(|p99| p99.point * 1e3)})
        })
    };
    let line = json!({
        "client": client,
        "requests": log.requests.len(),
        "completed": completed,
        "tokens": tokens,
        "cpu_us_per_token": cpu_us / f64::from(u32::try_from(tokens.max(1)).unwrap_or(u32::MAX)),
        "ttft_ms": milliseconds(&metrics.time_to_first_token),
        "itl_ms": milliseconds(&metrics.inter_token_latency),
        "dispatch_delay_ms": milliseconds(&metrics.client.dispatch_delay),
        "warnings": metrics.client.warnings,
    });
    writeln!(io::stdout(), "{line}")
}

fn process_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value: i64| Duration::from_nanos(u64::try_from(value).unwrap_or(0)).as_secs_f64();
    (part(time.tv_sec) * 1e9 + part(time.tv_nsec)) * 1e6
}
