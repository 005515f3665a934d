//! Exit codes of the command; README documents them and a test compares.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ExitStatus {
    /// Everything that was asked for is done.
    Success,
    /// The command worked; some trials, or some checks, failed.
    Failures,
    /// The command line, the study or another input is wrong.
    Usage,
    /// The machine lacks what is needed: an engine, a model, a permission, disk space.
    Environment,
    /// A plugin broke its contract.
    Plugin,
    /// A bug in llem.
    Internal,
    /// The user interrupted it.
    Interrupted,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Failures => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Environment => 3,
            ExitStatus::Plugin => 4,
            ExitStatus::Internal => 70,
            ExitStatus::Interrupted => 130,
        })
    }
}
