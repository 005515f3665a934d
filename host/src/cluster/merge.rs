//! Brings the blocks of shards into the results of the study, which read like those of one machine.
//!
//! Raw data is moved before the record that rests on it is written, so that a record never lacks what it was computed
//! from, and a merge that was cut off is done again without harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::store::{Entry, RAW, Results, ResultsError, raw_name};
use llem_core::record::{Record, TrialId};

/// Merges into one results directory.
pub(super) struct Merger<'a> {
    pub(super) results: &'a mut Results,
    /// Trials that have a record there.
    merged: BTreeSet<TrialId>,
    /// Trials that are tried again: what an earlier record rests on goes away with the new one.
    again: BTreeSet<TrialId>,
    /// That, by names of trials, once it was looked for.
    replaced: Option<BTreeMap<String, Vec<PathBuf>>>,
    /// Nodes whose description is there.
    nodes: BTreeSet<String>,
}

impl<'a> Merger<'a> {
    pub(super) fn new(results: &'a mut Results, earlier: &[Record]) -> Self {
        let merged = earlier.iter().map(|it| it.trial.clone()).collect();
        let (again, nodes) = (BTreeSet::new(), BTreeSet::new());
        Self { merged, again, replaced: None, nodes, results }
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
            self.clear(&attempt, &fresh)?;
            for (_, from, to) in raw(&attempt, self.results.path(), &trial_names(&fresh)) {
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

    /// Removes raw data of earlier records of these trials. A note in the attempt says that it is done: after a merge that was
    /// cut off, what is there may be the new one.
    fn clear(&mut self, attempt: &Path, records: &[Record]) -> Result<(), ResultsError> {
        let again: Vec<String> = records
            .iter()
            .map(|it| &it.trial)
            .filter(|it| self.again.contains(it))
            .map(raw_name)
            .collect();
        let Some(note) = again.first().map(|it| attempt.join(format!("replaces-{it}"))) else {
            return Ok(());
        };
        if note.exists() {
            return Ok(());
        }
        // All at once: there may be as many entries as trials.
        let replaced = self.replaced.get_or_insert_with(|| {
            let (results, mut found) = (self.results.path(), BTreeMap::new());
            for (trial, entry, _) in
                raw(results, results, &self.again.iter().map(raw_name).collect())
            {
                found.entry(trial).or_insert_with(Vec::new).push(entry);
            }
            found
        });
        for earlier in again.iter().filter_map(|it| replaced.remove(it)).flatten() {
            let removed = if earlier.is_dir() { fs::remove_dir_all } else { fs::remove_file };
            removed(&earlier).map_err(io(&earlier))?;
        }
        fs::File::create(&note).map(drop).map_err(io(&note))
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
pub(super) fn trial_names(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|it| raw_name(&it.trial)).collect()
}

/// Gives another directory the raw data of these trials as well.
pub(super) fn link_raw(
    from: &Path,
    to: &Path,
    names: &BTreeSet<String>,
) -> Result<(), ResultsError> {
    for (_, from, to) in raw(from, to, names) {
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

/// Entries that are named after these trials, with whatever extension: whose they are, and where they belong.
fn raw(from: &Path, to: &Path, names: &BTreeSet<String>) -> Vec<(String, PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for kind in RAW {
        for entry in fs::read_dir(from.join(kind)).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let text = file.to_string_lossy();
            if let Some(own) = owners(&text).find(|it| names.contains(*it)) {
                found.push((own.to_owned(), entry.path(), to.join(kind).join(&file)));
            }
        }
    }
    found
}

/// Names of trials that an entry may belong to: what ends with a hyphen and a whole number.
fn owners(entry: &str) -> impl Iterator<Item = &str> {
    entry.match_indices('-').map(|(at, _)| {
        let rest = &entry[at + 1..];
        let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        &entry[..at + 1 + digits]
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::attempts::tests::record;

    #[test]
    fn what_a_trial_that_is_tried_again_left_goes_away_once_and_what_is_new_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name);
        let put = |name: &str, text: &str| {
            fs::create_dir_all(place(name).parent().expect("it has one")).expect("writable");
            fs::write(place(name), text).expect("writable");
        };
        let text = |name: &str| fs::read_to_string(place(name)).ok();
        let merge = |results: &mut Results| {
            let mut merger = Merger::new(results, &[record("a"), record("b")]);
            merger.forget(&record("a").trial);
            let blocks = vec![(place("attempt"), vec![record("a"), record("b")])];
            merger.add(blocks).expect("writable").len()
        };
        let mut results = Results::create_at(&place("results"), &[]).expect("writable");
        for name in ["logs/a-1", "series/a-1", "logs/a-10", "logs/b-1"] {
            put(&format!("results/{name}"), "old");
        }
        put("attempt/logs/a-1", "new");
        assert_eq!(merge(&mut results), 1, "the other one is not tried again");
        assert_eq!(text("results/logs/a-1").as_deref(), Some("new"));
        assert_eq!(text("results/series/a-1"), None, "nothing took its place");
        for name in ["results/logs/a-10", "results/logs/b-1"] {
            assert_eq!(text(name).as_deref(), Some("old"), "{name}");
        }
        // As where the merge was cut off after the first of two files.
        put("attempt/server/a-1", "new");
        merge(&mut results);
        for name in ["results/logs/a-1", "results/server/a-1"] {
            assert_eq!(text(name).as_deref(), Some("new"), "{name}");
        }
    }

    #[test]
    fn an_entry_belongs_to_the_trial_whose_whole_name_it_begins_with() {
        let owner = |entry: &'static str| {
            let names = BTreeSet::from(["ab12-1".to_owned(), "ab-cd-12".to_owned()]);
            owners(entry).find(|it| names.contains(*it))
        };
        assert_eq!(owner("ab12-1"), Some("ab12-1"));
        assert_eq!(owner("ab12-1.parquet"), Some("ab12-1"));
        assert_eq!(owner("ab-cd-12-server.log"), Some("ab-cd-12"));
        for entry in ["ab12-10", "ab12-", "ab12", "xab12-1", "ab-cd-1"] {
            assert_eq!(owner(entry), None, "{entry}");
        }
    }
}
