//! `llem doctor`: what this machine has, what it lacks, and how to mend that.

mod cluster;
mod containers;
mod engines;
mod hub;
mod instruments;
mod system;

use std::thread;

use llem_meter::{Finding, Level};
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::DoctorArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// It works.
    Good,
    /// Worth knowing.
    Note,
    /// Figures, or whole studies, will be missing or worse than they could be.
    Warning,
}

/// One fact about the machine.
#[derive(Debug, Serialize)]
struct Line {
    severity: Severity,
    section: &'static str,
    /// What it is about, such as a GPU's UUID or `disk`.
    subject: String,
    message: String,
    /// What to do about it: a command where one does.
    fix: Option<String>,
}

impl Line {
    fn new(severity: Severity, subject: &str, message: impl Into<String>) -> Self {
        Self {
            severity,
            section: "",
            subject: subject.to_owned(),
            message: message.into(),
            fix: None,
        }
    }

    fn good(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Good, subject, message)
    }

    fn note(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, subject, message)
    }

    fn warning(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject, message)
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl From<Finding> for Line {
    fn from(it: Finding) -> Self {
        let severity = match it.level {
            Level::Good => Severity::Good,
            Level::Note => Severity::Note,
            Level::Warning => Severity::Warning,
        };
        Self { severity, section: "", subject: it.subject, message: it.message, fix: it.remedy }
    }
}

/// Checks the machine.
pub(crate) fn run(args: &DoctorArgs) -> Result<ExitStatus, Failure> {
    let lines = examine(args)?;
    let is_bad = lines.iter().any(|it| it.severity == Severity::Warning);
    let status = if args.check && is_bad { ExitStatus::Failures } else { ExitStatus::Success };
    if args.json {
        output_json(&lines)?;
    } else {
        output(&text(&lines))?;
    }
    Ok(status)
}

/// All sections at the same time: each mostly waits for a device or a program.
fn examine(args: &DoctorArgs) -> Result<Vec<Line>, Failure> {
    thread::scope(|scope| {
        let gpus = scope.spawn(|| instruments::gpus(args.measure));
        let processors = scope.spawn(|| instruments::processors(args.measure));
        let engines = scope.spawn(engines::lines);
        let containers = scope.spawn(containers::find);
        let cluster = scope.spawn(cluster::lines);
        let lines = [("system", system::lines()), ("hub", hub::lines())];
        let join = "a section does not panic";
        let gpus = gpus.join().expect(join);
        let containers = containers::lines(&containers.join().expect(join), gpus.any);
        let sections = [
            ("gpu", gpus.lines),
            ("processor", processors.join().expect(join)),
            ("engines", engines.join().expect(join)?),
            ("containers", containers),
        ];
        let cluster = [("cluster", cluster.join().expect(join))];
        let all = sections.into_iter().chain(lines).chain(cluster);
        Ok(all
            .flat_map(|(section, lines)| lines.into_iter().map(move |it| Line { section, ..it }))
            .collect())
    })
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut section = "";
    for line in lines {
        if line.section != section {
            section = line.section;
            let gap = if text.is_empty() { "" } else { "\n" };
            text.extend([gap, section, "\n"]);
        }
        let severity = match line.severity {
            Severity::Good => "good",
            Severity::Note => "note",
            Severity::Warning => "warning",
        };
        let (subject, message) = (printable(&line.subject), printable(&line.message));
        text.extend([format!("  {severity:<7}  {subject}: {message}\n")]);
        if let Some(fix) = &line.fix {
            text.extend([format!("           fix: {}\n", printable(fix))]);
        }
    }
    let warnings = lines.iter().filter(|it| it.severity == Severity::Warning).count();
    let verdict = match warnings {
        0 => "\nNothing stands in the way of a measurement.\n".to_owned(),
        1 => "\n1 warning\n".to_owned(),
        several => format!("\n{several} warnings\n"),
    };
    text + &verdict
}
