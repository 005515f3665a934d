//! Exit codes of the command; README documents them and a test compares.

use std::{fmt::Write, process::ExitCode};

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

/// Each code with what it means, for people.
const MEANINGS: [(ExitStatus, &str); 7] = [
    (ExitStatus::Success, "everything that was asked for is done"),
    (ExitStatus::Failures, "some trials failed or were not run; the others are in the results"),
    (ExitStatus::Usage, "the command line, the study or another input is wrong"),
    (
        ExitStatus::Environment,
        "the machine lacks something: an engine, a model, a permission, disk space",
    ),
    (ExitStatus::Plugin, "a plugin broke its contract"),
    (ExitStatus::Internal, "a bug in llem"),
    (ExitStatus::Interrupted, "interrupted; what was finished is kept"),
];

impl ExitStatus {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failures => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Plugin => 4,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// All codes, for the end of the help.
pub(crate) fn help() -> String {
    MEANINGS.iter().fold("Exit codes:".to_owned(), |mut text, (status, meaning)| {
        write!(text, "\n  {:>3}  {meaning}", status.code()).expect("a string takes everything");
        text
    })
}
