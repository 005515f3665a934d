//! Tokens of one request and the times they came, settled when the stream has ended.
//!
//! The engine's word decides, in this order: a running total in each chunk, token ids in each chunk, a
//! total at the end, and only without any of them the number of events.

use serde::{Deserialize, Serialize};

use super::{Chunk, Class};

/// Where a count of output tokens came from, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CountedBy {
    /// The engine sent a running total with each chunk.
    RunningUsage,
    /// The engine listed the token ids of each chunk.
    TokenIds,
    /// The engine sent a total at the end.
    Usage,
    /// The engine sent no counts: events that carry text, each taken for a token.
    Events,
}

/// Tokens that arrived at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenArrival {
    /// When the bytes were read, nanoseconds.
    pub at_ns: u64,
    /// How many tokens they held.
    pub tokens: u32,
}

/// Collects the chunks of one request. Its buffer is kept for the next one.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    marks: Vec<Mark>,
    prompt_tokens: Option<u64>,
    /// The last total that any chunk gave.
    total: Option<u64>,
    went_back: bool,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at_ns: u64,
    class: Class,
    token_ids: Option<u32>,
    running_total: Option<u64>,
}

/// What a request received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// Tokens by the time they came.
    pub arrivals: Vec<TokenArrival>,
    /// Output tokens.
    pub output_tokens: u64,
    /// Where the count came from.
    pub counted_by: CountedBy,
    /// Events that could carry tokens.
    pub events: u64,
    /// The engine contradicts itself: totals that fall, or fewer tokens than events that carry text.
    pub contradiction: bool,
}

impl Tally {
    /// Forgets everything but its buffer, for the next request.
    pub fn reset(&mut self) {
        self.marks.clear();
        self.prompt_tokens = None;
        self.total = None;
        self.went_back = false;
    }

    /// Takes one chunk and says how many tokens it seems to hold, for progress only.
    pub fn add(&mut self, at_ns: u64, chunk: &Chunk) -> u32 {
        let total = chunk.usage.and_then(|usage| usage.completion_tokens);
        if let Some(prompt) = chunk.usage.and_then(|usage| usage.prompt_tokens) {
            self.prompt_tokens = Some(prompt);
        }
        if let Some(total) = total {
            self.went_back |= self.total.is_some_and(|before| total < before);
            self.total = Some(total);
        }
        let Some(class) = chunk.class else { return 0 };
        self.marks.push(Mark { at_ns, class, token_ids: chunk.token_ids, running_total: total });
        match class {
            Class::Quiet | Class::FinishEmpty => 0,
            Class::Empty | Class::Text => chunk.token_ids.unwrap_or(1),
        }
    }

    /// Prompt tokens, where the engine counted them.
    pub fn prompt_tokens(&self) -> Option<u64> {
        self.prompt_tokens
    }

    /// The last total of output tokens that the engine gave.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Settles which events carried how many tokens.
    pub fn settle(&self) -> Tallied {
        let carrying = |least: Class| self.marks.iter().filter(move |mark| mark.class >= least);
        let texts = count(carrying(Class::Text));
        let counted = self
            .by_running_total()
            .or_else(|| self.by_token_ids())
            .or_else(|| self.by_total(texts))
            .unwrap_or_else(|| Counted {
                arrivals: spread(count(carrying(Class::Empty)), carrying(Class::Empty)),
                by: CountedBy::Events,
                contradiction: false,
            });
        Tallied {
            output_tokens: counted.arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum(),
            arrivals: counted.arrivals,
            counted_by: counted.by,
            events: count(carrying(Class::Empty)),
            contradiction: counted.contradiction || self.went_back,
        }
    }

    fn by_running_total(&self) -> Option<Counted> {
        let said = |mark: &Mark| mark.running_total.is_some();
        let before_last = self.marks.split_last().map_or(&[][..], |(_, before)| before);
        // One total in the last chunk alone is a total at the end.
        let is_running = self.marks.iter().all(|mark| said(mark) || mark.class == Class::Quiet)
            && before_last.iter().any(said);
        if !is_running {
            return None;
        }
        let mut seen = 0;
        let mut arrivals = Vec::with_capacity(self.marks.len());
        for mark in &self.marks {
            let total = mark.running_total.unwrap_or(seen);
            push(&mut arrivals, mark.at_ns, total.saturating_sub(seen));
            seen = seen.max(total);
        }
        let missing = self.total.unwrap_or(seen).saturating_sub(seen);
        if let Some(last) = self.marks.last() {
            push(&mut arrivals, last.at_ns, missing);
        }
        Some(Counted { arrivals, by: CountedBy::RunningUsage, contradiction: missing > 0 })
    }

