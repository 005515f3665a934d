//! The book of grants: `grants.toml` in llem's data directory, one entry a component, by its hash.
//!
//! It can be edited by hand; a book that others can write is not believed.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use llem_core::backend::Descriptor;
use serde::{Deserialize, Serialize};

use crate::{diagnostics::Failure, exit::ExitStatus, machine};

/// What was decided, for all components.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    file: File,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    grant: Vec<Entry>,
}

/// What was decided for one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Of the component.
    pub(crate) sha256: String,
    /// Id and version, for people.
    pub(crate) plugin: String,
    /// What it may do.
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
    /// What it may not do and is not to be asked for again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) denied: Vec<String>,
    /// When that was decided.
    pub(crate) at: String,
}

impl Book {
    /// Opens the user's book; there need not be one.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_at(machine::data_directory().join("grants.toml"))
    }

    fn open_at(path: PathBuf) -> Result<Self, Failure> {
        let text = match read_own(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unusable(&path, &error.to_string())),
        };
        let file = toml::from_str(&text).map_err(|it| unusable(&path, &it.to_string()))?;
        Ok(Self { path, file })
    }

    /// What was decided for a component.
    pub(crate) fn entry(&self, sha256: &str) -> Option<&Entry> {
        self.file.grant.iter().find(|it| it.sha256 == sha256)
    }

    /// Adds to what was decided for a component.
    pub(crate) fn add(
        &mut self,
        sha256: &str,
        descriptor: &Descriptor,
        permissions: Vec<String>,
        denied: Vec<String>,
    ) {
        let index = self.file.grant.iter().position(|it| it.sha256 == sha256);
        let index = index.unwrap_or_else(|| {
            self.file.grant.push(Entry {
                sha256: sha256.to_owned(),
                plugin: format!("{} {}", descriptor.id, descriptor.version),
                permissions: Vec::new(),
                denied: Vec::new(),
                at: String::new(),
            });
            self.file.grant.len() - 1
        });
        let entry = &mut self.file.grant[index];
        entry.at = jiff::Timestamp::now().to_string();
        entry.denied.retain(|it| !permissions.contains(it));
        entry.permissions.retain(|it| !denied.contains(it));
        for (list, names) in [(&mut entry.permissions, permissions), (&mut entry.denied, denied)] {
            list.extend(names);
            list.sort();
            list.dedup();
        }
    }

    /// Forgets a component.
    pub(crate) fn remove(&mut self, sha256: &str) {
        self.file.grant.retain(|it| it.sha256 != sha256);
    }

    /// Writes it, whole or not at all, for its user alone.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let text = toml::to_string(&self.file).expect("a book is tables of strings");
        write_own(&self.path, text.as_bytes()).map_err(|it| unusable(&self.path, &it.to_string()))
    }
}

/// Reads a file that only this user, or root, can have written.
pub(crate) fn read_own(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let own = rustix::process::geteuid().as_raw();
    if !(metadata.uid() == own || metadata.uid() == 0) || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others can write it; `chmod go-w` it if its content is yours",
        ));
    }
    fs::read_to_string(path)
}

/// Writes a file for this user alone, whole or not at all, and its directory where there is none.
pub(crate) fn write_own(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn unusable(path: &Path, why: &str) -> Failure {
    let message = format!("failed to use the grants in `{}`: {why}", path.display());
    Failure::message(ExitStatus::Environment, message)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    pub(in crate::grants) fn descriptor() -> Descriptor {
        Descriptor {
            id: "other".into(),
            title: "Other".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            homepage: None,
            license: None,
            modes: Vec::new(),
            runners: Vec::new(),
            permissions: Vec::new(),
            extra: Vec::new(),
        }
    }

    #[test]
    fn what_was_decided_is_read_back_by_hash_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("data/grants.toml");
        let mut book = Book::open_at(path.clone()).expect("there is none yet");
        book.add("ab", &descriptor(), vec!["program:python3".into()], vec!["secret:x".into()]);
        book.add("ab", &descriptor(), vec!["secret:x".into()], Vec::new());
        book.write().expect("writable");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o077, 0);
        let mut book = Book::open_at(path.clone()).expect("it is there");
        let entry = book.entry("ab").expect("it was added");
        assert_eq!(entry.permissions, ["program:python3", "secret:x"]);
        assert_eq!(entry.denied, Vec::<String>::new());
        assert_eq!(book.entry("abc"), None);
        book.remove("ab");
        assert_eq!(book.entry("ab"), None);
    }

    #[test]
    fn a_book_that_others_can_write_is_not_believed() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("grants.toml");
        fs::write(&path, "").expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
        let text = Book::open_at(path).expect_err("others can write it").text();
        assert!(text.contains("others can write it"), "{text}");
    }
}
