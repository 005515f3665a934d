//! Records of data sets and request traces, one JSON object a line.
//!
//! Takes text that somebody else has read; knows no built-in data set and downloads nothing.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{Content, Message, Prompt};

/// Records in a seeded order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    prompts: Vec<Prompt>,
}

impl Dataset {
    /// Orders records by a seed; none where there are no records.
    pub fn new(mut prompts: Vec<Prompt>, seed: u64) -> Option<Self> {
        if prompts.is_empty() {
            return None;
        }
        prompts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        Some(Self { prompts })
    }

    /// Keeps records in their own order; none where there are no records.
    pub fn in_order(prompts: Vec<Prompt>) -> Option<Self> {
        (!prompts.is_empty()).then_some(Self { prompts })
    }

    /// The prompt of the request with this index; the records start anew when used up.
    pub fn prompt(&self, index: u64) -> Prompt {
        let count = u64::try_from(self.prompts.len()).unwrap_or(u64::MAX);
        let position = usize::try_from(index % count).unwrap_or(0);
        self.prompts[position].clone()
    }

    /// The prompt of the request with this index; where the records start anew, their content is rotated.
    pub(super) fn unseen(&self, index: u64) -> Prompt {
        let turn = index / u64::try_from(self.prompts.len()).unwrap_or(u64::MAX);
        let mut prompt = self.prompt(index);
        match &mut prompt.content {
            Content::Tokens(tokens) => rotate(tokens, turn),
            Content::Text(text) => rotate_words(text, turn),
            Content::Messages(messages) => {
                for message in messages {
                    rotate_words(&mut message.content, turn);
                }
            }
        }
        prompt
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.prompts.len()
    }
}

fn rotate_words(text: &mut String, turn: u64) {
    if turn > 0 {
        let mut words: Vec<&str> = text.split_inclusive(' ').collect();
        rotate(&mut words, turn);
        *text = words.concat();
    }
}

/// Moves everything by a number of places that is never a whole turn.
fn rotate<T>(items: &mut [T], turn: u64) {
    if turn > 0 && items.len() > 1 {
        let places = u64::try_from(items.len() - 1).unwrap_or(u64::MAX);
        items.rotate_left(usize::try_from(1 + (turn - 1) % places).unwrap_or(1));
    }
}

/// One request of a trace: when it came and how long it was.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct TraceEntry {
    /// Seconds since the start of the trace.
    pub offset_seconds: f64,
    /// Prompt tokens.
    pub input_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
}

/// Why a line of a data set or trace is no record.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No JSON, or not of the right shape.
    #[error("line {line} is no record")]
    Parse {
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// None or several of the content fields.
    #[error("line {line} must have exactly one of `prompt`, `tokens`, `messages`, found {found}")]
    Content {
        /// Counted from 1.
        line: usize,
        /// How many of them it has.
        found: usize,
    },
    /// Neither the line nor the study says how much output is wanted.
    #[error("line {line} has no `output_tokens`, and there is no default")]
    NoOutput {
        /// Counted from 1.
        line: usize,
    },
}

#[derive(Deserialize)]
struct Raw {
    prompt: Option<String>,
    tokens: Option<Vec<u32>>,
    messages: Option<Vec<Message>>,
    output_tokens: Option<u32>,
}

/// Parses records with one of `prompt`, `tokens`, `messages`, and `output_tokens` where the default doesn't apply.
///
/// ```
/// use llem_core::workload::{Content, parse_dataset};
/// let prompts = parse_dataset("{\"prompt\":\"Hello\",\"output_tokens\":8}\n", None).unwrap();
/// assert_eq!(prompts[0].content, Content::Text("Hello".into()));
/// ```
pub fn parse_dataset(lines: &str, output_tokens: Option<u32>) -> Result<Vec<Prompt>, DatasetError> {
    records(lines)
        .map(|(line, text)| {
            let raw: Raw = serde_json::from_str(text)
                .map_err(|source| DatasetError::Parse { line, source })?;
            let contents = [
                raw.prompt.map(Content::Text),
                raw.tokens.map(Content::Tokens),
                raw.messages.map(Content::Messages),
            ];
            let mut given: Vec<Content> = contents.into_iter().flatten().collect();
            let content = match given.len() {
                1 => given.swap_remove(0),
                found => return Err(DatasetError::Content { line, found }),
            };
            let output_tokens =
                raw.output_tokens.or(output_tokens).ok_or(DatasetError::NoOutput { line })?;
            Ok(Prompt { content, output_tokens })
        })
        .collect()
}

