//! One chunk of an OpenAI-compatible stream, or one whole answer: read only as far as needed.
//!
//! Says what a chunk carries, not how many tokens the request had: that takes the whole stream.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// What one chunk carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk {
    /// What its choices carry; none where there is no choice.
    pub class: Option<Class>,
    /// How many token ids it lists, where the engine lists them.
    pub token_ids: Option<u32>,
    /// Why generation ended, in the chunk that says so.
    pub finish: Option<Finish>,
    /// Token counts, where the chunk has them.
    pub usage: Option<Usage>,
    /// An error that the engine sent instead of tokens.
    pub error: Option<String>,
}

/// What the choices of a chunk carry, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A role, or nothing at all: no token.
    Quiet,
    /// The finish reason and an empty text: a token for some engines, none for others.
    FinishEmpty,
    /// An empty text: a token that decodes to nothing.
    Empty,
    /// Text, reasoning or a tool call.
    Text,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// The wanted number of tokens was made.
    Length,
    /// An end-of-sequence token or a stop condition.
    Stop,
    /// Another reason.
    Other,
}

/// Token counts by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Prompt tokens.
    #[serde(default)]
    pub prompt_tokens: Option<u64>,
    /// Output tokens so far.
    #[serde(default)]
    pub completion_tokens: Option<u64>,
}

impl Chunk {
    /// Reads the data of one event, or the body of an answer that does not stream.
    ///
    /// ```
    /// use llem_core::sse::{Chunk, Class};
    /// let chunk = Chunk::parse(br#"{"choices":[{"text":"","finish_reason":null}]}"#).unwrap();
    /// assert_eq!(chunk.class, Some(Class::Empty));
    /// ```
    pub fn parse(data: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: RawChunk<'_> = serde_json::from_slice(data)?;
        let is_error = raw.object.is_some_and(|object| object.0 == "error");
        let error = raw
            .error
            .or_else(|| is_error.then(|| raw.message.unwrap_or_default()))
            .map(|error| describe(&error));
        let Choices { class, token_ids, finish } = raw.choices.unwrap_or_default();
        Ok(Self { class, token_ids, finish, usage: raw.usage, error })
    }
}

fn describe(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

#[derive(Deserialize)]
struct RawChunk<'a> {
    #[serde(default)]
    choices: Option<Choices>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, borrow)]
    object: Option<Word<'a>>,
    #[serde(default)]
    message: Option<Value>,
}

/// A string that is borrowed where it has no escapes; a bare `Option<Cow<str>>` would be copied.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

/// All choices of a chunk folded into one, so that none is allocated.
#[derive(Default)]
struct Choices {
    class: Option<Class>,
    token_ids: Option<u32>,
    finish: Option<Finish>,
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fold;
        impl<'de> Visitor<'de> for Fold {
            type Value = Choices;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<Choices, A::Error> {
                let mut all = Choices::default();
                while let Some(choice) = choices.next_element::<Choice<'_>>()? {
                    all.class = all.class.max(Some(choice.class()));
                    if let Presence::Filled(count) = choice.token_ids {
                        all.token_ids = Some(all.token_ids.unwrap_or(0).saturating_add(count));
                    }
                    all.finish =
                        all.finish.or(choice.finish_reason.map(|Word(reason)| {
                            match reason.as_ref() {
                                "length" => Finish::Length,
                                "stop" => Finish::Stop,
                                _ => Finish::Other,
                            }
                        }));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Fold)
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    text: Presence,
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default, borrow)]
    finish_reason: Option<Word<'a>>,
    #[serde(default)]
    token_ids: Presence,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    role: Presence,
    #[serde(default)]
    content: Presence,
    #[serde(default)]
    reasoning_content: Presence,
    #[serde(default)]
    reasoning: Presence,
    #[serde(default)]
    refusal: Presence,
    #[serde(default)]
    tool_calls: Presence,
}

