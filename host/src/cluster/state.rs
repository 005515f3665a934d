//! What a controller knows of its shards and jobs.

use std::{collections::BTreeMap, path::PathBuf};

use super::{attempts::Attempt, ledger::Plan};

/// Where a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// To be submitted.
    Open,
    /// In a job, as far as is known.
    Submitted,
    /// Its task runs.
    Running,
    /// All its blocks are merged.
    Complete,
    /// It was tried often enough.
    GivenUp,
}

/// A shard.
#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) plan: Plan,
    pub(super) directory: PathBuf,
    pub(super) status: Status,
    /// Blocks that are merged, in the order of the plan.
    pub(super) merged: Vec<bool>,
    pub(super) attempts: Vec<Attempt>,
    /// Tasks that ended without finishing it.
    pub(super) ended: u32,
    /// How often in a row it was missing from the queue.
    pub(super) missing: u32,
    /// Why its last task ended.
    pub(super) reason: String,
}

impl ShardState {
    pub(super) fn new(plan: Plan, directory: PathBuf) -> Self {
        Self {
            merged: vec![false; plan.blocks.len()],
            plan,
            directory,
            status: Status::Open,
            attempts: Vec::new(),
            ended: 0,
            missing: 0,
            reason: String::new(),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.status, Status::Complete | Status::GivenUp)
    }

    /// How often it has been tried: a requeued task is another attempt of the same job.
    pub(super) fn tries(&self) -> u32 {
        self.ended.max(u32::try_from(self.attempts.len()).unwrap_or(u32::MAX))
    }
}

/// Jobs that may still have tasks, with their shards in the order of their tasks.
pub(super) type Jobs = BTreeMap<String, Vec<usize>>;

/// How many shards are in each state, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) waiting: u32,
    pub(super) running: u32,
    pub(super) complete: u32,
    pub(super) given_up: u32,
}

impl Counts {
    pub(super) fn of(shards: &[ShardState]) -> Self {
        let mut counts = Self::default();
        for shard in shards {
            *match shard.status {
                Status::Open | Status::Submitted => &mut counts.waiting,
                Status::Running => &mut counts.running,
                Status::Complete => &mut counts.complete,
                Status::GivenUp => &mut counts.given_up,
            } += 1;
        }
        counts
    }
}
