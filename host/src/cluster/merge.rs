//! Brings the blocks of shards into the results of the study, which read like those of one machine.
//!
//! Raw data is moved before the record that rests on it is written, so that a record never lacks what it was computed
//! from, and a merge that was cut off is done again without harm.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::store::{Entry, Results, ResultsError};
use llem_core::record::{Record, TrialId};

/// Directories of raw data; their entries are named after trials.
const RAW: [&str; 4] = ["logs", "requests", "series", "server"];

/// Merges into one results directory.
pub(super) struct Merger<'a> {
    pub(super) results: &'a mut Results,
    /// Trials that have a record there.
    merged: BTreeSet<TrialId>,
    /// Trials that are tried again: what an earlier record rests on goes away with the new one.
    again: BTreeSet<TrialId>,
    /// Nodes whose description is there.
    nodes: BTreeSet<String>,
}

impl<'a> Merger<'a> {
    pub(super) fn new(results: &'a mut Results, earlier: &[Record]) -> Self {
        let merged = earlier.iter().map(|it| it.trial.clone()).collect();
        Self { merged, again: BTreeSet::new(), nodes: BTreeSet::new(), results }
    }

    /// Whether a trial is merged already.
    pub(super) fn has(&self, trial: &TrialId) -> bool {
        self.merged.contains(trial)
    }

    /// How many trials are merged.
    pub(super) fn count(&self) -> usize {
        self.merged.len()
    }

    /// Takes a trial for not merged, so that another record of it can come.
    pub(super) fn forget(&mut self, trial: &TrialId) {
        self.merged.remove(trial);
        self.again.insert(trial.clone());
    }

    /// Takes over records of attempts that are not there yet, and gives them back.
    pub(super) fn add(
        &mut self,
        blocks: Vec<(PathBuf, Vec<Record>)>,
    ) -> Result<Vec<Record>, ResultsError> {
        let mut all = Vec::new();
        for (attempt, records) in blocks {
            let fresh: Vec<Record> =
                records.into_iter().filter(|it| !self.has(&it.trial)).collect();
            let raw_data = raw(&attempt, self.results.path(), &trial_names(&fresh));
            // A merge that was cut off has moved it already.
            if !raw_data.is_empty() {
                self.clear(&fresh)?;
            }
            for (from, to) in raw_data {
                move_entry(&from, &to)?;
            }
            self.describe(&attempt, &fresh)?;
            self.merged.extend(fresh.iter().map(|it| it.trial.clone()));
            all.extend(fresh);
        }
        // One write for all of them: to wait for the disk is what costs.
        let entries: Vec<Entry> =
            all.iter().map(|it| Entry::Record(Box::new(it.clone()))).collect();
        if !entries.is_empty() {
            self.results.append_all(&entries)?;
        }
        Ok(all)
    }

    /// Removes raw data of earlier records of these trials.
    fn clear(&self, records: &[Record]) -> Result<(), ResultsError> {
        let records: Vec<Record> =
            records.iter().filter(|it| self.again.contains(&it.trial)).cloned().collect();
        let results = self.results.path();
        for (earlier, _) in raw(results, results, &trial_names(&records)) {
            let is_directory = earlier.is_dir();
            let removed = if is_directory { fs::remove_dir_all } else { fs::remove_file };
            removed(&earlier).map_err(io(&earlier))?;
        }
        Ok(())
    }

    /// Describes the machine of these records in `nodes/`, if it is a new one; the first is the study's environment.
    fn describe(&mut self, attempt: &Path, records: &[Record]) -> Result<(), ResultsError> {
        let site = records.iter().find_map(|it| it.site.as_ref());
        let Some(node) = site.map(|it| it.node.clone()).filter(|it| !self.nodes.contains(it))
        else {
            return Ok(());
        };
        let nodes = self.results.path().join("nodes");
        fs::create_dir_all(&nodes).map_err(io(&nodes))?;
        let own = attempt.join("environment.json");
        let mut places = vec![nodes.join(format!("{node}.json"))];
        if self.merged.is_empty() {
            places.push(self.results.path().join("environment.json"));
        }
        for place in places {
            fs::copy(&own, &place).map_err(io(&own))?;
        }
        self.nodes.insert(node);
        Ok(())
    }
}

/// How raw data of trials is called.
pub(super) fn trial_names(records: &[Record]) -> Vec<String> {
    records.iter().map(|it| format!("{}-{}", it.trial.experiment, it.trial.repeat)).collect()
}

/// Gives another directory the raw data of these trials as well.
pub(super) fn link_raw(from: &Path, to: &Path, names: &[String]) -> Result<(), ResultsError> {
    for (from, to) in raw(from, to, names) {
        if from.is_dir() {
            fs::create_dir_all(&to).map_err(io(&to))?;
            for entry in fs::read_dir(&from).map_err(io(&from))?.flatten() {
                let to = to.join(entry.file_name());
                fs::hard_link(entry.path(), &to).map_err(io(&to))?;
            }
        } else {
            fs::hard_link(&from, &to).map_err(io(&to))?;
        }
    }
    Ok(())
}

/// Entries that are named after these trials, with whatever extension, and where they belong.
fn raw(from: &Path, to: &Path, names: &[String]) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for kind in RAW {
        for entry in fs::read_dir(from.join(kind)).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let text = file.to_string_lossy();
            let is_own = |name: &String| {
                let rest = text.strip_prefix(name.as_str());
                rest.is_some_and(|it| !it.starts_with(|c: char| c.is_ascii_digit()))
            };
            if names.iter().any(is_own) {
                found.push((entry.path(), to.join(kind).join(&file)));
            }
        }
    }
    found
}

fn move_entry(from: &Path, to: &Path) -> Result<(), ResultsError> {
    // An earlier merge that was cut off may have left it there.
    if to.is_dir() {
        fs::remove_dir_all(to).map_err(io(to))?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(from)(error)),
        _ => Ok(()),
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> ResultsError {
    let path: PathBuf = path.to_owned();
    move |source| ResultsError::Io { path: path.clone(), source }
}
