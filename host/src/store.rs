//! Results on disk: a directory for each run of a study, with an append-only journal in it.
//!
//! Knows what a record is, not how one comes about.

mod journal;
mod raw;
mod results;

pub(crate) use journal::{Entry, Journal};
pub use journal::{Header, JournalError};
pub(crate) use raw::{RawError, read_requests, read_series, write_requests, write_series};
pub(crate) use results::Results;
pub use results::ResultsError;
