//! The directory that a step may write to, removed when it is dropped.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use llem_core::backend::PlanFile;
use tempfile::{TempDir, TempPath};

use crate::LaunchError;

/// Engines put sockets into their temporary directory under names of up to 40 bytes, and a socket's path can't be longer
/// than 107 bytes (`unix(7)`).
const LONGEST_TEMPORARY: usize = 64;
const LINK_PREFIX: &str = "llem-tmp-";

/// A fresh directory of one step.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    /// A short name of its temporary directory, where its own is too long for sockets.
    short: Option<TempPath>,
}

impl Scratch {
    /// Makes a directory below `parent` with the plan's files in it.
    pub fn create(parent: &Path, files: &[PlanFile]) -> Result<Self, LaunchError> {
        let failed = |path: &Path| {
            LaunchError::io(format!("failed to write scratch files below `{}`", path.display()))
        };
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let directory =
            tempfile::Builder::new().prefix("llem-").tempdir_in(parent).map_err(failed(parent))?;
        let mut scratch = Self { directory, short: None };
        for name in ["home", "tmp"] {
            let path = scratch.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed(&path))?;
        }
        for file in files {
            scratch.write(file).map_err(failed(&scratch.file(&file.name)))?;
        }
        let temporary = scratch.path().join("tmp");
        if temporary.as_os_str().len() > LONGEST_TEMPORARY {
            let short = std::env::temp_dir();
            scratch.short = Some(link(&short, &temporary).map_err(failed(&short))?);
        }
        Ok(scratch)
    }

    /// The step's temporary directory, by a name that is short enough for sockets in it.
    pub fn temporary(&self) -> PathBuf {
        self.short.as_ref().map_or_else(|| self.path().join("tmp"), |link| link.to_path_buf())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where one of the plan's files is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join("files").join(name)
    }

    fn write(&self, file: &PlanFile) -> std::io::Result<()> {
        let path = self.file(&file.name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = if file.executable { 0o700 } else { 0o600 };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?
            .write_all(&file.contents)
    }
}

/// Makes a link to `target` that goes with its value, and removes those that hosts which were killed left behind.
fn link(parent: &Path, target: &Path) -> std::io::Result<TempPath> {
    for entry in fs::read_dir(parent)?.flatten() {
        let is_link = entry.file_name().to_string_lossy().starts_with(LINK_PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link && !entry.path().exists() {
            // Another user's stays: it can't be removed.
            drop(fs::remove_file(entry.path()));
        }
    }
    let made = tempfile::Builder::new()
        .prefix(LINK_PREFIX)
        .make_in(parent, |path| std::os::unix::fs::symlink(target, path))?;
    Ok(made.into_temp_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_below_it_and_everything_goes_with_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let file = PlanFile {
            name: "worker/main.py".into(),
            contents: b"pass".to_vec(),
            executable: false,
        };
        let scratch = Scratch::create(parent.path(), &[file]).expect("it is writable");
        let path = scratch.path().to_owned();
        assert_eq!(fs::read(scratch.file("worker/main.py")).expect("it is there"), b"pass");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_temporary_directory_too_deep_for_sockets_gets_a_short_name_that_goes_with_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let deep =
            parent.path().join("a-results-directory-with-a-long-name/and-another-one-below-it");
        let scratch = Scratch::create(&deep, &[]).expect("it is writable");
        let short = scratch.temporary();
        let socket = short.join("0123456789012345678901234567890123456789");
        std::os::unix::net::UnixListener::bind(&socket).expect("the path is short enough");
        assert!(scratch.path().join("tmp").join(socket.file_name().expect("a name")).exists());
        drop(scratch);
        assert!(fs::symlink_metadata(&short).is_err());
    }

    #[test]
    fn links_of_hosts_that_were_killed_are_removed() {
        let parent = tempfile::tempdir().expect("a directory");
        let gone = parent.path().join(format!("{LINK_PREFIX}gone"));
        std::os::unix::fs::symlink(parent.path().join("nothing"), &gone).expect("it is writable");
        let link = link(parent.path(), parent.path()).expect("it is writable");
        assert!(fs::symlink_metadata(&gone).is_err() && link.exists());
    }
}
