//! `llem cache`: what llem keeps because it can make it again, and how to be rid of it.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde::Serialize;

use super::{output, output_json};
use crate::{
    artefacts::{Artefacts, size},
    cli::{CacheArgs, CacheCommand},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    machine,
};

#[derive(Serialize)]
struct Report {
    directory: PathBuf,
    /// What all artefacts together may have.
    artefact_limit_bytes: u64,
    parts: Vec<Part>,
    artefacts: Vec<Line>,
}

#[derive(Serialize)]
struct Part {
    name: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Line {
    name: String,
    bytes: u64,
    last_used: Option<String>,
}

/// Shows the cache, or cleans it.
pub(crate) fn run(args: &CacheArgs) -> Result<ExitStatus, Failure> {
    match args.command {
        None => show(args.json),
        Some(CacheCommand::Clean { gib, all }) => clean(gib, all),
    }
}

fn show(json: bool) -> Result<ExitStatus, Failure> {
    let directory = machine::cache_directory();
    let artefacts = Artefacts::below(&directory).list();
    let line = |it: crate::artefacts::Kept| Line {
        last_used: jiff::Timestamp::try_from(it.used).ok().map(|it| it.to_string()),
        name: it.name,
        bytes: it.bytes,
    };
    let report = Report {
        artefact_limit_bytes: machine::artefact_limit(),
        parts: parts(&directory),
        artefacts: artefacts.into_iter().map(line).collect(),
        directory,
    };
    if json {
        return output_json(&report);
    }
    let mut text = format!("{}\n", report.directory.display());
    let mut line = |it: std::fmt::Arguments<'_>| {
        text.write_fmt(it).expect("a string takes everything");
    };
    for part in &report.parts {
        line(format_args!("  {:<12} {}\n", printable(&part.name), shown(part.bytes)));
    }
    for it in &report.artefacts {
        let used = it.last_used.as_deref().unwrap_or("never");
        let name = printable(&it.name);
        line(format_args!("  artefact {name}  {}  last used {used}\n", shown(it.bytes)));
    }
    line(format_args!("artefacts may have {} together\n", shown(report.artefact_limit_bytes)));
    output(&text)
}

fn parts(directory: &PathBuf) -> Vec<Part> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let part = |it: fs::DirEntry| Part {
        name: it.file_name().to_string_lossy().into_owned(),
        bytes: size(&it.path()),
    };
    let mut parts: Vec<Part> = entries.map(part).collect();
    parts.sort_by(|left, right| left.name.cmp(&right.name));
    parts
}

/// Removes artefacts that no run uses, the oldest first; with `all` compiled plugins as well.
fn clean(gib: u64, all: bool) -> Result<ExitStatus, Failure> {
    let directory = machine::cache_directory();
    let failed = |it: std::io::Error| Failure::new(ExitStatus::Environment, &it);
    let removed = Artefacts::below(&directory).trim(gib << 30).map_err(failed)?;
    let mut bytes: u64 = removed.iter().map(|it| it.bytes).sum();
    if all {
        let compiled = directory.join("cwasm");
        bytes += size(&compiled);
        match fs::remove_dir_all(&compiled) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            Ok(()) | Err(_) => (),
        }
    }
    output(&format!("removed {} artefacts, {} in all\n", removed.len(), shown(bytes)))
}

fn shown(bytes: u64) -> String {
    let (unit, shift) = match bytes {
        0..0x10_0000 => ("KiB", 10),
        0x10_0000..0x4000_0000 => ("MiB", 20),
        _ => ("GiB", 30),
    };
    // One decimal without floating point: tenths, rounded down.
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn sizes_are_in_the_largest_unit_that_they_fill() {
        assert_eq!(shown(512), "0.5 KiB");
        assert_eq!(shown(3 << 20), "3.0 MiB");
        assert_eq!(shown((5 << 30) / 2), "2.5 GiB");
    }
}
