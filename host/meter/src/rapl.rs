//! Energy counters of processor packages and their memory (RAPL).
//!
//! Every domain is read at most once: what contains others (psys), what others contain (cores), and
//! mirrors of a domain are left out. A domain counts as present only after it was seen to advance.

mod domain;
mod perf;
mod powercap;

pub(crate) use domain::{Domain, find};
