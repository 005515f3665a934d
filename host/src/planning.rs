//! From a study file to trials that can run: file, plugins, models, expansion, order.

mod backend;
mod groups;
mod release;
mod tokens;
mod trials;

pub(crate) use backend::{Backend, Backends, broken};
pub(crate) use release::choose_named as choose_release;
pub(crate) use trials::{Planned, part, plan};

use std::{
    fs,
    path::{Path, PathBuf},
};

use llem_core::study::{self, Problem, Study};

use crate::{diagnostics::Failure, exit::ExitStatus};

/// Reads and checks a study file; all its faults are reported at once.
pub(crate) fn read(path: &Path) -> Result<Study, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let what = format!("failed to read the study file `{}`", path.display());
        let failure = Failure::message(ExitStatus::Usage, format!("{what}: {error}"));
        failure.hint("write one to start from: `llem init > study.toml`")
    })?;
    study::parse(&text, &path.display().to_string()).map_err(|problems| faults(&problems, &text))
}

/// Faults of a study file as one failure, each with its place in the file.
pub(crate) fn faults(problems: &[Problem], text: &str) -> Failure {
    Failure::of_study(problems, text).hint(
        "`llem schema` prints what a study may contain, `llem params` what each backend takes",
    )
}

/// The directory that relative paths of a study are relative to.
pub(crate) fn directory_of(study: &Path) -> PathBuf {
    study
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}
