//! What people and machines see: live progress, the final tables. Consumes events and records, and
//! knows no process and no device.

mod effects;
mod progress;
mod summary;
mod table;

pub(crate) use progress::reporter;
pub(crate) use summary::{Summary, summarise};
pub(crate) use table::{listed_skipped, print_summary};
