//! Requests as bytes: found in what was read, and understood as far as the server needs.

use serde_json::Value;

/// A request that has come in full.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) path: String,
    pub(crate) body: Value,
    /// The key of a bearer token.
    pub(crate) key: Option<String>,
}

/// Takes one request off the front of the bytes; none while it is incomplete or is none.
pub(crate) fn take_request(bytes: &mut Vec<u8>) -> Option<Incoming> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) | Err(_) => return None,
    };
    let path = parsed.path.unwrap_or("/").to_owned();
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let length = header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let key = header("authorization").and_then(|it| it.strip_prefix("Bearer "));
    let key = key.map(str::to_owned);
    let body = bytes.get(head..head + length)?;
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    bytes.drain(..head + length);
    Some(Incoming { path, body, key })
}

impl Incoming {
    pub(crate) fn is_chat(&self) -> bool {
        self.path.ends_with("/chat/completions")
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.path.ends_with("/completions") && self.body["stream"] == Value::Bool(true)
    }

    pub(crate) fn is_generation(&self) -> bool {
        self.path.ends_with("/completions") || self.path.ends_with("/generate")
    }

    pub(crate) fn output_tokens(&self) -> u64 {
        self.body["max_tokens"].as_u64().unwrap_or(16)
    }

    /// Ids or words of the prompt.
    pub(crate) fn prompt_tokens(&self) -> usize {
        match &self.body["prompt"] {
            Value::Array(ids) => ids.len(),
            Value::String(text) => text.split_whitespace().count(),
            _ => self.body["messages"].to_string().split_whitespace().count(),
        }
    }

    pub(crate) fn asks_usage(&self) -> bool {
        self.body["stream_options"]["include_usage"] == Value::Bool(true)
    }

    pub(crate) fn asks_running_usage(&self) -> bool {
        self.body["stream_options"]["continuous_usage_stats"] == Value::Bool(true)
    }
}
