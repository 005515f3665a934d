//! The narrow interface to a scheduler: submit, poll, cancel, logs.
//!
//! A job is an array of tasks. The scheduler is trusted with when and where tasks run, never with whether they have
//! finished: that is what their journals say.

use std::path::{Path, PathBuf};

use llem_core::study::ExecutorSettings;

/// Tasks to be run, each one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Unique in the cluster, so that a job can be found whose number was never written down.
    pub(crate) name: String,
    /// Directories of the shards, one a task.
    pub(crate) shards: Vec<PathBuf>,
    /// File with one line a task: the directory of its shard.
    pub(crate) list: PathBuf,
    /// Directory for what tasks print.
    pub(crate) logs: PathBuf,
    /// GPUs of a task.
    pub(crate) gpus: u32,
    /// Time limit of a task, in minutes.
    pub(crate) minutes: u32,
    /// Nodes that must not be used.
    pub(crate) excluded: Vec<String>,
    /// Program and arguments of a task, without its shard.
    pub(crate) command: Vec<String>,
    /// What the study asks for.
    pub(crate) resources: ExecutorSettings,
}

/// A task of a job as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Name of its job.
    pub(crate) job: String,
    /// Which task, from 0.
    pub(crate) index: usize,
    pub(crate) state: TaskState,
}

/// How a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    /// It waits, with the scheduler's reason.
    Waiting(String),
    /// It runs.
    Running,
    /// It ended, as the scheduler says.
    Ended(String),
}

/// Why a scheduler did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecutorError {
    /// There is none.
    #[error("no Slurm here: {} not found on `PATH`", listed(.0))]
    Missing(Vec<&'static str>),
    /// A command could not be started.
    #[error("failed to start `{command}`")]
    Start {
        /// Which.
        command: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A command failed.
    #[error("`{command}` failed: {message}")]
    Failed {
        /// Which.
        command: &'static str,
        /// What it printed.
        message: String,
    },
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// A scheduler.
pub(crate) trait Executor {
    /// What would be submitted, as people read it.
    fn script(&self, job: &Job) -> String;
    /// Most tasks that one job may have.
    fn most_tasks(&self) -> usize;
    /// Submits a job.
    fn submit(&self, job: &Job) -> Result<(), ExecutorError>;
    /// The tasks of these jobs that the scheduler still knows.
    fn poll(&self, jobs: &[&str]) -> Result<Vec<Task>, ExecutorError>;
    /// Ends these jobs.
    fn cancel(&self, jobs: &[&str]) -> Result<(), ExecutorError>;
    /// Where a task prints, below the directory for what tasks print.
    fn log(&self, logs: &Path, job: &str, index: usize) -> PathBuf;
}
