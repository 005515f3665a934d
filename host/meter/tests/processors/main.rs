//! Processor counters of a machine that is a folder.

mod counters;
mod machine;
mod permissions;
