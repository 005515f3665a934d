//! The only place that prints an error: the chain of causes, then what to do.

mod faults;

use std::{fmt::Write as _, io::Write as _};

use llem_core::study::Problem;

use self::faults::Faults;
use crate::exit::ExitStatus;

/// An error at the edge: what failed, why, what to do about it and how the command ends.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    status: ExitStatus,
    messages: Vec<String>,
    faults: Option<Faults>,
    hints: Vec<String>,
}

impl Failure {
    /// A failure with its chain of causes.
    pub(crate) fn new(status: ExitStatus, error: &dyn std::error::Error) -> Self {
        let mut messages = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            messages.push(cause.to_string());
            source = cause.source();
        }
        // A transparent wrapper says the same as its source.
        messages.dedup();
        Self { status, messages, faults: None, hints: Vec::new() }
    }

    /// A failure that is one message.
    pub(crate) fn message(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, messages: vec![message.into()], faults: None, hints: Vec::new() }
    }

    /// What is wrong with a study file, all of it at once.
    pub(crate) fn of_study(problems: &[Problem], text: &str) -> Self {
        let count = match problems.len() {
            1 => "the study has a fault".to_owned(),
            many => format!("the study has {many} faults"),
        };
        Self {
            faults: Some(Faults::new(problems, text)),
            ..Self::message(ExitStatus::Usage, count)
        }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// How the command ends.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status
    }

    /// What failed and why, in one line.
    pub(crate) fn text(&self) -> String {
        let faults = self.faults.iter().map(Faults::line);
        self.messages.iter().cloned().chain(faults).collect::<Vec<_>>().join(": ")
    }

    /// Writes it to standard error.
    pub(crate) fn print(&self) {
        let mut text = String::new();
        for (place, message) in self.messages.iter().enumerate() {
            let lead = if place == 0 { "error: " } else { "  caused by: " };
            writeln!(text, "{lead}{}", printable(message))
                .expect("writing to a string does not fail");
        }
        if let Some(faults) = &self.faults {
            writeln!(text, "\n{}", faults.drawn().trim_end())
                .expect("writing to a string does not fail");
        }
        for hint in &self.hints {
            writeln!(text, "\nhint: {}", printable(hint))
                .expect("writing to a string does not fail");
        }
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// Writes to standard error what the user should know and no command failed on.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "note: {}", printable(text)));
}

/// Makes control, bidirectional and zero-width characters visible, so that no plugin, engine or file
/// can drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c\nd");
    }
}