    fn by_token_ids(&self) -> Option<Counted> {
        let mut carrying = self.marks.iter().filter(|mark| mark.class >= Class::Empty).peekable();
        carrying.peek()?;
        if !carrying.all(|mark| mark.token_ids.is_some()) {
            return None;
        }
        let mut arrivals = Vec::with_capacity(self.marks.len());
        for mark in &self.marks {
            push(&mut arrivals, mark.at_ns, u64::from(mark.token_ids.unwrap_or(0)));
        }
        let sum: u64 = arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum();
        let agrees = self.total.is_none_or(|total| total == sum);
        agrees.then_some(Counted { arrivals, by: CountedBy::TokenIds, contradiction: false })
    }

    /// Gives the total to the events that can hold it: the final empty event holds a token only if the others
    /// hold one each and the total still lacks one; empty events go without before events with text do.
    fn by_total(&self, texts: u64) -> Option<Counted> {
        let total = self.total?;
        let marks = || self.marks.iter().filter(|mark| mark.class >= Class::FinishEmpty);
        let full = count(marks().filter(|mark| mark.class >= Class::Empty));
        let arrivals = if total == count(marks()) {
            spread(total, marks())
        } else if total >= full && full > 0 {
            spread(total, marks().filter(|mark| mark.class >= Class::Empty))
        } else if full == 0 {
            spread(total, marks())
        } else {
            let mut empties = total.saturating_sub(texts);
            let mut left = total;
            spread(
                total,
                marks().filter(move |mark| {
                    let holds = mark.class == Class::Text
                        || (mark.class == Class::Empty && take_one(&mut empties));
                    holds && take_one(&mut left)
                }),
            )
        };
        Some(Counted { arrivals, by: CountedBy::Usage, contradiction: total < texts })
    }
}

struct Counted {
    arrivals: Vec<TokenArrival>,
    by: CountedBy,
    contradiction: bool,
}

fn take_one(left: &mut u64) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

fn count<'a>(marks: impl Iterator<Item = &'a Mark>) -> u64 {
    u64::try_from(marks.count()).expect("a length fits 64 bits")
}

fn push(arrivals: &mut Vec<TokenArrival>, at_ns: u64, tokens: u64) {
    if tokens > 0 {
        arrivals.push(TokenArrival { at_ns, tokens: u32::try_from(tokens).unwrap_or(u32::MAX) });
    }
}

