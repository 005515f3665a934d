//! The messages of the protocol. Unknown fields are ignored, unknown messages are errors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the host asks of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Loads the model; answered by [`Event::Loaded`].
    Load(Load),
    /// Generates for a batch of prompts; answered by `begin`, any number of `step`, `end`.
    Generate(Generate),
    /// Ends the worker; answered by [`Event::Bye`].
    Quit,
}

/// A model and the settings to load it with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Model directory, file or hub id, as the worker sees it.
    pub model: String,
    /// Load-phase settings by their path without the section, as the plugin's plan gave them.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Seed of everything random in the engine.
    pub seed: u64,
}

/// One batch of prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Echoed in every event that belongs to this batch.
    pub id: u64,
    /// The prompts: `prompts` (token ids) or `texts`.
    #[serde(flatten)]
    pub prompts: Prompts,
    /// Output tokens for each request.
    pub max_tokens: u32,
    /// Generate exactly `max_tokens`, whatever end-of-sequence token comes.
    pub exact: bool,
    /// Request-phase settings.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Return the generated text of each request in `end`.
    #[serde(default)]
    pub return_text: bool,
}

/// The prompts of a batch, in one of two forms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompts {
    /// Token ids; nothing is tokenised or truncated.
    #[serde(rename = "prompts")]
    Tokens(Vec<Vec<u32>>),
    /// Texts, for the worker's tokenizer.
    #[serde(rename = "texts")]
    Texts(Vec<String>),
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    /// The model is in memory and the device is synchronised.
    Loaded(Loaded),
    /// Generation starts; the device was idle and synchronised just before.
    Begin {
        /// Of the batch.
        id: u64,
        /// `CLOCK_MONOTONIC`, nanoseconds.
        at_ns: u64,
    },
    /// Progress of a running batch, at most 50 a second.
    Step(Step),
    /// All requests of the batch have ended and the device is synchronised.
    End {
        /// Of the batch.
        id: u64,
        /// `CLOCK_MONOTONIC`, nanoseconds.
        at_ns: u64,
        /// One entry a prompt, in the order of the prompts.
        requests: Vec<RequestTimes>,
    },
    /// The worker ends now.
    Bye,
    /// Something failed.
    Error(WorkerError),
}

/// Answer to [`Request::Load`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Engine name, for the record.
    pub engine: String,
    /// Engine version, for the record.
    pub version: String,
    /// What the engine really uses, by setting name.
    #[serde(default)]
    pub effective: Map<String, Value>,
    /// Memory that the loaded model takes, in bytes, where the engine can tell.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
}

/// Work done since the previous step of the same batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Of the batch.
    pub id: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
    /// Prompt tokens processed since the previous step.
    pub prefill_tokens: u64,
    /// Output tokens made since the previous step.
    pub decode_tokens: u64,
    /// Requests in work at this time.
    pub running: u32,
}

/// Times and counts of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTimes {
    /// Prompt tokens, padding excluded.
    pub input_tokens: u64,
    /// Generated tokens, padding and finished rows excluded.
    pub output_tokens: u64,
    /// When the request was handed to the engine, nanoseconds.
    pub scheduled_ns: u64,
    /// When its first token was there, nanoseconds; null where the engine can't tell.
    #[serde(default)]
    pub first_token_ns: Option<u64>,
    /// When its last token was there, nanoseconds; null where the engine can't tell.
    #[serde(default)]
    pub last_token_ns: Option<u64>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The generated text, where [`Generate::return_text`] asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Why a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The wanted number of tokens was made.
    Length,
    /// An end-of-sequence token or stop condition.
    Stop,
    /// It failed.
    Error,
}

/// A failure, told apart by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// `out-of-memory`, `model-not-found`, `bad-parameter`, `unsupported-hardware`, `protocol` or `crash`; an open set.
    pub kind: String,
    /// For people.
    pub message: String,
    /// The worker can't go on.
    pub fatal: bool,
}
