//! What discovery found out about the instruments, for people.
//!
//! Findings are data; printing them is somebody else's work.

use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// An instrument works.
    Good,
    /// Worth knowing.
    Note,
    /// Figures will be missing or worse than they could be.
    Warning,
}

/// One fact about an instrument, with its cure where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is about: `nvml`, a device's id, `rapl`, `cpu`.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    pub(crate) fn good(subject: &str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Good,
            subject: subject.to_owned(),
            message: message.into(),
            remedy: None,
        }
    }

    pub(crate) fn note(subject: &str, message: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::good(subject, message) }
    }

    pub(crate) fn warning(subject: &str, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::good(subject, message) }
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}
