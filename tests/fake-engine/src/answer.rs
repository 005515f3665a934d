//! The bytes of answers, in the shapes that real servers send.

use std::fmt::Write;

use crate::{
    behaviour::{Behaviour, Text, UsageReport},
    request::Incoming,
};

pub(crate) const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
pub(crate) const STREAM_END: &str = "0\r\n\r\n";

/// The shape of one stream.
#[derive(Debug)]
pub(crate) struct Shape {
    is_chat: bool,
    text: Text,
    prompt_tokens: usize,
    final_usage: bool,
    running_usage: bool,
    surplus: u64,
}

impl Shape {
    pub(crate) fn new(request: &Incoming, behaviour: &Behaviour) -> Self {
        let answers = behaviour.usage != UsageReport::Never;
        Self {
            is_chat: request.is_chat(),
            text: behaviour.text,
            prompt_tokens: request.prompt_tokens(),
            final_usage: answers && request.asks_usage(),
            running_usage: answers && request.asks_running_usage(),
            surplus: if behaviour.usage == UsageReport::Wrong { 7 } else { 0 },
        }
    }

    /// The chunk with a role alone.
    pub(crate) fn role(&self) -> String {
        let usage = self.usage(self.running_usage, 0);
        event(&format!(
            r#"{{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1,"model":"fake","choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]{usage}}}"#
        ))
    }

    /// A chunk of tokens; `sent` counts them in.
    pub(crate) fn tokens(&self, tokens: u64, sent: u64, is_last: bool) -> String {
        let text = match self.text {
            Text::Empty => String::new(),
            Text::Words => " word".repeat(usize::try_from(tokens).unwrap_or(1)),
        };
        let finish = if is_last { "\"length\"" } else { "null" };
        let usage = self.usage(self.running_usage, sent);
        event(&if self.is_chat {
            format!(
                r#"{{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1,"model":"fake","choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":{finish},"token_ids":null}}]{usage}}}"#
            )
        } else {
            format!(
                r#"{{"id":"cmpl-0","object":"text_completion","created":1,"model":"fake","choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":{finish},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}}]{usage}}}"#
            )
        })
    }

    /// Usage, where it is due, the end mark and the end of the body.
    pub(crate) fn end(&self, sent: u64) -> String {
        let mut end = String::new();
        if self.final_usage {
            let usage = self.usage(true, sent + self.surplus);
            end = event(&format!(
                r#"{{"id":"cmpl-0","object":"text_completion","created":1,"model":"fake","choices":[]{usage}}}"#
            ));
        }
        end + &event("[DONE]") + STREAM_END
    }

    fn usage(&self, is_due: bool, sent: u64) -> String {
        if !is_due {
            return String::new();
        }
        let prompt = self.prompt_tokens;
        let mut usage = String::new();
        let total = sent.saturating_add(u64::try_from(prompt).unwrap_or(0));
        write!(usage, r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{total},"completion_tokens":{sent}}}"#)
            .expect("a string takes everything");
        usage
    }
}

/// One event as a chunk of the transfer coding.
pub(crate) fn event(data: &str) -> String {
    chunk(&format!("data: {data}\n\n"))
}

pub(crate) fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

/// A whole answer.
pub(crate) fn whole(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The answer of a request that does not stream.
pub(crate) fn whole_generation(request: &Incoming, tokens: u64) -> String {
    let body = serde_json::json!({
        "choices": [{"index": 0, "text": " word".repeat(usize::try_from(tokens).unwrap_or(1)), "finish_reason": "length"}],
        "usage": {"prompt_tokens": request.prompt_tokens(), "completion_tokens": tokens},
    });
    whole("200 OK", "application/json", &body.to_string())
}
