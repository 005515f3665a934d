//! The offline worker protocol `llem-batch/1`: JSON lines, one message each.
//!
//! The host writes [`Request`]s to a worker's standard input, the worker writes [`Event`]s to its
//! standard output. All times are `CLOCK_MONOTONIC` nanoseconds, which host and worker share.
//! This crate holds the messages and the line codec; it starts nothing and measures nothing.

mod codec;
mod message;

pub use codec::{CodecError, MAX_LINE_BYTES, decode, encode};
pub use message::{
    Event, FinishReason, Generate, Load, Loaded, Prompts, Request, RequestTimes, Step, WorkerError,
};

/// Name and version of the protocol, as a launch plan states it.
pub const PROTOCOL: &str = "llem-batch/1";
