//! What the tasks of a shard have recorded so far: one directory an attempt, each with a journal of its own.
//!
//! Two tasks may run the same shard at once, where one was believed lost. They never write to the same file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use llem_core::record::{Record, TrialId};
use serde::{Deserialize, Serialize};

use crate::store::{Entry, Journal};

/// An attempt says with this file that all trials of these blocks are done that will be.
pub(super) const DONE: &str = "done.json";
/// An attempt says with this file why it will not run here.
pub(super) const REFUSED: &str = "refused.json";

/// Content of [`DONE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Numbers of blocks.
    pub(crate) blocks: BTreeSet<u32>,
}

/// Content of [`REFUSED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) node: String,
    pub(crate) reason: String,
    /// Another node may do better.
    pub(crate) is_of_node: bool,
}

/// One attempt, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) path: PathBuf,
    offset: u64,
    /// Its records that are not merged yet.
    pub(crate) records: Vec<Record>,
    /// Every trial that it has recorded.
    pub(crate) recorded: BTreeSet<TrialId>,
    pub(crate) done: Option<Done>,
    pub(crate) refused: Option<Refused>,
    /// Why its journal can't be read.
    pub(crate) fault: Option<String>,
}

impl Attempt {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// Reads what is new.
    pub(crate) fn refresh(&mut self) {
        // Before the journal, so that what it speaks of is read.
        self.done = self.done.take().or_else(|| json(&self.path.join(DONE)));
        self.refused = self.refused.take().or_else(|| json(&self.path.join(REFUSED)));
        let journal = self.path.join("journal.jsonl");
        let length = fs::metadata(&journal).map_or(0, |it| it.len());
        if length <= self.offset {
            return;
        }
        match Journal::read_from(&journal, self.offset) {
            Ok((entries, offset)) => {
                (self.offset, self.fault) = (offset, None);
                for entry in entries {
                    if let Entry::Record(record) = entry {
                        self.recorded.insert(record.trial.clone());
                        self.records.push(*record);
                    }
                }
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    /// Whether a block of these trials is complete here.
    pub(crate) fn has_block(&self, number: u32, trials: &[TrialId]) -> bool {
        let is_done = self.done.as_ref().is_some_and(|it| it.blocks.contains(&number));
        is_done || trials.iter().all(|it| self.recorded.contains(it))
    }

    /// Takes the last record of each of these trials.
    pub(crate) fn take(&mut self, trials: &[TrialId]) -> Vec<Record> {
        let wanted: BTreeSet<&TrialId> = trials.iter().collect();
        let (own, rest): (Vec<Record>, Vec<Record>) = std::mem::take(&mut self.records)
            .into_iter()
            .partition(|it| wanted.contains(&it.trial));
        self.records = rest;
        let mut last: Vec<Record> = Vec::with_capacity(own.len());
        for record in own {
            last.retain(|it| it.trial != record.trial);
            last.push(record);
        }
        last
    }
}

/// Finds attempts of a shard that are not known yet, in the order in which they began.
pub(crate) fn discover(shard: &Path, known: &mut Vec<Attempt>) {
    let entries = fs::read_dir(shard).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|it| it.file_type().is_ok_and(|it| it.is_dir()))
        .map(|it| it.path())
        .filter(|path| known.iter().all(|it| it.path != *path))
        .collect();
    found.sort();
    known.extend(found.into_iter().map(Attempt::at));
}

/// All attempts of a shard, read to their ends.
pub(crate) fn all(shard: &Path) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    discover(shard, &mut attempts);
    attempts.iter_mut().for_each(Attempt::refresh);
    attempts
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use llem_core::{
        backend::Mode,
        event::Phase,
        record::{EngineReport, FORMAT, Outcome, TrialFailure},
    };

    use super::*;
    use crate::store::Results;

    /// A trial that failed.
    pub(in crate::cluster) fn record(experiment: &str) -> Record {
        let failure = TrialFailure {
            phase: Phase::Load,
            kind: "crash".into(),
            message: String::new(),
            hint: None,
            permanent: false,
            log_tail: String::new(),
        };
        Record {
            format: FORMAT,
            trial: TrialId { experiment: experiment.into(), repeat: 1 },
            position: 0,
            started_at: "2026-01-01T00:00:00Z".into(),
            duration_seconds: 1.0,
            mode: Mode::Offline,
            site: None,
            outcome: Outcome::Failed(failure),
            engine: EngineReport::default(),
            gpu_settings: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_block_is_complete_when_all_its_trials_are_recorded_or_its_task_says_so() {
        let shard = tempfile::tempdir().expect("a directory");
        let path = shard.path().join("1-5-n1");
        let entry = |name| Entry::Record(Box::new(record(name)));
        let mut results = Results::create_at(&path, &[entry("a")]).expect("writable");
        let (mut attempts, trials) = (Vec::new(), [record("a").trial, record("b").trial]);
        discover(shard.path(), &mut attempts);
        attempts[0].refresh();
        assert!(!attempts[0].has_block(7, &trials));
        results.append(&entry("b")).expect("writable");
        attempts[0].refresh();
        assert!(attempts[0].has_block(7, &trials));
        assert_eq!(attempts[0].take(&trials).len(), 2);
        attempts[0].refresh();
        assert_eq!(attempts[0].records, [], "nothing is read twice");
        discover(shard.path(), &mut attempts);
        assert_eq!(attempts.len(), 1);

        results.write_json(DONE, &Done { blocks: BTreeSet::from([8]) }).expect("writable");
        let again = all(shard.path());
        assert!(again[0].has_block(8, &[record("never ran").trial]));
    }
}
