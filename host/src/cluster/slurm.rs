//! Slurm: job arrays through `sbatch`, `squeue` and `scancel`.
//!
//! Needs no accounting database: `squeue` tells of tasks while they wait and run and for a while after.

mod script;
mod states;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::executor::{Executor, ExecutorError, Job, Task};

/// Tasks of an array where the cluster does not say how many it takes: Slurm's own default.
const DEFAULT_ARRAY: usize = 1_000;
/// Longest text of a scheduler's error that is shown.
const SHOWN: usize = 500;

/// A Slurm cluster that this machine may submit to.
#[derive(Debug)]
pub(crate) struct Slurm {
    most_tasks: usize,
}

impl Slurm {
    /// Looks for its commands, and asks how large arrays may be.
    pub(crate) fn find() -> Result<Self, ExecutorError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &&str| std::env::split_paths(&path).any(|it| it.join(name).is_file());
        let missing: Vec<&str> =
            ["sbatch", "squeue", "scancel", "scontrol"].into_iter().filter(|it| !has(it)).collect();
        if !missing.is_empty() {
            return Err(ExecutorError::Missing(missing));
        }
        let config = output("scontrol", &["show", "config"])?;
        Ok(Self { most_tasks: states::largest_array(&config).unwrap_or(DEFAULT_ARRAY) })
    }

    /// One whose scripts are only shown.
    pub(crate) fn imagined() -> Self {
        Self { most_tasks: DEFAULT_ARRAY }
    }
}

impl Executor for Slurm {
    fn script(&self, job: &Job) -> String {
        script::script(job)
    }

    fn most_tasks(&self) -> usize {
        self.most_tasks
    }

    fn submit(&self, job: &Job) -> Result<(), ExecutorError> {
        // Variables of an allocation that this command itself runs in must not become options of the job.
        let inherited = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("SLURM_") && name != "SLURM_CONF" || name.starts_with("SBATCH_")
        });
        let mut command = Command::new("sbatch");
        for name in inherited {
            command.env_remove(name);
        }
        let mut child = command
            .arg("--parsable")
            .current_dir(job.list.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ExecutorError::Start { command: "sbatch", source })?;
        let script = script::script(job);
        let written = child.stdin.take().map_or(Ok(()), |mut it| it.write_all(script.as_bytes()));
        let output = child
            .wait_with_output()
            .map_err(|source| ExecutorError::Start { command: "sbatch", source })?;
        if output.status.success() && written.is_ok() {
            return Ok(());
        }
        Err(failed("sbatch", &output.stderr))
    }

    fn poll(&self, jobs: &[&str]) -> Result<Vec<Task>, ExecutorError> {
        let names = format!("--name={}", jobs.join(","));
        let arguments =
            ["--noheader", "--array", "--states=all", "--format=%j|%K|%T|%r", names.as_str()];
        Ok(states::tasks(&output("squeue", &arguments)?))
    }

    fn cancel(&self, jobs: &[&str]) -> Result<(), ExecutorError> {
        for job in jobs {
            output("scancel", &[&format!("--name={job}")])?;
        }
        Ok(())
    }

    fn log(&self, logs: &Path, job: &str, index: usize) -> PathBuf {
        logs.join(format!("{job}-{index}.out"))
    }
}

fn output(command: &'static str, arguments: &[&str]) -> Result<String, ExecutorError> {
    let output = Command::new(command)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ExecutorError::Start { command, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(command, &output.stderr))
}

fn failed(command: &'static str, stderr: &[u8]) -> ExecutorError {
    let text = String::from_utf8_lossy(stderr);
    ExecutorError::Failed { command, message: text.trim().chars().take(SHOWN).collect() }
}
