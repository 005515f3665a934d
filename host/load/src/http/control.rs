//! What others may know of a running load, and what they may tell it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const ABORT: u8 = 2;

/// Shared between a load and its caller. A load notices an order within 100 ms.
#[derive(Debug, Default)]
pub struct Control {
    order: AtomicU8,
    dispatched: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    output_tokens: AtomicU64,
    first_token_ns: AtomicU64,
    first_tokens: AtomicU64,
}

/// Counters of a load at one moment, for progress and steady-state detection. Results come from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests sent.
    pub dispatched: u64,
    /// Requests answered in full.
    pub completed: u64,
    /// Requests that ended otherwise.
    pub failed: u64,
    /// Output tokens seen, as far as can be told before a stream ends.
    pub output_tokens: u64,
    /// Requests that have their first token.
    pub first_tokens: u64,
    /// Sum over those of the time from schedule to first token, in nanoseconds.
    pub time_to_first_token_sum_ns: u64,
}

impl Progress {
    /// Requests sent and not ended.
    pub fn in_flight(&self) -> u64 {
        self.dispatched.saturating_sub(self.completed + self.failed)
    }
}

impl Control {
    /// A control for one load.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new requests; those in flight are followed to their end.
    pub fn drain(&self) {
        self.order.fetch_max(DRAIN, Relaxed);
    }

    /// Ends at once; requests in flight are logged as cancelled.
    pub fn abort(&self) {
        self.order.fetch_max(ABORT, Relaxed);
    }

    /// The counters now.
    pub fn progress(&self) -> Progress {
        // The ends are read before the starts, so that nothing seems to end before it began.
        let (completed, failed) = (self.completed.load(Relaxed), self.failed.load(Relaxed));
        Progress {
            completed,
            failed,
            dispatched: self.dispatched.load(Relaxed),
            output_tokens: self.output_tokens.load(Relaxed),
            first_tokens: self.first_tokens.load(Relaxed),
            time_to_first_token_sum_ns: self.first_token_ns.load(Relaxed),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.order.load(Relaxed) != RUN
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.order.load(Relaxed) == ABORT
    }

    pub(super) fn count_dispatch(&self) {
        self.dispatched.fetch_add(1, Relaxed);
    }

    pub(super) fn count_tokens(&self, tokens: u32) {
        self.output_tokens.fetch_add(u64::from(tokens), Relaxed);
    }

    pub(super) fn count_first_token(&self, after_ns: u64) {
        self.first_tokens.fetch_add(1, Relaxed);
        self.first_token_ns.fetch_add(after_ns, Relaxed);
    }

    pub(super) fn count_end(&self, is_completed: bool) {
        let counter = if is_completed { &self.completed } else { &self.failed };
        counter.fetch_add(1, Relaxed);
    }
}
