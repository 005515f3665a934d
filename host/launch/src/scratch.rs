//! The directory that a step may write to, removed when it is dropped.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use llem_core::backend::PlanFile;
use tempfile::TempDir;

use crate::LaunchError;

/// A fresh directory of one step.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
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
        let scratch = Self { directory };
        for name in ["home", "tmp"] {
            let path = scratch.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed(&path))?;
        }
        for file in files {
            scratch.write(file).map_err(failed(&scratch.file(&file.name)))?;
        }
        Ok(scratch)
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
}
