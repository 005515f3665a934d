//! Harness shared by the end-to-end tests.

pub mod fake_slurm;
pub mod schema;
pub mod slurm;
pub mod synthetic;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The user's `PATH`, with these directories before it.
pub fn path_with(directories: &[PathBuf]) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = directories.iter().cloned().chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("no colons in the tests' names")
}

/// A directory of its own for one test, removed afterwards, with `llem` run inside it.
#[derive(Debug)]
pub struct Workspace {
    directory: tempfile::TempDir,
    binary: PathBuf,
}

impl Workspace {
    /// An empty directory; `binary` is the program under test.
    pub fn new(binary: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { directory, binary: binary.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the directory is writable");
    }

    /// Puts a stand-in for a Python with transformers into a directory `venv`, and gives a study that is like `study`, for
    /// candle, but offline with it.
    pub fn stand_in(&self, program: &str, study: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;

        let venv = self.path().join("venv");
        std::fs::create_dir_all(&venv).expect("the directory is writable");
        let script = format!("#!/bin/sh\nexec '{program}' '{}'\n", self.path().display());
        for name in ["python", "python3"] {
            std::fs::write(venv.join(name), &script).expect("the directory is writable");
            std::fs::set_permissions(venv.join(name), std::fs::Permissions::from_mode(0o755))
                .expect("a file of one's own");
        }
        study.replace(
            "[plugin.candle]\nengine.max_batch_size = 4",
            "[plugin.pytorch]\nvenv = \"venv\"\nengine.batch_size = 4",
        )
    }

    /// `llem` with these arguments, ready to start, with a compile cache that all tests share.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .current_dir(self.path())
            .env("LLEM_CACHE_DIR", cache())
            .env("LLEM_LOCK_DIR", self.path().join("locks"))
            .env("LLEM_DATA_DIR", self.path().join("data"))
            .env("NO_COLOR", "1");
        command
    }

    /// Runs `llem` to its end.
    pub fn llem(&self, args: &[&str]) -> Answer {
        Answer::of(&self.command(args).output().expect("the program under test starts"))
    }

    /// The newest results directory below `results`.
    pub fn results(&self) -> PathBuf {
        self.only("results")
    }

    /// The newest results directory below one of another name.
    pub fn only(&self, parent: &str) -> PathBuf {
        self.newest(parent).expect("there are results")
    }

    /// The newest results directory below one of another name, once there is one.
    fn newest(&self, parent: &str) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.path().join(parent)).ok()?;
        let mut found: Vec<PathBuf> = entries.map(|it| it.expect("readable").path()).collect();
        found.sort();
        found.pop()
    }

    /// The entries of the newest journal, without their checksums; none while there is no journal yet.
    pub fn journal(&self) -> Vec<serde_json::Value> {
        self.newest("results").map_or_else(Vec::new, |it| Self::journal_of(&it))
    }

    fn journal_of(results: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(results.join("journal.jsonl")).unwrap_or_default();
        let json = |line: &str| serde_json::from_str(&line[17..]).expect("entries are JSON");
        // The last line may be half written while a run goes on.
        text.split_inclusive('\n')
            .filter(|it| it.ends_with('\n'))
            .map(|it| json(it.trim_end()))
            .collect()
    }

    /// Records of some results.
    pub fn records_of(&self, results: &Path) -> Vec<serde_json::Value> {
        let entries = Self::journal_of(results);
        entries.into_iter().filter(|it| it["entry"] == "record").collect()
    }

    /// Records of the newest journal.
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.journal().into_iter().filter(|it| it["entry"] == "record").collect()
    }
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Of a finished process.
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Processes whose command line, or whose working directory, has this text: an engine works in its scratch directory.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    let pids = entries.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let place = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        String::from_utf8_lossy(&command).replace('\0', " ").contains(text)
            || place.to_string_lossy().contains(text)
    })
    .collect()
}

/// Compiled plugins are kept for all tests of a run and for later runs.
fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"))
}
