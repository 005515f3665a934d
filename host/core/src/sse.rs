//! Server-sent event streams of language models: bytes in, events and token times out.
//!
//! Knows the event-stream format and the chunks of OpenAI-compatible servers. Takes every time as an
//! argument, owns no connection and never waits.

mod chunk;
mod decoder;
mod tally;

pub use chunk::{Chunk, Class, Finish, Usage};
pub use decoder::{DecodeError, Decoder, MAX_EVENT_BYTES};
pub use tally::{CountedBy, Tallied, Tally, TokenArrival};
