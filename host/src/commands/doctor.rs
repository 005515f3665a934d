//! `llem doctor`: what this machine has, what it lacks, and how to mend that.

use llem_meter::{Finding, Instruments, Level, MeterOptions};
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::DoctorArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::Gate,
    machine,
    planning::Backends,
};

#[derive(Serialize)]
struct Line {
    /// `good`, `note` or `warning`.
    level: &'static str,
    subject: String,
    message: String,
    remedy: Option<String>,
}

/// Checks the machine.
pub(crate) fn run(args: &DoctorArgs) -> Result<ExitStatus, Failure> {
    let options = MeterOptions {
        calibration: std::time::Duration::from_millis(300),
        ..MeterOptions::from_env()
    };
    let (_, findings) = Instruments::discover(&options);
    let mut lines: Vec<Line> = findings.iter().map(finding).collect();
    lines.push(disk());
    lines.push(cache());
    lines.push(descriptors());
    lines.extend(engines()?);
    let is_bad = lines.iter().any(|it| it.level == "warning");
    let status = if args.check && is_bad { ExitStatus::Failures } else { ExitStatus::Success };
    if args.json {
        output_json(&lines)?;
        return Ok(status);
    }
    let shown = lines.iter().map(|it| {
        let remedy = it
            .remedy
            .as_ref()
            .map_or_else(String::new, |it| format!("          to mend it: {}\n", printable(it)));
        format!("{:<8}  {}: {}\n{remedy}", it.level, printable(&it.subject), printable(&it.message))
    });
    output(&shown.collect::<String>())?;
    Ok(status)
}

fn finding(it: &Finding) -> Line {
    let level = match it.level {
        Level::Good => "good",
        Level::Note => "note",
        Level::Warning => "warning",
    };
    Line {
        level,
        subject: it.subject.clone(),
        message: it.message.clone(),
        remedy: it.remedy.clone(),
    }
}

fn line(level: &'static str, subject: &str, message: String, remedy: Option<&str>) -> Line {
    Line { level, subject: subject.to_owned(), message, remedy: remedy.map(str::to_owned) }
}

fn disk() -> Line {
    match rustix::fs::statvfs(".") {
        Ok(it) => {
            let free = it.f_bavail.saturating_mul(it.f_frsize) >> 30;
            let level = if free < 1 { "warning" } else { "good" };
            line(
                level,
                "disk",
                format!("{free} GiB free in this directory"),
                (free < 1).then_some("free some space"),
            )
        }
        Err(error) => line("warning", "disk", format!("free space is unknown: {error}"), None),
    }
}

fn cache() -> Line {
    let path = machine::cache_directory();
    match std::fs::create_dir_all(&path) {
        Ok(()) => line("good", "cache", format!("{} is writable", path.display()), None),
        Err(error) => line(
            "warning",
            "cache",
            format!("{} is not writable: {error}", path.display()),
            Some(
                "set LLEM_CACHE_DIR to a directory that is; without it, plugins are compiled at every start",
            ),
        ),
    }
}

fn descriptors() -> Line {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(maximum) if maximum < 4_096 => line(
            "warning",
            "open files",
            format!("at most {maximum}, which caps the streams of a load"),
            Some("raise the hard limit: `ulimit -Hn 65536`"),
        ),
        maximum => {
            let shown = maximum.map_or_else(|| "any number".to_owned(), |it| it.to_string());
            line("good", "open files", format!("{shown} allowed"), None)
        }
    }
}

/// Which engines are installed, as the plugins' probes find them.
fn engines() -> Result<Vec<Line>, Failure> {
    let backends = Backends::new(Gate::new(Vec::new()))?;
    let mut lines = Vec::new();
    for name in backends.names() {
        let found = backends.installed(&name)?;
        let subject = format!("engine {name}");
        lines.push(match found {
            Some(chosen) => match (&chosen.installed, chosen.note) {
                (Some(version), None) => line("good", &subject, format!("{version}, schema {}", chosen.id), None),
                (_, Some(note)) => line("note", &subject, note, None),
                (None, None) => line("note", &subject, "not found".to_owned(), Some("install it, or name its environment with `venv` in the study's plugin table")),
            },
            None => line("good", &subject, "linked into llem".to_owned(), None),
        });
    }
    Ok(lines)
}
