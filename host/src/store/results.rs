//! A results directory: named for people, locked while a run writes to it.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Entry, Header, Journal, JournalError, RAW, RawError};

/// A results directory that this process writes to.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    journal: Journal,
    _lock: File,
}

/// Where results come from: what `origin.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Absolute path of the directory that the study's relative paths are relative to.
    pub(crate) directory: PathBuf,
}

/// Why a results directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Reading or writing failed.
    #[error("failed to use the results at `{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` is no file of this version of llem", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// Another run is at work there.
    #[error("another run of llem writes to `{}`", .0.display())]
    Locked(PathBuf),
    /// There is nothing to go on with.
    #[error("no results of the study `{study}` below `{}`", parent.display())]
    NothingToResume {
        /// Its name.
        study: String,
        /// Where they were looked for.
        parent: PathBuf,
    },
    /// The directory has no header.
    #[error("`{}` holds no results of llem", .0.display())]
    NotResults(PathBuf),
    /// A newer llem wrote it.
    #[error("`{}` has results of format {found}; this version of llem reads up to {known}", path.display())]
    TooNew {
        /// Where.
        path: PathBuf,
        /// Format of the journal, or of a record in it.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// The study changed since.
    #[error("the study differs from that of `{}`: {difference}", path.display())]
    Changed {
        /// Where.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The journal can't be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Raw data can't be used.
    #[error(transparent)]
    Raw(#[from] RawError),
}

impl Results {
    /// Makes a new directory for a run of a study below `parent`.
    pub(crate) fn create(parent: &Path, header: Header, stamp: &str) -> Result<Self, ResultsError> {
        let base = format!("{}-{stamp}", header.study);
        let names = std::iter::once(base.clone()).chain((2..).map(|it| format!("{base}-{it}")));
        fs::create_dir_all(parent).map_err(io(parent))?;
        for name in names {
            let path = parent.join(name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let (mut results, _) = Self::open(&path)?;
                    results.journal.append(&Entry::Header(header))?;
                    // A synced file is lost with the power all the same if its name is not on the disk.
                    sync_directory(&path)
                        .and_then(|()| sync_directory(parent))
                        .map_err(io(&path))?;
                    return Ok(results);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(io(&path)(error)),
            }
        }
        unreachable!("the names never end")
    }

    /// Makes a directory at a path that is nobody else's, with a journal that begins with these entries.
    pub(crate) fn create_at(path: &Path, entries: &[Entry]) -> Result<Self, ResultsError> {
        fs::create_dir_all(path).map_err(io(path))?;
        let (mut results, _) = Self::open(path)?;
        results.journal.append_all(entries)?;
        Ok(results)
    }

    /// Opens a directory to go on with it, if it is about the same plan.
    pub(crate) fn resume(path: &Path, header: &Header) -> Result<(Self, Vec<Entry>), ResultsError> {
        if !path.join(JOURNAL).is_file() {
            return Err(ResultsError::NotResults(path.to_owned()));
        }
        let (results, entries) = Self::open(path)?;
        let Some(Entry::Header(found)) = entries.first() else {
            return Err(ResultsError::NotResults(path.to_owned()));
        };
        match difference(found, header) {
            None => Ok((results, entries)),
            Some(difference) => Err(ResultsError::Changed { path: path.to_owned(), difference }),
        }
    }

    /// Opens a directory that has results already, to add to them.
    pub(crate) fn open_again(path: &Path) -> Result<Self, ResultsError> {
        if !path.join(JOURNAL).is_file() {
            return Err(ResultsError::NotResults(path.to_owned()));
        }
        Ok(Self::open(path)?.0)
    }

    /// The newest results of a study below `parent`.
    pub(crate) fn newest(parent: &Path, study: &str) -> Result<PathBuf, ResultsError> {
        let prefix = format!("{study}-");
        let of_study = |path: &PathBuf| match Journal::first(&path.join(JOURNAL)) {
            Ok(first) => matches!(first, Some(Entry::Header(header)) if header.study == study),
            // Results that can't be read must not make way for older ones in silence.
            Err(JournalError::Damaged { .. } | JournalError::Unknown { .. }) => {
                path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&prefix))
            }
            Err(JournalError::Io { .. }) => false,
        };
        let mut found: Vec<PathBuf> = fs::read_dir(parent)
            .map(|entries| entries.flatten().map(|it| it.path()).filter(of_study).collect())
            .unwrap_or_default();
        found.sort();
        found.pop().ok_or_else(|| ResultsError::NothingToResume {
            study: study.to_owned(),
            parent: parent.to_owned(),
        })
    }

    /// Reads all entries of a results directory.
    pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, ResultsError> {
        let mut entries = Vec::new();
        Self::read_each(path, &mut |it| entries.push(it))?;
        Ok(entries)
    }

    /// Hands over the entries of a results directory one after the other.
    pub(crate) fn read_each(path: &Path, take: &mut dyn FnMut(Entry)) -> Result<(), ResultsError> {
        let journal = path.join(JOURNAL);
        if !journal.is_file() {
            return Err(ResultsError::NotResults(path.to_owned()));
        }
        Ok(Journal::read(&journal, take)?)
    }

    fn open(path: &Path) -> Result<(Self, Vec<Entry>), ResultsError> {
        let lock = File::create(path.join("lock")).map_err(io(path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| ResultsError::Locked(path.to_owned()))?;
        for name in RAW {
            fs::create_dir_all(path.join(name)).map_err(io(path))?;
        }
        let (journal, entries) = Journal::open(&path.join(JOURNAL))?;
        Ok((Self { path: path.to_owned(), journal, _lock: lock }, entries))
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends to the journal; headers and records are on the disk when this returns.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), ResultsError> {
        Ok(self.journal.append(entry)?)
    }

    /// Appends several entries at once; they are on the disk when this returns.
    pub(crate) fn append_all(&mut self, entries: &[Entry]) -> Result<(), ResultsError> {
        Ok(self.journal.append_all(entries)?)
    }

    /// Reads a file beside the journal.
    pub(crate) fn read_json<T: DeserializeOwned>(
        results: &Path,
        name: &str,
    ) -> Result<T, ResultsError> {
        let path = results.join(name);
        let text = fs::read_to_string(&path).map_err(io(&path))?;
        serde_json::from_str(&text).map_err(|source| ResultsError::Unreadable { path, source })
    }

    /// Writes a file beside the journal, whole or not at all.
    pub(crate) fn write_json(
        &self,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), ResultsError> {
        let text = serde_json::to_string(value).expect("what llem writes has string keys only");
        self.write_text(name, &text)
    }

    /// Writes a text file beside the journal, whole or not at all.
    pub(crate) fn write_text(&self, name: &str, text: &str) -> Result<(), ResultsError> {
        let path = self.path.join(name);
        let partial = path.with_extension("partial");
        File::create(&partial)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&partial, &path))
            .and_then(|()| path.parent().map_or(Ok(()), sync_directory))
            .map_err(|error| {
                drop(fs::remove_file(&partial));
                io(&path)(error)
            })
    }
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

