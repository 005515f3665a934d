//! What people and machines see: live progress, the final tables. Consumes events and records, and
//! knows no process and no device.

pub(crate) mod export;
mod findings;
pub(crate) mod html;
mod live;
mod progress;
mod table;

pub(crate) use progress::reporter;
pub(crate) use table::{judged, listed_skipped, print_experiment, print_summary, ratios};
