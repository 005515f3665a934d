//! What is asked of an engine: prompts and the output lengths wanted, deterministic from a seed.
//!
//! Reads no file and owns no tokenizer: data sets and traces come as text, and truncation happens
//! where the tokenizer is.

mod corpora;
mod dataset;
mod replay;
mod sessions;
mod stagger;
mod synthetic;

pub use corpora::{UnknownCorpus, corpus};
pub use dataset::{Dataset, DatasetError, TraceEntry, parse_dataset, parse_trace};
pub use replay::Replay;
pub use sessions::Sessions;
pub use stagger::first_output_tokens;
pub use synthetic::{Form, Length, LengthError, Synthetic};

use serde::{Deserialize, Serialize};

/// One request: its content and how much output is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What the model reads.
    pub content: Content,
    /// Output tokens wanted.
    pub output_tokens: u32,
}

/// What the model reads, in one of three forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Token ids: exact lengths, no tokenizer involved.
    Tokens(Vec<u32>),
    /// Text for the engine's tokenizer.
    Text(String),
    /// The messages of a conversation so far; only for chat endpoints.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Where prompts come from; every index gives the same prompt each time it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Drawn from a seed.
    Synthetic(Synthetic),
    /// Records of a data set, in a seeded order, begun anew when used up.
    Dataset(Dataset),
    /// Conversations of several turns, drawn from a seed.
    Sessions(Sessions),
    /// The times and lengths of a request trace.
    Replay(Replay),
}

impl Workload {
    /// The prompt of the request with this index.
    pub fn prompt(&self, index: u64) -> Prompt {
        match self {
            Self::Synthetic(synthetic) => synthetic.prompt(index),
            Self::Dataset(dataset) => dataset.prompt(index),
            Self::Sessions(sessions) => sessions.prompt(index),
            Self::Replay(replay) => replay.prompt(index),
        }
    }

    /// How many requests follow the one with this index in its session: each waits for the answer before it.
    pub fn turns_after(&self, index: u64) -> u64 {
        match self {
            Self::Sessions(sessions) => sessions.turns_after(index),
            Self::Synthetic(_) | Self::Dataset(_) | Self::Replay(_) => 0,
        }
    }

    /// A prompt that no smaller index has, not even where a data set begins anew: with it an engine warms up without
    /// having seen what it is measured with.
    ///
    /// Records that were used before come with their words or tokens rotated, so their length stays.
    pub fn unseen(&self, index: u64) -> Prompt {
        match self {
            Self::Dataset(dataset) => dataset.unseen(index),
            Self::Synthetic(_) | Self::Sessions(_) | Self::Replay(_) => self.prompt(index),
        }
    }
}
