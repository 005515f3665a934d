//! Studies on a cluster: splits a plan into shards, has a scheduler run them, and merges what they record.
//!
//! The submitting side is `controller`; each task of a job runs `task` in its allocation and keeps a journal of its own
//! in the results directory that both share. What they tell each other is only files there, so that either may die at
//! any time. The scheduler is behind [`executor::Executor`].

mod attempts;
mod controller;
mod executor;
mod ledger;
mod merge;
mod rounds;
mod shards;
mod slurm;
mod state;
mod task;

pub(crate) use controller::{Options, dry_run, run};
pub(crate) use executor::{Executor, ExecutorError};
pub(crate) use shards::Invocation;
pub(crate) use slurm::Slurm;
pub(crate) use task::run as run_task;
