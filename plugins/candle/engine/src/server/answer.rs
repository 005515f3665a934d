//! Bodies of responses: choices, chunks and usage, as the API has them. Waits for nothing.

use serde_json::{Map, Value, json};

use super::request::{Endpoint, Form, finish_name};
use crate::{arithmetic::count, engine::Token, tokenizer::TextStream};

/// What all bodies of one response share.
#[derive(Clone)]
pub(crate) struct Header {
    /// Identity of the response.
    pub(crate) id: String,
    /// When it began, in seconds since 1970.
    pub(crate) created: u64,
    /// Name of the model.
    pub(crate) model: String,
    /// How it is to be written.
    pub(crate) form: Form,
}

/// One choice of a response while it grows.
pub(crate) struct Choice {
    /// Its place among the choices.
    pub(crate) index: usize,
    /// Length of its prompt.
    pub(crate) prompt_tokens: usize,
    /// Its tokens.
    pub(crate) tokens: Vec<u32>,
    /// Its text so far, where the response is not streamed.
    pub(crate) text: String,
    /// Why it ended, once it has.
    pub(crate) finish: Option<&'static str>,
    stream: TextStream,
}

impl Choice {
    /// Starts a choice.
    pub(crate) fn new(index: usize, prompt_tokens: usize, stream: TextStream) -> Self {
        Self { index, prompt_tokens, tokens: Vec::new(), text: String::new(), finish: None, stream }
    }

    /// Takes a token and returns the text that it completes.
    pub(crate) fn push(&mut self, token: Token) -> String {
        self.tokens.push(token.id);
        let mut piece = self.stream.push(token.id);
        if let Some(finish) = token.finish {
            piece.push_str(&self.stream.finish());
            self.finish = Some(finish_name(finish));
        }
        piece
    }
}

impl Header {
    /// Returns the body of a response that is not streamed.
    pub(crate) fn whole(&self, choices: &[Choice]) -> Value {
        let entries: Vec<Value> = choices
            .iter()
            .map(|choice| {
                let mut entry = match self.form.endpoint {
                    Endpoint::Completions => json!({"index": choice.index, "text": choice.text}),
                    Endpoint::Chat => {
                        json!({"index": choice.index, "message": {"role": "assistant", "content": choice.text}})
                    }
                };
                entry["logprobs"] = Value::Null;
                entry["finish_reason"] = choice.finish.into();
                if self.form.return_token_ids {
                    entry["token_ids"] = json!(choice.tokens);
                }
                entry
            })
            .collect();
        let object = match self.form.endpoint {
            Endpoint::Completions => "text_completion",
            Endpoint::Chat => "chat.completion",
        };
        let mut body = self.envelope(object, &entries);
        body.insert("usage".to_owned(), usage(choices));
        body.into()
    }

    /// Returns the body of the event that opens a choice of a streamed conversation.
    pub(crate) fn opening(&self, choice: &Choice) -> Value {
        let delta = json!({"role": "assistant", "content": ""});
        let entry =
            json!({"index": choice.index, "delta": delta, "logprobs": null, "finish_reason": null});
        let mut body = self.envelope("chat.completion.chunk", &[entry]);
        self.add_continuous_usage(&mut body, choice);
        body.into()
    }

    /// Returns the body of the event for the last token of `choice`, which completed `piece`.
    pub(crate) fn chunk(&self, choice: &Choice, piece: &str) -> Value {
        let (object, mut entry) = match self.form.endpoint {
            Endpoint::Completions => {
                ("text_completion", json!({"index": choice.index, "text": piece}))
            }
            Endpoint::Chat => (
                "chat.completion.chunk",
                json!({"index": choice.index, "delta": {"content": piece}}),
            ),
        };
        entry["logprobs"] = Value::Null;
        entry["finish_reason"] = choice.finish.into();
        if self.form.return_token_ids {
            entry["token_ids"] = json!(choice.tokens[choice.tokens.len() - 1..]);
        }
        let mut body = self.envelope(object, &[entry]);
        self.add_continuous_usage(&mut body, choice);
        body.into()
    }

    /// Returns the body of the event that carries all usage.
    pub(crate) fn closing(&self, choices: &[Choice]) -> Value {
        let object = match self.form.endpoint {
            Endpoint::Completions => "text_completion",
            Endpoint::Chat => "chat.completion.chunk",
        };
        let mut body = self.envelope(object, &[]);
        body.insert("usage".to_owned(), usage(choices));
        body.into()
    }

    fn envelope(&self, object: &str, choices: &[Value]) -> Map<String, Value> {
        let fields = json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        fields.as_object().expect("made as an object").clone()
    }

    fn add_continuous_usage(&self, body: &mut Map<String, Value>, choice: &Choice) {
        if self.form.stream.is_some_and(|stream| stream.continuous_usage) {
            body.insert("usage".to_owned(), usage(std::slice::from_ref(choice)));
        }
    }
}

fn usage(choices: &[Choice]) -> Value {
    let prompt: u64 = choices.iter().map(|choice| count(choice.prompt_tokens)).sum();
    let completion: u64 = choices.iter().map(|choice| count(choice.tokens.len())).sum();
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
