//! Finds a granted program on the host.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    directories: Vec<PathBuf>,
    engine: Option<PathBuf>,
}

/// A program that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// No directory has it.
    #[error("no program `{name}` in {}", shown(.directories))]
    NotFound {
        /// Its name.
        name: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// The host has no such engine.
    #[error("this build of llem has no engine `{0}` linked into it")]
    NotBundled(String),
}

impl Programs {
    /// Looks in `first`, then in the directories of `path` (the form of the variable `PATH`).
    ///
    /// A directory that has a `bin` in it, as a Python virtual environment does, counts as that.
    pub fn new(first: &[PathBuf], path: Option<&str>) -> Self {
        let first = first
            .iter()
            .map(|it| if it.join("bin").is_dir() { it.join("bin") } else { it.clone() });
        let rest = path
            .unwrap_or("/usr/local/bin:/usr/bin:/bin")
            .split(':')
            .filter(|it| it.starts_with('/'));
        Self { directories: first.chain(rest.map(PathBuf::from)).collect(), engine: None }
    }

    /// Names the executable that has engines linked into it.
    #[must_use]
    pub fn with_bundled(mut self, executable: PathBuf) -> Self {
        self.engine = Some(executable);
        self
    }

    /// The directories, in order.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The path of a program.
    pub fn find(&self, name: &str) -> Result<PathBuf, ProgramError> {
        let found = self.directories.iter().map(|it| it.join(name)).find(|it| is_executable(it));
        found.ok_or_else(|| ProgramError::NotFound {
            name: name.to_owned(),
            directories: self.directories.clone(),
        })
    }

    /// The executable that runs bundled engines.
    pub fn bundled(&self, name: &str) -> Result<&Path, ProgramError> {
        self.engine.as_deref().ok_or_else(|| ProgramError::NotBundled(name.to_owned()))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

fn shown(directories: &[PathBuf]) -> String {
    directories.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_and_a_missing_one_names_where_it_was_looked_for() {
        let programs = Programs::new(&[], Some("/nowhere:/bin:/usr/bin"));
        assert!(programs.find("sh").expect("every machine has sh").ends_with("sh"));
        let error = programs.find("no-such-program").expect_err("it does not exist").to_string();
        assert_eq!(error, "no program `no-such-program` in /nowhere, /bin, /usr/bin");
    }
}
