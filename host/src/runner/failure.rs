//! Why a trial gives no figures, from what failed and what the plugin makes of the engine's log.

use llem_core::{
    backend::{Failure, Observation},
    event::Phase,
    record::TrialFailure,
};
use llem_launch::{LaunchError, LogSummary, NotReady};

/// A failure before the plugin has looked at the log.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) phase: Phase,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(phase: Phase, kind: &'static str, message: impl Into<String>) -> Self {
        Self { phase, kind, message: message.into(), hint: None }
    }

    /// A fault from an error with its causes.
    pub(crate) fn from_error(
        phase: Phase,
        kind: &'static str,
        error: &dyn std::error::Error,
    ) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::new(phase, kind, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The user's stop.
    pub(crate) fn cancelled(phase: Phase) -> Self {
        Self::new(phase, CANCELLED, "stopped by the user")
    }

    pub(crate) fn launch(error: &LaunchError) -> Self {
        let (kind, hint) = match error {
            LaunchError::Refused(_) => ("refused", "allow it with a grant, or use another plugin"),
            LaunchError::Program(_) => (
                "program-not-found",
                "install the engine, or name its environment with `venv` in the plugin's table",
            ),
            LaunchError::TooFewGpus { .. } => {
                ("too-few-gpus", "CUDA_VISIBLE_DEVICES chooses the GPUs of a study")
            }
            LaunchError::HostPath(_) => ("refused", "grant the directory itself, not a link to it"),
            LaunchError::Dangling { .. } => ("bad-plan", "report this to the plugin's author"),
            LaunchError::Io { .. } => {
                ("launch", "check free space and permissions of the results directory")
            }
        };
        Self::from_error(Phase::Load, kind, error).hint(hint)
    }

    pub(crate) fn not_ready(error: &NotReady) -> Self {
        match error {
            NotReady::Ended(_) => Self::new(Phase::Load, "crash", error.to_string()),
            NotReady::Cancelled => Self::cancelled(Phase::Load),
            NotReady::Stranger { .. } => Self::new(Phase::Load, "foreign-port", error.to_string())
                .hint("run it again: the next engine is given another port"),
            NotReady::Deadline { .. } | NotReady::Silent(_) => {
                Self::new(Phase::Load, "not-ready", error.to_string())
                    .hint("see the engine's log; a large model may need a longer deadline")
            }
        }
    }

    /// The record's failure: what the plugin read from the log explains more than an exit code.
    pub(crate) fn into_record(
        self,
        observed: Option<&Observation>,
        log: &LogSummary,
    ) -> TrialFailure {
        let explained: Option<&Failure> =
            observed.and_then(|it| it.failure.as_ref()).filter(|_| self.kind != CANCELLED);
        let tail = if log.tail.is_empty() { &log.head } else { &log.tail };
        let log_tail: String = last_lines(tail, 40);
        match explained {
            Some(failure) => TrialFailure {
                phase: self.phase,
                kind: failure.kind.clone(),
                message: format!("{}: {}", self.message, failure.message),
                hint: failure.hint.clone().or(self.hint),
                permanent: failure.permanent,
                log_tail,
            },
            None => TrialFailure {
                phase: self.phase,
                kind: self.kind.to_owned(),
                message: self.message,
                hint: self.hint,
                permanent: false,
                log_tail,
            },
        }
    }
}

/// Kind of a trial that the user stopped.
pub(crate) const CANCELLED: &str = "cancelled";

/// Kind of a trial whose GPUs were not as its experiment sets them.
pub(crate) const GPU_SETTING: &str = "gpu-setting";

/// Kind of a trial whose time was up.
pub(crate) const TIMEOUT: &str = "timeout";

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_explains_a_crash_but_not_a_stop_by_the_user() {
        let observed = Observation {
            failure: Some(Failure {
                kind: "out-of-memory".into(),
                message: "no memory for the KV cache".into(),
                hint: None,
                permanent: true,
            }),
            ..Observation::default()
        };
        let log = LogSummary::default();
        let crash =
            Fault::new(Phase::Load, "crash", "exit code 1").into_record(Some(&observed), &log);
        assert_eq!((crash.kind.as_str(), crash.permanent), ("out-of-memory", true));
        let stopped = Fault::cancelled(Phase::Window).into_record(Some(&observed), &log);
        assert_eq!(stopped.kind, CANCELLED);
    }
}