const JOURNAL: &str = "journal.jsonl";

fn io(path: &Path) -> impl Fn(std::io::Error) -> ResultsError {
    let path = path.to_owned();
    move |source| ResultsError::Io { path: path.clone(), source }
}

/// What of two headers makes their records incomparable.
fn difference(found: &Header, wanted: &Header) -> Option<String> {
    if found.format != wanted.format {
        return Some(format!("journal format {} instead of {}", found.format, wanted.format));
    }
    if found.seed != wanted.seed {
        return Some(format!("seed {} instead of {}", found.seed, wanted.seed));
    }
    if let Some((name, _)) = wanted.plugins.iter().find(|it| !found.plugins.contains(it)) {
        return Some(format!("another build of the plugin `{name}`"));
    }
    let missing = wanted.experiments.iter().filter(|it| !found.experiments.contains(it)).count();
    let extra = found.experiments.iter().filter(|it| !wanted.experiments.contains(it)).count();
    (missing + extra > 0).then(|| format!("{missing} experiments are new and {extra} are gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            format: 1,
            llem: "0.1.0".into(),
            study: "batching".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            experiments: vec!["a".into(), "b".into()],
            plugins: vec![("candle".into(), "00".into())],
            seed: 42,
        }
    }

    #[test]
    fn two_runs_in_the_same_second_get_two_directories() {
        let parent = tempfile::tempdir().expect("a directory");
        let first = Results::create(parent.path(), header(), "2026").expect("writable");
        let second = Results::create(parent.path(), header(), "2026").expect("writable");
        assert_ne!(first.path(), second.path());
        assert_eq!(
            Results::newest(parent.path(), "batching").expect("there are two"),
            second.path()
        );
    }

    #[test]
    fn a_directory_in_use_is_refused_and_a_changed_study_says_what_changed() {
        let parent = tempfile::tempdir().expect("a directory");
        let results = Results::create(parent.path(), header(), "2026").expect("writable");
        let path = results.path().to_owned();
        assert!(matches!(Results::resume(&path, &header()), Err(ResultsError::Locked(_))));
        drop(results);
        assert!(Results::resume(&path, &header()).is_ok());
        let changed = Header { experiments: vec!["a".into(), "c".into()], ..header() };
        let error = Results::resume(&path, &changed).expect_err("it changed").to_string();
        assert!(error.ends_with("1 experiments are new and 1 are gone"), "{error}");
    }

    #[test]
    fn a_directory_without_a_journal_is_no_result() {
        let parent = tempfile::tempdir().expect("a directory");
        assert!(matches!(
            Results::resume(parent.path(), &header()),
            Err(ResultsError::NotResults(_))
        ));
        assert!(matches!(
            Results::newest(parent.path(), "x"),
            Err(ResultsError::NothingToResume { .. })
        ));
    }
}
