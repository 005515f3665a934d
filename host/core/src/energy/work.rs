//! What an engine did between two publications of the counter: work of each request by kind.
//!
//! Work of a step is spread evenly over its time. Nothing is fitted here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nnls::{Row, WIDTH};
use crate::units::{Seconds, length, whole};

/// Names of the regressors, in their order.
pub(super) const NAMES: [&str; WIDTH] = [
    "prefill_token",
    "prefill_attention_token_pair",
    "decode_token",
    "decode_context_token",
    "decode_step",
    "request_second",
];
/// The regressors of prefill; the others but the last are of decode, and the last is of both.
pub(super) const PREFILL: [usize; 2] = [0, 1];

/// One step of an engine.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Step {
    /// When it began.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// What it did for each request.
    pub shares: Vec<StepShare>,
}

/// What a step did for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
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
    /// `decoding` requests have a part in each pass over the weights.
    fn row(&self, seconds: f64, decoding: f64) -> Row {
        let (prefill, decode) = (whole(self.prefill_tokens), whole(self.decode_tokens));
        let context = whole(self.context_tokens);
        let pairs = prefill * (context + prefill / 2.0);
        [prefill, pairs, decode, decode * context, decode / decoding, seconds]
    }
}

/// When a request was at work, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// When it was sent.
    pub begin_ns: u64,
    /// Tokens of its prompt.
    pub input_tokens: u64,
    /// When each of its tokens arrived.
    pub token_ns: Vec<u64>,
}

/// Infers steps from arrivals, for engines that do not tell theirs: a prompt is worked on until its
/// first token arrives, and each later token since the one before it. Time in a queue counts as
/// prefill, so the caller says [`StepSource::RequestLog`](super::StepSource).
pub fn steps_from_arrivals(requests: &[Arrivals]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (request, arrivals) in requests.iter().enumerate() {
        let mut begin_ns = arrivals.begin_ns;
        for (&end_ns, place) in arrivals.token_ns.iter().zip(0_u64..) {
            let share = if place == 0 {
                let prefill_tokens = arrivals.input_tokens;
                StepShare { request, prefill_tokens, decode_tokens: 0, context_tokens: 0 }
            } else {
                let context_tokens = arrivals.input_tokens + place;
                StepShare { request, prefill_tokens: 0, decode_tokens: 1, context_tokens }
            };
            steps.push(Step { begin_ns, end_ns, shares: vec![share] });
            begin_ns = end_ns;
        }
    }
    steps
}

/// The work of one request in one interval.
pub(super) struct Work {
    pub(super) request: usize,
    pub(super) row: Row,
}

/// How many requests decode at a time.
///
/// An engine reads all weights once for the next token of every request in its batch. Where that decides the energy, a
/// token costs the less the more requests decode beside it, which no sum over tokens can tell.
struct Decoding {
    begins: Vec<u64>,
    ends: Vec<u64>,
}

impl Decoding {
    fn of(steps: &[Step]) -> Self {
        let decoding = |step: &&Step| step.shares.iter().filter(|it| it.decode_tokens > 0).count();
        let times = |of: fn(&Step) -> u64| {
            let each = |step| std::iter::repeat_n(of(step), decoding(&step));
            let mut times: Vec<u64> = steps.iter().flat_map(each).collect();
            times.sort_unstable();
            times
        };
        Self { begins: times(|it| it.begin_ns), ends: times(|it| it.end_ns) }
    }

    /// In the middle of a step, itself included.
    fn beside(&self, step: &Step) -> f64 {
        let middle = step.begin_ns.midpoint(step.end_ns);
        let begun = self.begins.partition_point(|&ns| ns <= middle);
        let ended = self.ends.partition_point(|&ns| ns <= middle);
        length(begun.saturating_sub(ended)).max(1.0)
    }
}

/// The work in each interval between consecutive times.
pub(super) fn between(times_ns: &[u64], steps: &[Step]) -> Vec<Vec<Work>> {
    let mut intervals: Vec<Vec<Work>> = (1..times_ns.len()).map(|_| Vec::new()).collect();
    let decoding = Decoding::of(steps);
    for step in steps {
        let beside = decoding.beside(step);
        // A step that took no time by its clock still took some.
        let begin_ns = step.begin_ns.min(step.end_ns.saturating_sub(1));
        let seconds = Seconds::between(begin_ns, step.end_ns).get();
        let first = times_ns.partition_point(|&ns| ns <= begin_ns).saturating_sub(1);
        for (interval, works) in intervals.iter_mut().enumerate().skip(first) {
            if times_ns[interval] >= step.end_ns {
                break;
            }
            let begin = begin_ns.max(times_ns[interval]);
            let end = step.end_ns.min(times_ns[interval + 1]);
            let part = Seconds::between(begin, end).get() / seconds;
            if part > 0.0 {
                works.extend(step.shares.iter().map(|share| Work {
                    request: share.request,
                    row: share.row(seconds, beside).map(|x| x * part),
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
    fn arrivals_become_one_prefill_and_a_decode_for_each_later_token() {
        let arrivals = Arrivals { begin_ns: 5, input_tokens: 7, token_ns: vec![20, 30, 45] };
        let steps = steps_from_arrivals(&[arrivals]);
        let times: Vec<(u64, u64)> = steps.iter().map(|s| (s.begin_ns, s.end_ns)).collect();
        assert_eq!(times, [(5, 20), (20, 30), (30, 45)]);
        let tokens = |s: &Step| (s.shares[0].prefill_tokens, s.shares[0].decode_tokens);
        assert_eq!(steps.iter().map(tokens).collect::<Vec<_>>(), [(7, 0), (0, 1), (0, 1)]);
        assert_eq!(steps[2].shares[0].context_tokens, 9);
    }

    #[test]
    fn a_step_without_length_falls_into_one_interval() {
        let works = between(&[0, 100, 200], &[step(100, 100), step(150, 150)]);
        assert!((decoded(&works[0]) - 8.0).abs() < 1e-12);
        assert!((decoded(&works[1]) - 8.0).abs() < 1e-12);
    }

    #[test]
    fn requests_that_decode_together_share_a_step() {
        let token = |request, begin_ns, end_ns| Step {
            begin_ns,
            end_ns,
            shares: vec![StepShare {
                request,
                prefill_tokens: 0,
                decode_tokens: 1,
                context_tokens: 0,
            }],
        };
        // Two requests decode side by side for two steps, then one alone for one; the client sees them a little apart.
        let steps = [
            token(0, 0, 100),
            token(1, 2, 101),
            token(0, 100, 200),
            token(1, 101, 202),
            token(1, 202, 300),
        ];
        let works = between(&[0, 400], &steps);
        let made: f64 = works[0].iter().map(|work| work.row[4]).sum();
        assert!((made - 3.0).abs() < 1e-9, "{made}");
    }
}
