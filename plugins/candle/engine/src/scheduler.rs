//! Who computes next: admission, chunked prompts and the bookkeeping of sequences. Computes nothing itself.
//!
//! Sequences wait in order of arrival. A step takes one token of every decoding sequence and shares what a step
//! may process of prompts among the others; a sequence that ends leaves at once and makes room for the next.

use std::collections::VecDeque;

use llem_batch::FinishReason;

use crate::{error::EngineError, model::cache::KvCache, sampling::Sampler};

/// Bounds of a scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Sequences that run together.
    pub(crate) batch: usize,
    /// Prompt tokens of a step.
    pub(crate) chunk: usize,
    /// Positions that all caches may reserve together.
    pub(crate) positions: usize,
}

/// A request on its way through the engine.
pub(crate) struct Sequence {
    /// Chosen by who submitted it.
    pub(crate) id: u64,
    /// Prompt, then output.
    pub(crate) tokens: Vec<u32>,
    /// Length of the prompt.
    pub(crate) prompt: usize,
    /// Tokens whose keys and values are in the cache.
    pub(crate) processed: usize,
    /// Output tokens to make at most.
    pub(crate) max_tokens: usize,
    /// Output tokens before an end token may come.
    pub(crate) min_tokens: usize,
    /// End tokens are like any others.
    pub(crate) ignore_end: bool,
    /// Chooses its tokens.
    pub(crate) sampler: Sampler,
    /// Its keys and values, once it runs.
    pub(crate) cache: Option<KvCache>,
}

impl Sequence {
    /// Returns the positions that it may need.
    pub(crate) fn positions(&self) -> usize {
        self.prompt + self.max_tokens
    }

    /// Returns the output tokens so far.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Says whether its prompt is not processed yet.
    pub(crate) fn is_prefilling(&self) -> bool {
        self.processed < self.prompt
    }

    /// Says why it ends with `token` as its last one, if it does. `token` is among its tokens already.
    pub(crate) fn finish(&self, token: u32, end_tokens: &[u32]) -> Option<FinishReason> {
        if !self.ignore_end && end_tokens.contains(&token) {
            Some(FinishReason::Stop)
        } else if self.generated() >= self.max_tokens {
            Some(FinishReason::Length)
        } else {
            None
        }
    }
}

/// The sequences of an engine.
pub(crate) struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
}

