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
    #[error(
        "line {line} must have exactly one of `prompt`, `tokens`, `messages`, `conversations`, found {found}"
    )]
    Content {
        /// Counted from 1.
        line: usize,
        /// How many of them it has.
        found: usize,
    },
    /// The length of an answer can't be counted.
    #[error("line {line}: {why}")]
    Count {
        /// Counted from 1.
        line: usize,
        /// What counting said.
        why: String,
    },
    /// A conversation without a question and an answer to it.
    #[error("line {line} is a conversation without a question and its answer")]
    NoExchange {
        /// Counted from 1.
        line: usize,
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
    conversations: Option<Vec<Said>>,
    output_tokens: Option<u32>,
}

/// A turn of a conversation in the form of `ShareGPT`.
#[derive(Deserialize)]
struct Said {
    from: String,
    value: String,
}

/// The first question of a conversation, and its answer.
fn exchange(conversation: &[Said]) -> Option<(&str, &str)> {
    let is_question = |it: &Said| matches!(it.from.as_str(), "human" | "user");
    let mut pairs = conversation.windows(2);
    let pair = pairs.find(|it| is_question(&it[0]) && !is_question(&it[1]))?;
    Some((&pair[0].value, &pair[1].value))
}

/// Parses records with one of `prompt`, `tokens`, `messages`, and `output_tokens` where the default doesn't apply; one
/// a line, or all of them as one JSON array.
///
/// A record may be a conversation in the form of `ShareGPT` instead: its first question is asked, and where nothing else
/// says how much output is wanted, it is as long as the answer, which `count` counts in tokens.
///
/// ```
/// use llem_core::workload::{Content, parse_dataset};
/// let lines = "{\"prompt\":\"Hello\",\"output_tokens\":8}\n";
/// let prompts = parse_dataset(lines, None, &mut |_| Err("no tokenizer".into())).unwrap();
/// assert_eq!(prompts[0].content, Content::Text("Hello".into()));
/// ```
pub fn parse_dataset(
    text: &str,
    output_tokens: Option<u32>,
    count: &mut dyn FnMut(&str) -> Result<u32, String>,
) -> Result<Vec<Prompt>, DatasetError> {
    let broken = |line| move |source| DatasetError::Parse { line, source };
    let raw: Vec<(usize, Raw)> = if text.trim_start().starts_with('[') {
        // An array has no lines of its own: the places of its records take their part.
        let all: Vec<Raw> = serde_json::from_str(text).map_err(broken(1))?;
        (1..).zip(all).collect()
    } else {
        let parse = |(line, it)| Ok((line, serde_json::from_str(it).map_err(broken(line))?));
        records(text).map(parse).collect::<Result<_, _>>()?
    };
    raw.into_iter().map(|(line, raw)| prompt(raw, line, output_tokens, count)).collect()
}

fn prompt(
    raw: Raw,
    line: usize,
    default: Option<u32>,
    count: &mut dyn FnMut(&str) -> Result<u32, String>,
) -> Result<Prompt, DatasetError> {
    let mut output_tokens = raw.output_tokens.or(default);
    let mut given: Vec<Content> = [
        raw.prompt.map(Content::Text),
        raw.tokens.map(Content::Tokens),
        raw.messages.map(Content::Messages),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(conversation) = &raw.conversations {
        let (question, answer) = exchange(conversation).ok_or(DatasetError::NoExchange { line })?;
        if output_tokens.is_none() {
            let counted = count(answer).map_err(|why| DatasetError::Count { line, why })?;
            output_tokens = Some(counted.max(1));
        }
        given.push(Content::Text(question.to_owned()));
    }
    let content = match given.len() {
        1 => given.swap_remove(0),
        found => return Err(DatasetError::Content { line, found }),
    };
    let output_tokens = output_tokens.ok_or(DatasetError::NoOutput { line })?;
    Ok(Prompt { content, output_tokens })
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

    fn no_count(_: &str) -> Result<u32, String> {
        Err("no tokenizer".to_owned())
    }

    #[test]
    fn a_conversation_is_asked_its_first_question_for_as_long_as_its_answer() {
        let array = r#"[
            {"id":"a","conversations":[{"from":"system","value":"s"},{"from":"human","value":"why?"},
                {"from":"gpt","value":"be cause"},{"from":"human","value":"oh"}]},
            {"id":"b","conversations":[{"from":"human","value":"how?"},{"from":"gpt","value":"so"}],
                "output_tokens":7}
        ]"#;
        let mut count = |text: &str| Ok(u32::try_from(text.split(' ').count()).unwrap());
        let prompts = parse_dataset(array, None, &mut count).unwrap();
        let text = |it: &str| Content::Text(it.to_owned());
        assert_eq!(prompts[0], Prompt { content: text("why?"), output_tokens: 2 });
        assert_eq!(prompts[1], Prompt { content: text("how?"), output_tokens: 7 });
        let error = parse_dataset(array, None, &mut no_count).unwrap_err().to_string();
        assert_eq!(error, "line 1: no tokenizer");
        assert_eq!(parse_dataset(array, Some(5), &mut no_count).unwrap()[0].output_tokens, 5);
        let silent = r#"{"conversations":[{"from":"gpt","value":"hello"}]}"#;
        let error = parse_dataset(silent, None, &mut count).unwrap_err().to_string();
        assert_eq!(error, "line 1 is a conversation without a question and its answer");
    }

    #[test]
    fn records_of_all_three_forms_are_read_and_blank_lines_are_not() {
        let lines = r#"{"prompt":"a"}

{"tokens":[1,2],"output_tokens":9,"source":"ignored"}
{"messages":[{"role":"user","content":"hi"}]}"#;
        let prompts = parse_dataset(lines, Some(4), &mut no_count).unwrap();
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
                "line 1 must have exactly one of `prompt`, `tokens`, `messages`, `conversations`, found 0",
            ),
            ("{\"prompt\":\"a\"}", "line 1 has no `output_tokens`, and there is no default"),
        ] {
            assert_eq!(parse_dataset(lines, None, &mut no_count).unwrap_err().to_string(), message);
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