/// Parses a request trace: `offset_seconds`, `input_tokens` and `output_tokens` a line.
pub fn parse_trace(lines: &str) -> Result<Vec<TraceEntry>, DatasetError> {
    records(lines)
        .map(|(line, text)| {
            serde_json::from_str(text).map_err(|source| DatasetError::Parse { line, source })
        })
        .collect()
}

fn records(lines: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(lines.lines()).filter(|(_, text)| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_three_forms_are_read_and_blank_lines_are_not() {
        let lines = r#"{"prompt":"a"}

{"tokens":[1,2],"output_tokens":9,"source":"ignored"}
{"messages":[{"role":"user","content":"hi"}]}"#;
        let prompts = parse_dataset(lines, Some(4)).unwrap();
        assert_eq!(prompts.len(), 3);
        assert_eq!(prompts[1], Prompt { content: Content::Tokens(vec![1, 2]), output_tokens: 9 });
        assert_eq!(prompts[2].output_tokens, 4);
    }

    #[test]
    fn faults_name_their_line() {
        for (lines, message) in [
            ("{\"prompt\":\"a\",\"output_tokens\":1}\nnonsense", "line 2 is no record"),
            (
                "{\"output_tokens\":1}",
                "line 1 must have exactly one of `prompt`, `tokens`, `messages`, found 0",
            ),
            ("{\"prompt\":\"a\"}", "line 1 has no `output_tokens`, and there is no default"),
        ] {
            assert_eq!(parse_dataset(lines, None).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_order_is_a_permutation_that_repeats() {
        let prompts: Vec<Prompt> = (0..20)
            .map(|id| Prompt { content: Content::Tokens(vec![id]), output_tokens: 1 })
            .collect();
        let dataset = Dataset::new(prompts.clone(), 3).unwrap();
        let mut seen: Vec<Prompt> = (0..20).map(|index| dataset.prompt(index)).collect();
        assert_ne!(seen, prompts);
        assert_eq!(dataset.prompt(25), seen[5]);
        seen.sort_by_key(|prompt| format!("{:?}", prompt.content));
        let mut expected = prompts;
        expected.sort_by_key(|prompt| format!("{:?}", prompt.content));
        assert_eq!(seen, expected);
    }

    #[test]
    fn no_prompt_is_served_twice_where_all_must_be_unseen() {
        let texts = ["one two three four", "five six seven eight"];
        let text = |it: &str| Prompt { content: Content::Text(it.into()), output_tokens: 1 };
        let tokens = Prompt { content: Content::Tokens(vec![1, 2, 3, 4]), output_tokens: 1 };
        let prompts = [texts.map(text).to_vec(), vec![tokens]].concat();
        let dataset = Dataset::in_order(prompts.clone()).unwrap();
        let unseen: Vec<Prompt> = (0..12).map(|index| dataset.unseen(index)).collect();
        assert_eq!(unseen[..3], prompts);
        assert_eq!(unseen[3], text("two three fourone "));
        for (index, prompt) in unseen.iter().enumerate() {
            assert!(!unseen[..index].contains(prompt), "{prompt:?}");
        }
    }

    #[test]
    fn a_trace_gives_times_and_lengths() {
        let trace =
            parse_trace("{\"offset_seconds\":0.5,\"input_tokens\":10,\"output_tokens\":20}")
                .unwrap();
        assert_eq!(
            trace,
            [TraceEntry { offset_seconds: 0.5, input_tokens: 10, output_tokens: 20 }]
        );
    }
}
