//! Steps that an engine tells, divided among the requests that it worked on.
//!
//! An engine says how many tokens it processed in a step and when each request had its first and last token; whose
//! tokens they were is derived here, and no token is made up.

use super::work::{Step, StepShare};
use crate::{latency::EngineStep, units::whole};

/// What an engine says of one of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tokens of its prompt.
    pub input_tokens: u64,
    /// Tokens made, the first included.
    pub output_tokens: u64,
    /// When the first was there.
    pub first_token_ns: u64,
    /// When the last was there.
    pub last_token_ns: u64,
}

/// Divides an engine's steps among its requests.
///
/// Prompt tokens of a step belong to the prompts that are finished next, in the order of their first tokens. Tokens after
/// the first are placed in the steps between a request's first and last token, in proportion to what a step made for each
/// request in work.
pub fn steps_from_engine(told: &[EngineStep], requests: &[Progress]) -> Vec<Step> {
    let mut steps: Vec<Step> = told
        .iter()
        .map(|it| Step { begin_ns: it.begin_ns, end_ns: it.end_ns, shares: Vec::new() })
        .collect();
    prompts(told, requests, &mut steps);
    // Tokens that each request in work was given until the end of each step.
    let until = told.iter().scan(0.0, |sum, it| {
        *sum += whole(it.decode_tokens) / f64::from(it.running.max(1));
        Some(*sum)
    });
    let until: Vec<f64> = until.collect();
    for (request, progress) in requests.iter().enumerate() {
        decoding(told, &until, (request, progress), &mut steps);
    }
    steps.retain(|it| !it.shares.is_empty());
    steps
}

fn prompts(told: &[EngineStep], requests: &[Progress], steps: &mut [Step]) {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&it| (requests[it].first_token_ns, it));
    let mut waiting = order.into_iter().map(|it| (it, requests[it].input_tokens)).peekable();
    let mut done = 0;
    for (step, told) in steps.iter_mut().zip(told) {
        let mut left = told.prefill_tokens;
        while left > 0
            && let Some(&(request, length)) = waiting.peek()
        {
            let taken = left.min(length - done);
            step.shares.push(StepShare {
                request,
                prefill_tokens: taken,
                decode_tokens: 0,
                context_tokens: done,
            });
            left -= taken;
            done += taken;
            if done == length {
                done = 0;
                waiting.next();
            }
        }
    }
}

fn decoding(
    told: &[EngineStep],
    until: &[f64],
    (request, progress): (usize, &Progress),
    steps: &mut [Step],
) {
    let later = progress.output_tokens.saturating_sub(1);
    // The step in which a token came is the first that ends no earlier.
    let of = |ns| told.partition_point(|it| it.end_ns < ns).min(told.len().saturating_sub(1));
    let (first, last) = (of(progress.first_token_ns), of(progress.last_token_ns));
    if told.is_empty() || later == 0 {
        return;
    }
    let before = if last > first { until[first] } else { 0.0 };
    let all = until[last] - before;
    let mut placed = 0;
    let from = if last > first { first + 1 } else { first };
    for step in from..=last {
        // Rounded sums, so that all tokens are placed and none twice.
        let due = if step == last { later } else { part(later, (until[step] - before) / all) };
        if due > placed {
            steps[step].shares.push(StepShare {
                request,
                prefill_tokens: 0,
                decode_tokens: due - placed,
                context_tokens: progress.input_tokens + 1 + placed,
            });
            placed = due;
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a whole number, rounded, is within it"
)]
fn part(whole_tokens: u64, share: f64) -> u64 {
    ((whole(whole_tokens) * share).round() as u64).min(whole_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(end_ns: u64, prefill_tokens: u64, decode_tokens: u64, running: u32) -> EngineStep {
        EngineStep { begin_ns: end_ns - 10, end_ns, prefill_tokens, decode_tokens, running }
    }

    fn of(steps: &[Step], request: usize) -> Vec<(u64, u64, u64, u64)> {
        let shares = steps.iter().flat_map(|step| {
            step.shares
                .iter()
                .filter(|it| it.request == request)
                .map(|it| (step.end_ns, it.prefill_tokens, it.decode_tokens, it.context_tokens))
        });
        shares.collect()
    }

    #[test]
    fn chunks_of_prompts_go_to_the_prompt_that_is_finished_next() {
        let told = [told(10, 6, 0, 2), told(20, 6, 1, 2), told(30, 0, 2, 2)];
        let request = |first| Progress {
            input_tokens: if first == 10 { 4 } else { 8 },
            output_tokens: 2,
            first_token_ns: first,
            last_token_ns: 30,
        };
        let steps = steps_from_engine(&told, &[request(20), request(10)]);
        assert_eq!(of(&steps, 1)[0], (10, 4, 0, 0));
        assert_eq!(of(&steps, 0), [(10, 2, 0, 0), (20, 6, 0, 2), (30, 0, 1, 9)]);
    }

    #[test]
    fn every_token_after_the_first_is_placed_once_where_the_engine_was_fast() {
        // Ten tokens a request in the second step, thirty in the third.
        let told = [told(10, 5, 1, 1), told(20, 0, 10, 1), told(30, 0, 30, 1)];
        let request =
            Progress { input_tokens: 5, output_tokens: 41, first_token_ns: 10, last_token_ns: 30 };
        let steps = steps_from_engine(&told, &[request]);
        assert_eq!(of(&steps, 0), [(10, 5, 0, 0), (20, 0, 10, 6), (30, 0, 30, 16)]);
    }

    #[test]
    fn a_request_within_one_step_keeps_its_tokens_and_no_steps_give_none() {
        let request =
            Progress { input_tokens: 5, output_tokens: 3, first_token_ns: 7, last_token_ns: 9 };
        let steps = steps_from_engine(&[told(10, 5, 3, 1)], &[request]);
        assert_eq!(of(&steps, 0), [(10, 5, 0, 0), (10, 0, 2, 6)]);
        assert_eq!(steps_from_engine(&[], &[request]), []);
    }
}
