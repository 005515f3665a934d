//! What a controller has decided, so that another one can go on where it died: `cluster/ledger.jsonl`.
//!
//! Written before the deed where a deed must not be done twice unknowingly. What tasks did is not in it: that is read
//! from their journals.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use llem_core::record::TrialId;
use serde::{Deserialize, Serialize};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub(crate) enum Decision {
    /// Shards were made; their files are there.
    Round {
        /// They are numbered in order.
        shards: Vec<Plan>,
        /// Repeats that are planned with it, from 0, the end excluded.
        until_repeat: u32,
    },
    /// Shards were made of trials that an earlier one has failed at or given up; their files are there.
    Retry {
        /// They are numbered on.
        shards: Vec<Plan>,
    },
    /// A job is about to be submitted, with this name.
    Job {
        /// Its name.
        name: String,
        /// Its shards, one a task.
        shards: Vec<u32>,
    },
    /// A shard's task ended without finishing it.
    Ended {
        /// Which.
        shard: u32,
        /// What is known of why.
        reason: String,
    },
    /// A node failed its checks.
    Excluded {
        /// Its name.
        node: String,
        /// Which.
        reason: String,
    },
}

/// What a controller knows of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) gpus: u32,
    /// Time limit.
    pub(crate) minutes: u32,
    /// Its blocks: their numbers and trials.
    pub(crate) blocks: Vec<(u32, Vec<TrialId>)>,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Opens or creates it and reads what is in it; half a last line was never acted upon.
    pub(crate) fn open(path: &Path) -> std::io::Result<(Self, Vec<Decision>)> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let whole = text.rfind('\n').map_or(0, |it| it + 1);
        let decisions =
            text[..whole].lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(u64::try_from(whole).expect("a file's length fits 64 bits"))?;
        Ok((Self { file }, decisions))
    }

    /// Writes a decision down; it is on the disk when this returns.
    pub(crate) fn add(&mut self, decision: &Decision) -> std::io::Result<()> {
        let mut line = serde_json::to_string(decision).expect("decisions have string keys only");
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_read_again_without_a_torn_last_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger.jsonl");
        let job = Decision::Job { name: "llem-a-0".into(), shards: vec![0, 3] };
        let ended = Decision::Ended { shard: 3, reason: "NODE_FAIL".into() };
        let (mut ledger, decisions) = Ledger::open(&path).expect("it is new");
        assert_eq!(decisions, []);
        ledger.add(&job).expect("writable");
        let kept = std::fs::read(&path).expect("readable");
        ledger.add(&ended).expect("writable");
        let whole = std::fs::read(&path).expect("readable");
        for cut in kept.len()..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writable");
            assert_eq!(
                Ledger::open(&path).expect("readable").1,
                std::slice::from_ref(&job),
                "cut at {cut}"
            );
        }
        Ledger::open(&path).expect("readable").0.add(&ended).expect("writable");
        assert_eq!(Ledger::open(&path).expect("readable").1, [job, ended]);
    }
}
