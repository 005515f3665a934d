//! Added plugins: components by their hash below the data directory, and `plugins.lock`, which says what each is.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use llem_plugin::Installed;
use serde::{Deserialize, Serialize};

use crate::{
    diagnostics::Failure,
    exit::ExitStatus,
    grants::{read_own, write_own},
    machine,
};

/// Version of the lock's format.
const VERSION: u32 = 1;

/// All added plugins.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    lock: Lock,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    version: u32,
    #[serde(default)]
    plugin: Vec<Locked>,
}

/// One added plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    /// Its id; also the name that it is used by.
    pub(crate) id: String,
    /// Its own version.
    pub(crate) version: String,
    /// Where it was taken from.
    pub(crate) source: String,
    /// Digest of a registry's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// Of its component.
    pub(crate) sha256: String,
    /// When it was added.
    pub(crate) added_at: String,
}

impl Store {
    /// Opens the user's plugins; there need not be any.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::open_at(&machine::data_directory())
    }

    fn open_at(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("plugins.lock");
        let lock = match read_own(&path) {
            Ok(text) => toml::from_str(&text).map_err(|it| unusable(&path, &it.to_string()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Lock { version: VERSION, plugin: Vec::new() }
            }
            Err(error) => return Err(unusable(&path, &error.to_string())),
        };
        if lock.version != VERSION {
            let why = format!("version {}, this llem reads {VERSION}", lock.version);
            return Err(unusable(&path, &why));
        }
        Ok(Self { directory: directory.to_owned(), lock })
    }

    /// What is there, in the order of ids.
    pub(crate) fn plugins(&self) -> &[Locked] {
        &self.lock.plugin
    }

    /// For the registry.
    pub(crate) fn installed(&self) -> Vec<Installed> {
        let installed = |it: &Locked| Installed {
            name: it.id.clone(),
            path: self.component(&it.sha256),
            sha256: it.sha256.clone(),
        };
        self.lock.plugin.iter().map(installed).collect()
    }

    /// Where the component with a hash lies.
    pub(crate) fn component(&self, sha256: &str) -> PathBuf {
        // A lock that was edited must not name a path.
        let plain: String = sha256.chars().filter(char::is_ascii_hexdigit).collect();
        self.directory.join("plugins").join(format!("{plain}.wasm"))
    }

    /// Keeps a component in place of one with the same id.
    pub(crate) fn add(&mut self, plugin: Locked, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.component(&plugin.sha256);
        write_own(&path, bytes).map_err(|it| unusable(&path, &it.to_string()))?;
        let old = self.lock.plugin.iter().find(|it| it.id == plugin.id).map(|it| it.sha256.clone());
        self.lock.plugin.retain(|it| it.id != plugin.id);
        self.lock.plugin.push(plugin);
        self.lock.plugin.sort_by(|left, right| left.id.cmp(&right.id));
        self.write()?;
        old.map_or(Ok(()), |it| self.forget(&it))
    }

    /// Removes a plugin; none: there is none of this id.
    pub(crate) fn remove(&mut self, id: &str) -> Result<Option<Locked>, Failure> {
        let Some(index) = self.lock.plugin.iter().position(|it| it.id == id) else {
            return Ok(None);
        };
        let removed = self.lock.plugin.remove(index);
        self.write()?;
        self.forget(&removed.sha256)?;
        Ok(Some(removed))
    }

    /// Deletes a component that no plugin is any more.
    fn forget(&self, sha256: &str) -> Result<(), Failure> {
        if self.lock.plugin.iter().any(|it| it.sha256 == sha256) {
            return Ok(());
        }
        let path = self.component(sha256);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(unusable(&path, &error.to_string()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn write(&self) -> Result<(), Failure> {
        let path = self.directory.join("plugins.lock");
        let text = toml::to_string(&self.lock).expect("a lock is tables of strings");
        let written: io::Result<()> = write_own(&path, text.as_bytes());
        written.map_err(|it| unusable(&path, &it.to_string()))
    }
}

fn unusable(path: &Path, why: &str) -> Failure {
    let message = format!("failed to use the added plugins in `{}`: {why}", path.display());
    Failure::message(ExitStatus::Environment, message)
        .hint("LLEM_DATA_DIR names another directory for them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(id: &str, sha256: &str) -> Locked {
        Locked {
            id: id.into(),
            version: "1.0.0".into(),
            source: "./x.wasm".into(),
            digest: None,
            sha256: sha256.into(),
            added_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn what_is_added_is_there_the_next_time_and_goes_with_its_bytes() {
        let home = tempfile::tempdir().expect("a directory");
        let open = || Store::open_at(home.path()).expect("it is ours");
        let mut store = open();
        store.add(locked("b", "0b"), b"old").expect("writable");
        store.add(locked("a", "0a"), b"a").expect("writable");
        store.add(locked("b", "0c"), b"new").expect("writable");
        let mut store = open();
        let ids: Vec<&str> = store.plugins().iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(!store.component("0b").exists(), "the replaced component is gone");
        assert_eq!(fs::read(store.component("0c")).expect("it is there"), b"new");
        assert_eq!(store.remove("x").expect("readable"), None);
        store.remove("b").expect("writable").expect("it is there");
        assert!(!open().component("0c").exists());
    }

    #[test]
    fn a_lock_that_was_edited_names_no_path() {
        let home = tempfile::tempdir().expect("a directory");
        let store = Store::open_at(home.path()).expect("it is ours");
        let path = store.component("../../etc/passwd");
        assert_eq!(path.parent(), Some(home.path().join("plugins").as_path()));
    }

    #[test]
    fn a_lock_that_others_can_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().expect("a directory");
        Store::open_at(home.path()).expect("it is ours").write().expect("writable");
        let lock = home.path().join("plugins.lock");
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).expect("it is ours");
        assert!(Store::open_at(home.path()).is_err());
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert!(Store::open_at(home.path()).is_ok());
    }

    #[test]
    fn a_lock_of_another_version_is_not_read() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("plugins.lock"), "version = 2\n").expect("writable");
        let text = Store::open_at(home.path()).expect_err("it is newer").text();
        assert!(text.contains("version 2, this llem reads 1"), "{text}");
    }
}
