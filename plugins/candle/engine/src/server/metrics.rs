//! Counters of the server and their Prometheus text. Measures no time and no power.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    arithmetic::{count, double},
    engine::cached_positions,
    scheduler::Scheduler,
};

/// A number that handlers and the engine's thread share.
#[derive(Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    /// Adds to it.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Metrics {
    running: Number,
    waiting: Number,
    cached: Number,
    capacity: Number,
    /// Prompt tokens processed.
    pub(crate) prompt_tokens: Number,
    /// Output tokens made.
    pub(crate) generation_tokens: Number,
    /// Requests that ended with an end token.
    pub(crate) stopped: Number,
    /// Requests that ended with their last wanted token.
    pub(crate) full_length: Number,
    /// Requests whose client went away.
    pub(crate) aborted: Number,
    /// Requests that failed.
    pub(crate) failed: Number,
}

impl Metrics {
    /// Notes how many sequences there are and what they keep.
    pub(crate) fn observe(&self, scheduler: &Scheduler) {
        self.running.set(count(scheduler.running().len()));
        self.waiting.set(count(scheduler.waiting()));
        self.cached.set(cached_positions(scheduler));
        self.capacity.set(count(scheduler.capacity()));
    }

    /// Returns the Prometheus text.
    pub(crate) fn text(&self) -> String {
        let (cached, capacity) = (self.cached.get(), self.capacity.get().max(1));
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
            let lines = values.iter().fold(String::new(), |mut lines, (labels, value)| {
                writeln!(lines, "candle:{name}{labels} {value}")
                    .expect("a string takes everything");
                lines
            });
            write!(text, "# HELP candle:{name} {help}\n# TYPE candle:{name} {kind}\n{lines}")
                .expect("a string takes everything");
        };
        let number = |number: &Number| [("", double(number.get()))];
        metric("num_requests_running", "gauge", "Sequences that compute.", &number(&self.running));
        metric(
            "num_requests_waiting",
            "gauge",
            "Sequences that wait for room.",
            &number(&self.waiting),
        );
        let used = [("", double(cached) / double(capacity))];
        metric(
            "kv_cache_usage_ratio",
            "gauge",
            "Positions in the caches over those that fit.",
            &used,
        );
        metric(
            "prompt_tokens_total",
            "counter",
            "Prompt tokens processed.",
            &number(&self.prompt_tokens),
        );
        metric(
            "generation_tokens_total",
            "counter",
            "Output tokens made.",
            &number(&self.generation_tokens),
        );
        let ends = [
            (r#"{finished_reason="stop"}"#, double(self.stopped.get())),
            (r#"{finished_reason="length"}"#, double(self.full_length.get())),
            (r#"{finished_reason="abort"}"#, double(self.aborted.get())),
            (r#"{finished_reason="error"}"#, double(self.failed.get())),
        ];
        metric("request_success_total", "counter", "Requests that ended, by reason.", &ends);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_metric_with_its_type() {
        let metrics = Metrics::default();
        metrics.generation_tokens.add(7);
        metrics.full_length.add(2);
        let text = metrics.text();
        assert!(
            text.contains(
                "# TYPE candle:generation_tokens_total counter\ncandle:generation_tokens_total 7\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("candle:request_success_total{finished_reason=\"length\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("candle:kv_cache_usage_ratio 0\n"), "{text}");
    }
}
