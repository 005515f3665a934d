//! `llem import`: a study of `LLenergyMeasure` 0.7 as one of llem, with what has no equal.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path};

use llem_core::study;

use super::output;
use crate::{
    cli::ImportArgs,
    diagnostics::{Failure, note, printable},
    exit::ExitStatus,
};

/// Imports a study; notes go to standard error and into the file as comments.
pub(crate) fn run(args: &ImportArgs) -> Result<ExitStatus, Failure> {
    let file = &args.file;
    let yaml = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("failed to read `{}`", file.display());
        Failure::message(ExitStatus::Usage, format!("{what}: {error}"))
    })?;
    let name = file.file_stem().map_or_else(|| "study".into(), |it| it.to_string_lossy());
    let imported = study::import(&yaml, &name).map_err(|error| {
        Failure::new(ExitStatus::Usage, &error).hint(
            "`llem import` reads the YAML of LLenergyMeasure 0.7, with `task` at its top level",
        )
    })?;
    let text = commented(&imported, file);
    match &args.output {
        Some(path) => write_new(path, &text)?,
        None => {
            output(&text)?;
        }
    }
    for it in &imported.notes {
        note(it);
    }
    Ok(ExitStatus::Success)
}

/// The study below a comment that says where it is from and what has no equal.
fn commented(imported: &study::Imported, file: &Path) -> String {
    let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut text = format!("# From `{}`, a study of LLenergyMeasure 0.7.\n", plain(&source));
    for note in &imported.notes {
        writeln!(text, "# - {}", plain(note)).expect("writing to a string does not fail");
    }
    text.push('\n');
    text.push_str(&imported.toml);
    text
}

/// On one line of a comment.
fn plain(text: &str) -> String {
    printable(&text.replace(['\n', '\t'], " "))
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let what = format!("failed to write `{}`: {error}", path.display());
        let status = if exists { ExitStatus::Usage } else { ExitStatus::Environment };
        let failure = Failure::message(status, what);
        if exists { failure.hint("give another name; nothing is overwritten") } else { failure }
    })
}
