//! Requests of the API: fields read one by one, so that each mistake is named. Runs nothing.

use llem_batch::FinishReason;
use serde_json::{Map, Value};

use super::{Shared, failure::Failure};
use crate::{
    chat::Message,
    engine::{Facts, Request},
    error::EngineError,
    sampling::{self, Sampling},
};

/// Which endpoint a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/completions`
    Completions,
    /// `/v1/chat/completions`
    Chat,
}

/// A request that can run.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// What to compute, one for each choice.
    pub(crate) requests: Vec<Request>,
    /// How to answer.
    pub(crate) form: Form,
}

/// How a request wants its answer.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// Where it came to.
    pub(crate) endpoint: Endpoint,
    /// Token by token, if it does.
    pub(crate) stream: Option<StreamForm>,
    /// With the ids of the tokens.
    pub(crate) return_token_ids: bool,
}

/// What a stream has beside its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamForm {
    /// An event of all usage at its end.
    pub(crate) include_usage: bool,
    /// The usage so far in every event.
    pub(crate) continuous_usage: bool,
}

/// Output tokens of a completion that does not say how many.
const DEFAULT_MAX_TOKENS: usize = 16;

/// Fields that would change the answer and are not implemented; only a neutral value is taken.
const NOT_IMPLEMENTED: [(&str, &[&str]); 12] = [
    ("stop", &["[]"]),
    ("n", &["1"]),
    ("best_of", &["1"]),
    ("echo", &["false"]),
    ("logprobs", &["false", "0"]),
    ("suffix", &[]),
    ("logit_bias", &["{}"]),
    ("presence_penalty", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("response_format", &[r#"{"type":"text"}"#]),
    ("tools", &["[]"]),
    ("use_beam_search", &["false"]),
];

/// Reads a request.
pub(crate) fn parse(
    endpoint: Endpoint,
    body: &[u8],
    shared: &Shared,
    facts: &Facts,
    number: u64,
) -> Result<Parsed, Failure> {
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("the body is no JSON object: {error}")))?;
    check_model(&fields, &shared.name)?;
    for (name, neutral) in NOT_IMPLEMENTED {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(value) if neutral.contains(&value.to_string().as_str()) => {}
            Some(_) => {
                return Err(EngineError::bad_parameter(name, "not supported by this engine").into());
            }
        }
    }
    let prompts = match endpoint {
        Endpoint::Completions => completion_prompts(&fields, facts)?,
        Endpoint::Chat => vec![chat_prompt(&fields, facts)?],
    };
    let sampling = Sampling::from_fields(&fields)?;
    let seed =
        sampling::seed(&fields)?.unwrap_or_else(|| sampling::derived_seed(facts.seed, number));
    let mut requests = Vec::new();
    for prompt in prompts {
        let left = facts.context_length.saturating_sub(prompt.len());
        let default =
            if endpoint == Endpoint::Chat { left } else { DEFAULT_MAX_TOKENS.min(left.max(1)) };
        let request = Request {
            max_tokens: max_tokens(&fields)?.unwrap_or(default),
            min_tokens: whole(&fields, "min_tokens")?.unwrap_or(0),
            ignore_end: flag(&fields, "ignore_eos")?,
            prompt,
            sampling,
            seed,
        };
        if request.min_tokens > request.max_tokens {
            let reason =
                format!("found {}, `max_tokens` is {}", request.min_tokens, request.max_tokens);
            return Err(EngineError::bad_parameter("min_tokens", reason).into());
        }
        facts.check(&request)?;
        requests.push(request);
    }
    Ok(Parsed { requests, form: form(endpoint, &fields)? })
}

fn form(endpoint: Endpoint, fields: &Map<String, Value>) -> Result<Form, EngineError> {
    let empty = Map::new();
    let options = match fields.get("stream_options") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(options)) => options,
        Some(other) => return Err(wrong("stream_options", other, "an object")),
    };
    let stream = StreamForm {
        include_usage: flag(options, "include_usage")?,
        continuous_usage: flag(options, "continuous_usage_stats")?,
    };
    Ok(Form {
        endpoint,
        stream: flag(fields, "stream")?.then_some(stream),
        return_token_ids: flag(fields, "return_token_ids")?,
    })
}

fn check_model(fields: &Map<String, Value>, name: &str) -> Result<(), Failure> {
    match fields.get("model") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(asked)) if asked == name => Ok(()),
        Some(asked) => Err(Failure::not_found(format!(
            "the model {asked} does not exist, this server has `{name}`"
        ))),
    }
}

fn max_tokens(fields: &Map<String, Value>) -> Result<Option<usize>, EngineError> {
    match whole(fields, "max_completion_tokens")? {
        None => whole(fields, "max_tokens"),
        tokens => Ok(tokens),
    }
}

/// Reads a prompt: a text, a list of token ids, or a list of either.
fn completion_prompts(
    fields: &Map<String, Value>,
    facts: &Facts,
) -> Result<Vec<Vec<u32>>, EngineError> {
    let allowed = "a text, a list of token ids, or a list of either";
    match fields.get("prompt") {
        None | Some(Value::Null) => Err(EngineError::bad_parameter("prompt", "it is missing")),
        Some(Value::String(text)) => Ok(vec![facts.encode(text, true)?]),
        Some(prompt @ Value::Array(parts)) => {
            if let Some(tokens) = token_ids(parts) {
                return Ok(vec![tokens]);
            }
            parts
                .iter()
                .map(|part| match part {
                    Value::String(text) => facts.encode(text, true),
                    Value::Array(ids) => {
                        token_ids(ids).ok_or_else(|| wrong("prompt", part, allowed))
                    }
                    _ => Err(wrong("prompt", prompt, allowed)),
                })
                .collect()
        }
        Some(other) => Err(wrong("prompt", other, allowed)),
    }
}

fn token_ids(values: &[Value]) -> Option<Vec<u32>> {
    values.iter().map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

fn chat_prompt(fields: &Map<String, Value>, facts: &Facts) -> Result<Vec<u32>, EngineError> {
    let refused = |reason: String| EngineError::bad_parameter("messages", reason);
    let messages = fields.get("messages").ok_or_else(|| refused("it is missing".to_owned()))?;
    let messages: Vec<Message> = serde_json::from_value(messages.clone()).map_err(|error| {
        refused(format!(
            "each message needs `role` and `content`, a text or a list of texts: {error}"
        ))
    })?;
    if messages.is_empty() {
        return Err(refused("there is none".to_owned()));
    }
    let template = facts.chat.as_ref().map_err(|reason| {
        refused(format!(
            "a conversation needs a chat template, and {reason}; use /v1/completions instead"
        ))
    })?;
    facts.encode(&template.render(&messages).map_err(refused)?, false)
}

fn whole(fields: &Map<String, Value>, name: &str) -> Result<Option<usize>, EngineError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(name, value, "a whole number from 0")),
        },
    }
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, EngineError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(value) => Err(wrong(name, value, "true or false")),
    }
}

fn wrong(name: &str, found: &Value, allowed: &str) -> EngineError {
    let mut found = found.to_string();
    if found.len() > 80 {
        found = found.chars().take(80).chain(['…']).collect();
    }
    EngineError::bad_parameter(name, format!("found `{found}`, {allowed} is allowed"))
}

/// Returns the API's word for the end of a choice.
pub(crate) fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Length => "length",
        FinishReason::Stop => "stop",
        FinishReason::Error => "error",
    }
}