impl Choice<'_> {
    fn class(&self) -> Class {
        let (text, role) = match &self.delta {
            None => (self.text, Presence::Absent),
            Some(delta) => {
                let parts = [
                    delta.content,
                    delta.reasoning_content,
                    delta.reasoning,
                    delta.refusal,
                    delta.tool_calls,
                ];
                (parts.into_iter().max().unwrap_or_default(), delta.role)
            }
        };
        match text {
            Presence::Filled(_) => Class::Text,
            Presence::Absent | Presence::Empty if self.finish_reason.is_some() => {
                Class::FinishEmpty
            }
            Presence::Empty if !matches!(role, Presence::Filled(_)) => Class::Empty,
            Presence::Absent | Presence::Empty => Class::Quiet,
        }
    }
}

/// Whether a value is there and has content: the only thing to know of a text.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    #[default]
    Absent,
    Empty,
    /// The number of elements of a list; 1 for anything else.
    Filled(u32),
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresenceVisitor)
    }
}

struct PresenceVisitor;

impl<'de> Visitor<'de> for PresenceVisitor {
    type Value = Presence;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Presence, E> {
        Ok(Presence::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Presence, E> {
        Ok(Presence::Filled(1))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Presence, E> {
        Ok(Presence::Filled(1))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Presence, E> {
        Ok(Presence::Filled(1))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Presence, E> {
        Ok(Presence::Filled(1))
    }

    fn visit_str<E>(self, text: &str) -> Result<Presence, E> {
        Ok(if text.is_empty() { Presence::Empty } else { Presence::Filled(1) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Presence, A::Error> {
        let mut count = 0_u32;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(if count == 0 { Presence::Empty } else { Presence::Filled(count) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Presence, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Presence::Filled(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_and_chat_chunks_are_told_apart_by_what_they_carry() {
        for (data, class) in [
            (r#"{"choices":[{"text":"a","finish_reason":null}]}"#, Some(Class::Text)),
            (r#"{"choices":[{"text":"a\nb","finish_reason":"length"}]}"#, Some(Class::Text)),
            (r#"{"choices":[{"text":"","finish_reason":null}]}"#, Some(Class::Empty)),
            (r#"{"choices":[{"text":"","finish_reason":"length"}]}"#, Some(Class::FinishEmpty)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, Some(Class::Quiet)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":"Hi"}}]}"#, Some(Class::Text)),
            (r#"{"choices":[{"delta":{"content":""}}]}"#, Some(Class::Empty)),
            (
                r#"{"choices":[{"delta":{"content":null,"reasoning_content":"so"}}]}"#,
                Some(Class::Text),
            ),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Some(Class::Text)),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Some(Class::FinishEmpty)),
            (r#"{"choices":[{"delta":{}}]}"#, Some(Class::Quiet)),
            (r#"{"choices":[{"message":{"role":"assistant","content":"Hi"}}]}"#, Some(Class::Text)),
            (r#"{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#, None),
            (r#"{"generated_text":"a"}"#, None),
        ] {
            let chunk = Chunk::parse(data.as_bytes()).unwrap();
            assert_eq!(chunk.class.filter(|_| !data.contains("\"choices\":[]")), class, "{data}");
        }
    }

    #[test]
    fn counts_reasons_and_errors_are_read() {
        let chunk = Chunk::parse(br#"{"choices":[{"text":"x","token_ids":[5,6,7],"finish_reason":"abort"}],"usage":null}"#).unwrap();
        assert_eq!(
            (chunk.token_ids, chunk.finish, chunk.usage),
            (Some(3), Some(Finish::Other), None)
        );
        let chunk = Chunk::parse(
            br#"{"choices":[],"usage":{"prompt_tokens":4,"total_tokens":8,"completion_tokens":4}}"#,
        )
        .unwrap();
        assert_eq!(chunk.usage, Some(Usage { prompt_tokens: Some(4), completion_tokens: Some(4) }));
        for (data, error) in [
            (r#"{"error":{"message":"too long","code":400}}"#, "too long"),
            (r#"{"error":"busy"}"#, "busy"),
            (r#"{"object":"error","message":"gone"}"#, "gone"),
        ] {
            assert_eq!(Chunk::parse(data.as_bytes()).unwrap().error.as_deref(), Some(error));
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for data in ["", "nonsense", "[1]", "{\"choices\":5}", "{\"choices\":[{\"text\":\"a\"}"] {
            assert!(Chunk::parse(data.as_bytes()).is_err(), "{data}");
        }
    }
}
