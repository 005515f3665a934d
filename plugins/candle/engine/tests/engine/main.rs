//! The engine over its two protocols, as its users meet it.

mod common;
mod failures;
mod gguf;
mod server;
mod worker;