impl Scheduler {
    /// Starts with no sequences.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, waiting: VecDeque::new(), running: Vec::new() }
    }

    /// Takes a sequence into the queue, or refuses one that could never run.
    pub(crate) fn submit(
        &mut self,
        sequence: Sequence,
        bytes_per_position: u64,
    ) -> Result<(), EngineError> {
        if sequence.positions() > self.limits.positions {
            let bytes = |positions: usize| crate::arithmetic::count(positions) * bytes_per_position;
            return Err(EngineError::OutOfMemory {
                what: format!("the key-value cache for {} positions", sequence.positions()),
                needed: bytes(sequence.positions()),
                available: bytes(self.limits.positions),
            });
        }
        self.waiting.push_back(sequence);
        Ok(())
    }

    /// Lets waiting sequences run while there is room.
    pub(crate) fn admit(&mut self) {
        let mut reserved: usize = self.running.iter().map(Sequence::positions).sum();
        while self.running.len() < self.limits.batch {
            let Some(next) = self.waiting.front() else { return };
            if reserved + next.positions() > self.limits.positions {
                return;
            }
            reserved += next.positions();
            self.running.extend(self.waiting.pop_front());
        }
    }

    /// Returns how many tokens each running sequence processes in the next step.
    pub(crate) fn plan(&self) -> Vec<usize> {
        let mut left = self.limits.chunk;
        let share = |sequence: &Sequence| {
            if !sequence.is_prefilling() {
                return 1;
            }
            let share = left.min(sequence.prompt - sequence.processed);
            left -= share;
            share
        };
        self.running.iter().map(share).collect()
    }

    /// Returns the running sequences.
    pub(crate) fn running(&self) -> &[Sequence] {
        &self.running
    }

    /// Returns the running sequences for their step.
    pub(crate) fn running_mut(&mut self) -> &mut [Sequence] {
        &mut self.running
    }

    /// Counts the waiting sequences.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the id of a sequence, while there is one.
    pub(crate) fn any(&self) -> Option<u64> {
        self.running.first().or(self.waiting.front()).map(|sequence| sequence.id)
    }

    /// Returns the positions that all caches may reserve together.
    pub(crate) fn capacity(&self) -> usize {
        self.limits.positions
    }

    /// Says whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Removes a sequence wherever it is; says whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.running.len() + self.waiting.len();
        self.running.retain(|sequence| sequence.id != id);
        self.waiting.retain(|sequence| sequence.id != id);
        before != self.running.len() + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Sampling;

    fn sequence(id: u64, prompt: usize, max_tokens: usize) -> Sequence {
        Sequence {
            id,
            tokens: vec![0; prompt],
            prompt,
            processed: 0,
            max_tokens,
            min_tokens: 0,
            ignore_end: false,
            sampler: Sampler::new(Sampling::default(), 0),
            cache: None,
        }
    }

    fn scheduler(limits: Limits, sequences: impl IntoIterator<Item = Sequence>) -> Scheduler {
        let mut scheduler = Scheduler::new(limits);
        for sequence in sequences {
            scheduler.submit(sequence, 1).expect("fits");
        }
        scheduler.admit();
        scheduler
    }

    fn running(scheduler: &Scheduler) -> Vec<u64> {
        scheduler.running().iter().map(|sequence| sequence.id).collect()
    }

    const ROOMY: Limits = Limits { batch: 2, chunk: 8, positions: 1000 };

    #[test]
    fn sequences_run_in_order_of_arrival_and_the_next_enters_when_one_leaves() {
        let mut scheduler =
            scheduler(ROOMY, [sequence(1, 4, 4), sequence(2, 4, 4), sequence(3, 4, 4)]);
        assert_eq!((running(&scheduler), scheduler.waiting()), (vec![1, 2], 1));
        assert!(scheduler.remove(1) && !scheduler.remove(1));
        scheduler.admit();
        assert_eq!((running(&scheduler), scheduler.waiting()), (vec![2, 3], 0));
    }

    #[test]
    fn a_prompt_is_processed_in_chunks_beside_decoding_sequences() {
        let mut scheduler = scheduler(ROOMY, [sequence(1, 3, 4), sequence(2, 20, 4)]);
        let mut plans = Vec::new();
        for _ in 0..5 {
            let plan = scheduler.plan();
            for (sequence, taken) in scheduler.running_mut().iter_mut().zip(&plan) {
                sequence.processed += taken;
                if !sequence.is_prefilling() {
                    sequence.tokens.push(0);
                }
            }
            plans.push(plan);
        }
        assert_eq!(plans, [[3, 5], [1, 8], [1, 7], [1, 1], [1, 1]]);
    }

    #[test]
    fn reserved_positions_bound_how_many_run() {
        let tight = Limits { batch: 8, chunk: 8, positions: 20 };
        let mut scheduler =
            scheduler(tight, [sequence(1, 5, 5), sequence(2, 5, 6), sequence(3, 1, 1)]);
        assert_eq!(
            running(&scheduler),
            [1],
            "the second would need 21 positions, the third waits behind it"
        );
        let error = scheduler.submit(sequence(4, 20, 1), 3).expect_err("can never run");
        assert!(error.to_string().contains("needs 63 bytes, 60 are available"), "{error}");
    }

    #[test]
    fn a_sequence_ends_by_an_end_token_or_by_its_length() {
        let mut sequence = sequence(1, 2, 2);
        sequence.tokens.push(9);
        assert_eq!(sequence.finish(9, &[9]), Some(FinishReason::Stop));
        assert_eq!(sequence.finish(9, &[8]), None);
        sequence.ignore_end = true;
        assert_eq!(sequence.finish(9, &[9]), None);
        sequence.tokens.push(9);
        assert_eq!(sequence.finish(9, &[9]), Some(FinishReason::Length));
    }
}
