//! What an engine did between two publications of the counter: work of each request by kind.
//!
//! Work of a step is spread evenly over its time. Nothing is fitted here.

use serde::{Deserialize, Serialize};

use super::nnls::{Row, WIDTH};
use crate::units::{Seconds, whole};

/// Names of the regressors, in their order.
pub(super) const NAMES: [&str; WIDTH] = [
    "prefill_token",
    "prefill_attention_token_pair",
    "decode_token",
    "decode_context_token",
    "request_second",
];
/// The regressors of prefill; the others but the last are of decode, and the last is of both.
pub(super) const PREFILL: [usize; 2] = [0, 1];

/// One step of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When it began.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// What it did for each request.
    pub shares: Vec<StepShare>,
}

/// What a step did for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepShare {
    /// The request, by its place in the caller's list.
    pub request: usize,
    /// Prompt tokens that were processed.
    pub prefill_tokens: u64,
    /// Tokens that were generated.
    pub decode_tokens: u64,
    /// Tokens of context before these.
    pub context_tokens: u64,
}

impl StepShare {
    fn row(&self, seconds: f64) -> Row {
        let (prefill, decode) = (whole(self.prefill_tokens), whole(self.decode_tokens));
        let context = whole(self.context_tokens);
        [prefill, prefill * (context + prefill / 2.0), decode, decode * context, seconds]
    }
}

/// The work of one request in one interval.
pub(super) struct Work {
    pub(super) request: usize,
    pub(super) row: Row,
}

/// The work in each interval between consecutive times.
pub(super) fn between(times_ns: &[u64], steps: &[Step]) -> Vec<Vec<Work>> {
    let mut intervals: Vec<Vec<Work>> = (1..times_ns.len()).map(|_| Vec::new()).collect();
    for step in steps {
        // A step that took no time by its clock still took some.
        let begin_ns = step.begin_ns.min(step.end_ns.saturating_sub(1));
        let length = Seconds::between(begin_ns, step.end_ns).get();
        let first = times_ns.partition_point(|&ns| ns <= begin_ns).saturating_sub(1);
        for (interval, works) in intervals.iter_mut().enumerate().skip(first) {
            if times_ns[interval] >= step.end_ns {
                break;
            }
            let begin = begin_ns.max(times_ns[interval]);
            let end = step.end_ns.min(times_ns[interval + 1]);
            let part = Seconds::between(begin, end).get() / length;
            if part > 0.0 {
                works.extend(step.shares.iter().map(|share| Work {
                    request: share.request,
                    row: share.row(length).map(|x| x * part),
                }));
            }
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(begin_ns: u64, end_ns: u64) -> Step {
        let share =
            StepShare { request: 3, prefill_tokens: 0, decode_tokens: 8, context_tokens: 10 };
        Step { begin_ns, end_ns, shares: vec![share] }
    }

    fn decoded(works: &[Work]) -> f64 {
        works.iter().map(|work| work.row[2]).sum()
    }

    #[test]
    fn a_step_is_split_at_publications_and_nothing_is_lost() {
        let works = between(&[0, 100, 200, 300], &[step(50, 250)]);
        let parts: Vec<f64> = works.iter().map(|works| decoded(works)).collect();
        for (part, expected) in parts.iter().zip([2.0, 4.0, 2.0]) {
            assert!((part - expected).abs() < 1e-12, "{parts:?}");
        }
    }

    #[test]
    fn a_step_without_length_falls_into_one_interval() {
        let works = between(&[0, 100, 200], &[step(100, 100), step(150, 150)]);
        assert!((decoded(&works[0]) - 8.0).abs() < 1e-12);
        assert!((decoded(&works[1]) - 8.0).abs() < 1e-12);
    }
}
