//! The journal: one checksummed line an entry, synced before the next trial starts.
//!
//! A crash can at worst tear the last line, which is dropped on the next opening; any other damage
//! is an error that names the line, because silently losing a record is worse than stopping.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use llem_core::{
    journal::{Damaged, line, lines},
    record::{Record, TrialId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the journal's format that this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// First line: what runs.
    Header(Header),
    /// A run of the study continued here.
    Resumed {
        /// RFC 3339 in UTC.
        at: String,
    },
    /// A trial began; without a record after it, it was interrupted.
    TrialStarted {
        /// Which.
        trial: TrialId,
    },
    /// A trial's result.
    Record(Box<Record>),
}

/// What a results directory is about.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Header {
    /// Version of the journal's format.
    pub format: u32,
    /// Version of llem.
    pub llem: String,
    /// Name of the study.
    pub study: String,
    /// RFC 3339 in UTC.
    pub started_at: String,
    /// Ids of the experiments, in the order of the plan.
    pub experiments: Vec<String>,
    /// Components by plugin: name and SHA-256.
    pub plugins: Vec<(String, String)>,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("failed to {doing} the journal `{}`", path.display())]
    Io {
        /// `open`, `read`, `write`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line was changed after it was written.
    #[error("line {line} of the journal `{}` is damaged: its checksum does not fit", path.display())]
    Damaged {
        /// Counted from 1.
        line: usize,
        /// Where.
        path: PathBuf,
    },
    /// A line has an entry that this version does not know.
    #[error("line {line} of the journal `{}` is of another version of llem", path.display())]
    Unknown {
        /// Counted from 1.
        line: usize,
        /// Where.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Journal {
    /// Opens or creates a journal and reads what is in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let io = |doing| move |source| JournalError::Io { doing, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        let (entries, length) = entries(&file, path)?;
        if length < file.metadata().map_err(io("read"))?.len() {
            file.set_len(length).map_err(io("write"))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(io("open"))?;
        Ok((Self { path: path.to_owned(), file, length }, entries))
    }

    /// Hands over the entries of a journal, without opening it for writing.
    pub(crate) fn read(path: &Path, take: &mut dyn FnMut(Entry)) -> Result<(), JournalError> {
        let file = File::open(path).map_err(|source| JournalError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        each(&file, path, take).map(drop)
    }

    /// Reads the whole entries from a byte on, of a journal that another process may be writing, and where they end.
    pub(crate) fn read_from(path: &Path, from: u64) -> Result<(Vec<Entry>, u64), JournalError> {
        let io = |doing| move |source| JournalError::Io { doing, path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io("open"))?;
        file.seek(SeekFrom::Start(from)).map_err(io("read"))?;
        let (entries, whole) = entries(&file, path)?;
        Ok((entries, from + whole))
    }

    /// The first entry alone, however long the rest is and whatever state it is in; none of an empty file.
    pub(crate) fn first(path: &Path) -> Result<Option<Entry>, JournalError> {
        let io = |source| JournalError::Io { doing: "read", path: path.to_owned(), source };
        let mut line = Vec::new();
        BufReader::new(File::open(path).map_err(io)?).read_until(b'\n', &mut line).map_err(io)?;
        Ok(parse(&line, 0, path)?.0.into_iter().next())
    }

    /// Appends an entry; see [`append_all`](Self::append_all).
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Appends entries. Headers and records are on the disk when this returns; what only says that something began
    /// gets there with the next of them, as nothing is lost without it.
    pub(crate) fn append_all(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let line: String = entries.iter().map(encode).collect();
        let lasts = |it: &Entry| matches!(it, Entry::Header(_) | Entry::Record(_));
        let must_last = entries.iter().any(lasts);
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| if must_last { self.file.sync_data() } else { Ok(()) });
        if let Err(source) = written {
            // Half a line must not stand before later ones.
            drop(self.file.set_len(self.length));
            drop(self.file.seek(SeekFrom::Start(self.length)));
            return Err(JournalError::Io { doing: "write", path: self.path.clone(), source });
        }
        self.length += to_u64(line.len());
        Ok(())
    }
}

fn encode(entry: &Entry) -> String {
    line(&serde_json::to_string(entry).expect("entries have string keys only"))
}

/// Reads an entry; a record straight into its type, since records are nearly all of a journal.
fn decode(json: &[u8]) -> serde_json::Result<Entry> {
    if json.starts_with(br#"{"entry":"record","#) {
        return Ok(Entry::Record(Box::new(serde_json::from_slice(json)?)));
    }
    serde_json::from_slice(json)
}

/// What a file has of its place on: the entries, and the length of what is whole.
fn entries(file: &File, path: &Path) -> Result<(Vec<Entry>, u64), JournalError> {
    let mut entries = Vec::new();
    let length = each(file, path, &mut |it| entries.push(it))?;
    Ok((entries, length))
}

/// Hands over one entry after the other and gives the length of what is whole: the text of a large study would take as
/// much memory as its records.
fn each(file: &File, path: &Path, take: &mut dyn FnMut(Entry)) -> Result<u64, JournalError> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let (mut count, mut length, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| JournalError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        let (found, whole) = parse(&line, count, path)?;
        count += found.len();
        found.into_iter().for_each(&mut *take);
        length += to_u64(whole);
        if read == 0 || whole < read {
            return Ok(length);
        }
    }
}

/// The entries and the length of what is whole, after so many other lines.
fn parse(bytes: &[u8], before: usize, path: &Path) -> Result<(Vec<Entry>, usize), JournalError> {
    let (lines, whole) = lines(bytes).map_err(|Damaged { line }| JournalError::Damaged {
        line: before + line,
        path: path.to_owned(),
    })?;
    let mut entries = Vec::with_capacity(lines.len());
    for json in lines {
        let entry = decode(json).map_err(|source| JournalError::Unknown {
            line: before + entries.len() + 1,
            path: path.to_owned(),
            source,
        })?;
        entries.push(entry);
    }
    Ok((entries, whole))
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a file's length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(repeat: u32) -> Entry {
        Entry::TrialStarted { trial: TrialId { experiment: "e".into(), repeat } }
    }

    fn journal_of(entries: &[Entry]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal.jsonl");
        let (mut journal, found) = Journal::open(&path).expect("it is new");
        assert_eq!(found, []);
        for entry in entries {
            journal.append(entry).expect("it is writable");
        }
        (directory, path)
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let entries = [started(1), started(2)];
        let (_directory, path) = journal_of(&entries);
        assert_eq!(Journal::open(&path).expect("it is whole").1, entries);
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_was_torn() {
        let (_directory, path) = journal_of(&[started(1), started(2)]);
        let whole = std::fs::read(&path).expect("readable");
        let first = whole.iter().position(|it| *it == b'\n').expect("two lines") + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("writable");
            let (mut journal, entries) = Journal::open(&path).expect("the rest is whole");
            assert_eq!(entries, [started(1)], "cut at {cut}");
            journal.append(&started(3)).expect("writable");
            assert_eq!(Journal::open(&path).expect("whole").1, [started(1), started(3)]);
        }
    }

    #[test]
    fn any_flipped_bit_in_a_whole_line_is_found_and_named() {
        let (_directory, path) = journal_of(&[started(1), started(2)]);
        let whole = std::fs::read(&path).expect("readable");
        let first = whole.iter().position(|it| *it == b'\n').expect("two lines");
        for at in (0..first).step_by(7) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("writable");
            let error = Journal::open(&path).expect_err("it is damaged").to_string();
            assert!(error.contains("line 1"), "{error}");
        }
    }
}
