//! Loads backend plugins and calls them: the only crate that knows WebAssembly.
//!
//! A plugin is a component that exports `llem:backend`. [`Registry`] finds one by name or path,
//! [`Plugin`] calls it with and answers with the plain data of [`llem_core::backend`]. Each call
//! runs in a fresh instance that can reach nothing, under a deadline, a memory cap and a reply cap,
//! and its reply is checked before it is believed. What a plan may contain is the launcher's to
//! judge, and rules between parameters are the study's; nothing here starts anything.

mod bindings;
mod cache;
mod call;
mod check;
mod convert;
mod engine;
mod fault;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log;
mod mark;
mod plugin;
mod registry;
mod store;
mod ticker;

pub use cache::Cache;
pub use fault::{BadReply, CallError, Cause, LoadError, PluginFault};
pub use log::{LogLevel, LogLine};
pub use plugin::{Origin, Plugin};
pub use registry::{Installed, Registry};
