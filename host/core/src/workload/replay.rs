//! A request trace as a workload: the times and lengths of the trace, with prompts drawn from a seed.

use std::ops::Range;

use super::{Form, Length, Prompt, Synthetic, TraceEntry};
use crate::arrival::Arrival;

/// A trace in the order of its times, begun anew when it is over, each time with other prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    entries: Vec<TraceEntry>,
    vocabulary: Range<u32>,
    seed: u64,
}

impl Replay {
    /// Takes the entries of a trace; none where there are none.
    pub fn new(mut entries: Vec<TraceEntry>, vocabulary: Range<u32>, seed: u64) -> Option<Self> {
        entries.sort_by(|one, other| one.offset_seconds.total_cmp(&other.offset_seconds));
        (!entries.is_empty()).then_some(Self { entries, vocabulary, seed })
    }

    /// The prompt of the request with this index.
    pub fn prompt(&self, index: u64) -> Prompt {
        let count = u64::try_from(self.entries.len()).expect("a length fits 64 bits");
        let entry = self.entries[usize::try_from(index % count).expect("below a length")];
        let source = Synthetic {
            vocabulary: self.vocabulary.clone(),
            input_tokens: Length::Exact(entry.input_tokens),
            output_tokens: Length::Exact(entry.output_tokens),
            shared_prefix_tokens: 0,
            form: Form::TokenIds,
            seed: self.seed,
        };
        source.prompt(index)
    }

    /// When its requests are due. It begins anew after its last request and a gap of the mean length.
    ///
    /// ```
    /// use llem_core::workload::{Replay, parse_trace};
    /// let trace = parse_trace(concat!(
    ///     "{\"offset_seconds\":0,\"input_tokens\":3,\"output_tokens\":1}\n",
    ///     "{\"offset_seconds\":1,\"input_tokens\":5,\"output_tokens\":1}\n",
    /// ));
    /// let replay = Replay::new(trace.unwrap(), 10..100, 1).unwrap();
    /// let times = replay.arrival().offsets(1).unwrap().unwrap().take(4);
    /// assert_eq!(times.map(|it| it.as_secs()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    /// ```
    pub fn arrival(&self) -> Arrival {
        let offsets_seconds: Vec<f64> = self.entries.iter().map(|it| it.offset_seconds).collect();
        let last = offsets_seconds.last().copied().unwrap_or(0.0);
        let gaps = u32::try_from(offsets_seconds.len() - 1).unwrap_or(u32::MAX);
        let gap = if gaps == 0 || last <= 0.0 { 1.0 } else { last / f64::from(gaps) };
        Arrival::Trace { offsets_seconds, period_seconds: Some(last + gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Content;

    #[test]
    fn lengths_follow_the_times_and_a_new_round_has_other_prompts() {
        let entry = |offset_seconds, input_tokens| TraceEntry {
            offset_seconds,
            input_tokens,
            output_tokens: input_tokens * 2,
        };
        let replay = Replay::new(vec![entry(2.0, 30), entry(0.5, 20)], 10..1000, 3).unwrap();
        let length = |index| match replay.prompt(index) {
            Prompt { content: Content::Tokens(ids), output_tokens } => (ids.len(), output_tokens),
            other => panic!("token ids expected, found {other:?}"),
        };
        assert_eq!([0, 1, 2, 3].map(length), [(20, 40), (30, 60), (20, 40), (30, 60)]);
        assert_ne!(replay.prompt(0), replay.prompt(2));
        assert_eq!(Replay::new(vec![], 10..1000, 3), None);
    }
}
