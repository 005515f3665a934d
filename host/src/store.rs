//! Results on disk: a directory for each run of a study, with an append-only journal in it.
//!
//! Knows what a record is, not how one comes about.

mod journal;
mod raw;
mod results;

pub(crate) use journal::{Entry, FORMAT, Journal};
pub use journal::{Header, JournalError};
pub(crate) use raw::{Column, RAW, Table, raw_name, read_requests, read_series};
pub use raw::{RawError, write_requests, write_series};
pub use results::ResultsError;
pub(crate) use results::{Origin, Results};
