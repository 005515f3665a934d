//! Why a step could not be started.

use crate::{ProgramError, Violation};

/// Why a step could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The plan contains what the user has not granted.
    #[error("the launch plan is refused: {}", list(.0))]
    Refused(Vec<Violation>),
    /// The program was not found.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The step needs more GPUs than the study has.
    #[error("the step wants {wanted} GPUs, the study has {found}")]
    TooFewGpus {
        /// How many it wants.
        wanted: u32,
        /// How many there are.
        found: usize,
    },
    /// A granted path is not what was granted.
    #[error(
        "`{0}` is not there, leads out of the granted directory, or is never shown to a container"
    )]
    HostPath(String),
    /// The step names something that the plan does not define.
    #[error("the step `{step}` names {what} `{name}`, which the plan does not define")]
    Dangling {
        /// Its id.
        step: String,
        /// `the file`, `the artefact`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The scratch directory or the process failed.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl LaunchError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
