//! What the server does to a request: times, shape of the stream, faults.
//!
//! Data only; who carries it out is elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a request is answered. Every field has a default, so that a script names only what it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// From the start of the request to its first token, milliseconds.
    pub first_token_ms: f64,
    /// From one chunk to the next, milliseconds.
    pub gap_ms: f64,
    /// Added to each gap, uniform between nothing and this, milliseconds.
    pub jitter_ms: f64,
    /// Tokens in one chunk.
    pub tokens_per_chunk: u64,
    /// Chunks in one write, as an engine that falls behind sends them.
    pub chunks_per_write: u64,
    /// What the server says about token counts.
    pub usage: UsageReport,
    /// The text of each token.
    pub text: Text,
    /// In chat, a chunk with a role alone is sent when the request starts.
    pub role_first: bool,
    /// Comments sent between chunks.
    pub keep_alives: bool,
    /// Each byte is a write of its own.
    pub one_byte_writes: bool,
    /// Requests in work at one time; the others wait. 0 is no limit.
    pub slots: usize,
    /// Nothing is answered before so many requests wait; then all are, and every later one at once. 0 waits for none.
    pub gather: usize,
    /// The key that requests must show. One that does not is told what it showed, as careless servers do.
    pub api_key: Option<String>,
    /// Further pages by their paths, as another engine has them; `@REQUESTS@` and `@TOKENS@` stand for what was served.
    pub pages: BTreeMap<String, String>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// After how many chunks it goes wrong.
    pub fault_after: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            first_token_ms: 0.0,
            gap_ms: 0.0,
            jitter_ms: 0.0,
            tokens_per_chunk: 1,
            chunks_per_write: 1,
            usage: UsageReport::Asked,
            text: Text::Words,
            role_first: true,
            keep_alives: false,
            one_byte_writes: false,
            slots: 0,
            gather: 0,
            api_key: None,
            pages: BTreeMap::new(),
            fault: None,
            fault_after: 0,
        }
    }
}

impl Behaviour {
    /// This behaviour with some fields changed.
    pub fn with(&self, changes: &Value) -> Result<Self, serde_json::Error> {
        let mut fields = serde_json::to_value(self)?;
        if let (Some(fields), Some(changes)) = (fields.as_object_mut(), changes.as_object()) {
            fields.extend(changes.clone());
        }
        serde_json::from_value(fields)
    }
}

/// What the server says about token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsageReport {
    /// What the request asks for.
    Asked,
    /// Nothing, whatever the request asks for.
    Never,
    /// Seven tokens too many, at the end.
    Wrong,
}

/// The text of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// A short word.
    Words,
    /// Nothing: tokens that decode to no text.
    Empty,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Status 503 with a JSON error.
    Unavailable,
    /// Bytes that are no HTTP.
    NoHttp,
    /// The connection is closed within the body.
    Close,
    /// The body ends properly, without finish reason and end mark.
    Truncate,
    /// An event that is no JSON.
    BadEvent,
    /// A chunk of the transfer coding without a size.
    BadChunk,
    /// An event with an error, then the end.
    ErrorEvent,
    /// Silence, with the connection open.
    Stall,
}
