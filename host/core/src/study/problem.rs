//! What is wrong with a study file, pointed at the place in the file.
//!
//! Problems are values that collect; nothing here prints them or decides which of them matter.

use std::{fmt, ops::Range};

use serde::Serialize;

/// One fault of a study file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problem {
    /// The file's name, as it was given.
    pub file: String,
    /// Bytes of the file at fault.
    pub span: Range<usize>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found and what is allowed.
    pub message: String,
    /// The nearest known name or value.
    pub nearest: Option<String>,
    /// What the user can do.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// A fault that does not know its place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) nearest: Option<String>,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), nearest: None, help: None }
    }

    pub(super) fn nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The text that problems point into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn problem(&self, span: &Range<usize>, fault: Fault) -> Problem {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            file: self.file.clone(),
            span: start..span.end.clamp(start, self.text.len()),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: fault.message,
            nearest: fault.nearest,
            help: fault.help,
        }
    }
}

/// The known name that is most like the one found, if any is near.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let close = found.chars().count() / 4 + 1;
    known
        .into_iter()
        .map(|name| (score(found, name), name))
        .filter(|(distance, _)| *distance <= close)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Edits from one name to the other, spelling differences such as case and `-` for `_` counted as none of them.
fn score(found: &str, known: &str) -> usize {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    strsim::damerau_levenshtein(&plain(found), &plain(known))
}

/// Some names in backticks, the first few of many.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
    if names.len() > 12 {
        format!("{} and {} more", shown.join(", "), names.len() - 12)
    } else {
        shown.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_line_and_column_in_characters() {
        let source = Source { file: "s.toml".to_owned(), text: "a = 1\nß = x\n".to_owned() };
        let at = source.text.find('x').unwrap();
        let problem =
            source.problem(&(at..at + 1), Fault::new("no value").nearest(Some("y".to_owned())));
        assert_eq!((problem.line, problem.column), (2, 5));
        assert_eq!(problem.to_string(), "s.toml:2:5: no value; did you mean `y`?");
    }

    #[test]
    fn the_nearest_name_is_found_only_where_one_is_near() {
        let known = ["max_num_seqs", "max_model_len"];
        assert_eq!(nearest("max-num-seq", known), Some("max_num_seqs".to_owned()));
        assert_eq!(nearest("temperature", known), None);
    }
}
