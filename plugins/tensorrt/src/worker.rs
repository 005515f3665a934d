//! The worker's own files.

use llem_sdk::Step;

#[path = "../../shared/worker.rs"]
mod files;

pub(crate) use files::MAIN;

/// The file that Python runs to build an engine.
pub(crate) const BUILD: &str = "worker/build.py";

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../worker/main.py")),
    ("worker/llem_tensorrt/__init__.py", include_str!("../worker/llem_tensorrt/__init__.py")),
    ("worker/llem_tensorrt/engine.py", include_str!("../worker/llem_tensorrt/engine.py")),
];

/// Adds the worker's files to a step.
pub(crate) fn with_files(step: Step) -> Step {
    files::with_files(step, FILES)
}

/// Adds the file that builds an engine.
pub(crate) fn with_builder(step: Step) -> Step {
    step.with_file(BUILD, include_str!("../worker/build.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_worker_travels() {
        files::check_complete("llem_tensorrt", FILES);
    }
}