/// Spreads a total over events as evenly as whole numbers allow.
fn spread<'a>(total: u64, marks: impl Iterator<Item = &'a Mark>) -> Vec<TokenArrival> {
    let marks: Vec<&Mark> = marks.collect();
    let events = count(marks.iter().copied());
    let mut arrivals = Vec::with_capacity(marks.len());
    let until = |event: u64| u128::from(total) * u128::from(event) / u128::from(events.max(1));
    for (mark, event) in marks.into_iter().zip(0_u64..) {
        push(
            &mut arrivals,
            mark.at_ns,
            u64::try_from(until(event + 1) - until(event)).unwrap_or(u64::MAX),
        );
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sse::Decoder;

    const RECORDED: &str = include_str!("../../../../tests/fixtures/vllm/vllm_0.24_completion.sse");

    /// Feeds a stream, one nanosecond an event, and settles it.
    fn settle(stream: &str) -> Tallied {
        let (mut decoder, mut tally, mut at_ns) = (Decoder::new(), Tally::default(), 0);
        decoder
            .push(stream.as_bytes(), |data| {
                at_ns += 1;
                if data != b"[DONE]" {
                    tally.add(at_ns, &Chunk::parse(data).unwrap());
                }
            })
            .unwrap();
        tally.settle()
    }

    fn stream(chunks: &[&str]) -> String {
        format!("data: {}\n\n", chunks.join("\n\ndata: "))
    }

    fn text(text: &str) -> String {
        format!(r#"{{"choices":[{{"text":"{text}"}}]}}"#)
    }

    fn tokens(tallied: &Tallied) -> Vec<(u64, u32)> {
        tallied.arrivals.iter().map(|arrival| (arrival.at_ns, arrival.tokens)).collect()
    }

    #[test]
    fn the_recorded_vllm_stream_of_empty_texts_has_four_tokens() {
        let tallied = settle(RECORDED);
        assert_eq!(tokens(&tallied), [(1, 1), (2, 1), (3, 1), (4, 1)]);
        assert_eq!((tallied.counted_by, tallied.contradiction), (CountedBy::Usage, false));
    }

    #[test]
    fn a_role_only_chunk_and_an_empty_finish_are_no_tokens_in_chat() {
        let chat = stream(&[
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":""}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
        ]);
        assert_eq!(tokens(&settle(&chat)), [(2, 1), (3, 1)]);
    }

    #[test]
    fn a_total_is_spread_over_chunks_of_several_tokens() {
        let texts: Vec<String> = (0..3).map(|_| text("abcd")).collect();
        let mut chunks: Vec<&str> = texts.iter().map(String::as_str).collect();
        chunks.push(r#"{"choices":[],"usage":{"completion_tokens":10}}"#);
        let tallied = settle(&stream(&chunks));
        assert_eq!(tokens(&tallied), [(1, 3), (2, 3), (3, 4)]);
        assert_eq!(tallied.events, 3);
    }

    #[test]
    fn a_running_total_says_what_each_chunk_held() {
        let chunks = [
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":{"completion_tokens":0}}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"bcd"}}],"usage":{"completion_tokens":4}}"#,
            r#"{"choices":[],"usage":{"completion_tokens":4}}"#,
        ];
        let tallied = settle(&stream(&chunks));
        assert_eq!(tokens(&tallied), [(2, 1), (3, 3)]);
        assert_eq!(tallied.counted_by, CountedBy::RunningUsage);
    }

    #[test]
    fn token_ids_count_without_usage() {
        let chunks = [
            r#"{"choices":[{"text":"","token_ids":[1]}]}"#,
            r#"{"choices":[{"text":"x","token_ids":[2,3]}]}"#,
        ];
        let tallied = settle(&stream(&chunks));
        assert_eq!(
            (tokens(&tallied), tallied.counted_by),
            (vec![(1, 1), (2, 2)], CountedBy::TokenIds)
        );
    }

    #[test]
    fn a_total_in_the_last_chunk_with_a_choice_is_a_total_at_the_end() {
        let (a, b) = (text("a"), text("b"));
        let last = r#"{"choices":[{"text":"c","finish_reason":"length"}],"usage":{"completion_tokens":3}}"#;
        let tallied = settle(&stream(&[&a, &b, last]));
        assert_eq!(
            (tokens(&tallied), tallied.counted_by),
            (vec![(1, 1), (2, 1), (3, 1)], CountedBy::Usage)
        );
    }

    #[test]
    fn without_usage_events_are_counted_and_labelled() {
        let (a, b) = (text("a"), text(""));
        let tallied = settle(&stream(&[&a, &b]));
        assert_eq!((tallied.output_tokens, tallied.counted_by), (2, CountedBy::Events));
    }

    #[test]
    fn contradictions_are_reported_and_the_engines_total_is_kept() {
        let (a, b) = (text("a"), text("b"));
        let fewer = settle(&stream(&[&a, &b, r#"{"choices":[],"usage":{"completion_tokens":1}}"#]));
        assert_eq!((fewer.output_tokens, fewer.contradiction), (1, true));
        let back = [
            r#"{"choices":[{"text":"a"}],"usage":{"completion_tokens":5}}"#,
            r#"{"choices":[{"text":"b"}],"usage":{"completion_tokens":2}}"#,
        ];
        assert!(settle(&stream(&back)).contradiction);
    }

    proptest! {
        #[test]
        fn the_engines_total_is_kept_whenever_an_event_can_hold_it(
            texts in proptest::collection::vec(any::<bool>(), 1..40), total in 0_u64..200,
        ) {
            let mut tally = Tally::default();
            for (filled, at_ns) in texts.iter().zip(1..) {
                let class = Some(if *filled { Class::Text } else { Class::Empty });
                tally.add(at_ns, &Chunk { class, ..Chunk::default() });
            }
            let usage = Some(super::super::Usage { prompt_tokens: None, completion_tokens: Some(total) });
            tally.add(99, &Chunk { usage, ..Chunk::default() });
            let tallied = tally.settle();
            prop_assert_eq!(tallied.output_tokens, total);
            prop_assert!(tallied.arrivals.windows(2).all(|pair| pair[0].at_ns < pair[1].at_ns));
        }
    }
}
