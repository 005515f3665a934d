//! Requests as bytes, made before they are due.

use llem_core::workload::{Content, Prompt};
use serde_json::{Map, Value, json};

use super::{LoadError, Plan, Protocol, UsageRequest};

/// Fields that the client sets itself.
const RESERVED: [&str; 8] = [
    "model",
    "prompt",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "min_tokens",
    "ignore_eos",
];

/// Writes requests of one plan; what they share is made once.
#[derive(Debug)]
pub(super) struct Writer {
    head: String,
    /// The shared fields without the closing brace; never empty.
    fields: String,
    protocol: Protocol,
    exact: bool,
}

/// A request ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    /// Length of the prompt where it is made of token ids.
    pub(super) prompt_tokens: Option<u64>,
    /// Output tokens wanted.
    pub(super) output_tokens: u32,
}

impl Writer {
    pub(super) fn new(plan: &Plan) -> Result<Self, LoadError> {
        if let Some(field) = plan.body.keys().find(|field| RESERVED.contains(&field.as_str())) {
            return Err(LoadError::ReservedField { field: field.clone() });
        }
        let accept =
            if plan.protocol == Protocol::Json { "application/json" } else { "text/event-stream" };
        let authorization = plan.target.authorization();
        let head = format!(
            "POST {}{} HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\naccept: {accept}\r\ncontent-length: ",
            plan.target.base_path(),
            plan.protocol.path(),
            plan.target.authority(),
        );
        let mut fields =
            serde_json::to_string(&shared_fields(plan)).expect("JSON values serialise");
        fields.pop();
        Ok(Self { head, fields, protocol: plan.protocol, exact: plan.exact })
    }

    /// The bytes of one request.
    pub(super) fn write(&self, prompt: &Prompt) -> Result<Prepared, LoadError> {
        let refuse = |form| LoadError::PromptForm { protocol: self.protocol.name(), form };
        let content = match (&prompt.content, self.protocol) {
            (Content::Tokens(_), Protocol::OpenAiChat) => return Err(refuse("token ids")),
            (Content::Messages(_), Protocol::OpenAiCompletions | Protocol::Json) => {
                return Err(refuse("messages"));
            }
            (Content::Tokens(tokens), _) => format!(",\"prompt\":{}", text(tokens)),
            (Content::Messages(messages), _) => format!(",\"messages\":{}", text(messages)),
            (Content::Text(words), Protocol::OpenAiChat) => {
                format!(",\"messages\":[{{\"role\":\"user\",\"content\":{}}}]", text(words))
            }
            (Content::Text(words), _) => format!(",\"prompt\":{}", text(words)),
        };
        let count = prompt.output_tokens;
        let exact = if self.exact {
            format!(",\"ignore_eos\":true,\"min_tokens\":{count}")
        } else {
            String::new()
        };
        let end = format!(",\"max_tokens\":{count}{exact}}}");
        let length = self.fields.len() + content.len() + end.len();
        let bytes = [&self.head, &length.to_string(), "\r\n\r\n", &self.fields, &content, &end]
            .concat()
            .into_bytes();
        let prompt_tokens = match &prompt.content {
            Content::Tokens(tokens) => u64::try_from(tokens.len()).ok(),
            Content::Text(_) | Content::Messages(_) => None,
        };
        Ok(Prepared { bytes, prompt_tokens, output_tokens: count })
    }
}

fn shared_fields(plan: &Plan) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("model".to_owned(), plan.served_model.clone().into());
    fields.extend(plan.body.clone());
    if plan.protocol != Protocol::Json {
        fields.insert("stream".to_owned(), true.into());
        let options = match plan.usage {
            UsageRequest::Absent => None,
            UsageRequest::Final => Some(json!({"include_usage": true})),
            UsageRequest::Running => {
                Some(json!({"include_usage": true, "continuous_usage_stats": true}))
            }
        };
        fields.extend(options.map(|options| ("stream_options".to_owned(), options)));
    }
    fields
}

fn text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("prompts serialise")
}

#[cfg(test)]
mod tests {
    use llem_core::{
        arrival::Arrival,
        workload::{Form, Length, Synthetic, Workload},
    };

    use super::*;
    use crate::target::{ApiKey, Target};

    fn plan(protocol: Protocol) -> Plan {
        let workload = Workload::Synthetic(Synthetic {
            vocabulary: 0..10,
            input_tokens: Length::Exact(3),
            output_tokens: Length::Exact(5),
            shared_prefix_tokens: 0,
            form: Form::TokenIds,
            seed: 0,
        });
        let target = Target::parse("http://h:1/v1").unwrap();
        Plan::new(target, protocol, "m", workload, Arrival::ClosedLoop { concurrency: 1 })
    }

    fn written(plan: &Plan, content: Content) -> (String, Value) {
        let prepared =
            Writer::new(plan).unwrap().write(&Prompt { content, output_tokens: 5 }).unwrap();
        let request = String::from_utf8(prepared.bytes).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_completion_carries_ids_settings_and_exact_lengths() {
        let mut plan = plan(Protocol::OpenAiCompletions);
        plan.body.insert("temperature".to_owned(), 0.into());
        plan.target = plan.target.with_key(ApiKey::new("k".to_owned()));
        let (head, body) = written(&plan, Content::Tokens(vec![1, 2, 3]));
        assert!(
            head.starts_with(
                "POST /v1/completions HTTP/1.1\r\nhost: h:1\r\nauthorization: Bearer k\r\n"
            ),
            "{head}"
        );
        assert_eq!(
            body,
            json!({
                "model": "m", "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
                "prompt": [1, 2, 3], "max_tokens": 5, "ignore_eos": true, "min_tokens": 5,
            })
        );
    }

    #[test]
    fn a_chat_turns_text_into_a_message_and_plain_json_does_not_stream() {
        let mut chat = plan(Protocol::OpenAiChat);
        (chat.exact, chat.usage) = (false, UsageRequest::Absent);
        let (_, body) = written(&chat, Content::Text("a \"b\"".to_owned()));
        let messages = json!([{"role": "user", "content": "a \"b\""}]);
        assert_eq!(
            body,
            json!({"model": "m", "stream": true, "messages": messages, "max_tokens": 5})
        );
        let (head, body) = written(&plan(Protocol::Json), Content::Text("a".to_owned()));
        assert!(
            head.starts_with("POST /v1 HTTP/1.1\r\n") && body.get("stream").is_none(),
            "{head}"
        );
    }

    #[test]
    fn fields_of_the_workload_and_prompts_of_the_wrong_form_are_refused() {
        let mut plan = plan(Protocol::OpenAiChat);
        let tokens = Prompt { content: Content::Tokens(vec![1]), output_tokens: 1 };
        let error = Writer::new(&plan).unwrap().write(&tokens).unwrap_err();
        assert_eq!(error.to_string(), "the protocol `openai-chat` does not take token ids");
        plan.body.insert("max_tokens".to_owned(), 1.into());
        let error = Writer::new(&plan).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the request field `max_tokens` is set by the workload, not by a setting"
        );
    }
}
