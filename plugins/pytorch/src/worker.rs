//! The worker's own files.

use llem_sdk::Step;

#[path = "../../shared/worker.rs"]
mod files;

pub(crate) use files::MAIN;

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../worker/main.py")),
    ("worker/llem_pytorch/__init__.py", include_str!("../worker/llem_pytorch/__init__.py")),
    ("worker/llem_pytorch/batches.py", include_str!("../worker/llem_pytorch/batches.py")),
    ("worker/llem_pytorch/clock.py", include_str!("../worker/llem_pytorch/clock.py")),
    ("worker/llem_pytorch/continuous.py", include_str!("../worker/llem_pytorch/continuous.py")),
    ("worker/llem_pytorch/effective.py", include_str!("../worker/llem_pytorch/effective.py")),
    ("worker/llem_pytorch/engine.py", include_str!("../worker/llem_pytorch/engine.py")),
    ("worker/llem_pytorch/generation.py", include_str!("../worker/llem_pytorch/generation.py")),
    ("worker/llem_pytorch/loading.py", include_str!("../worker/llem_pytorch/loading.py")),
    ("worker/llem_pytorch/quantization.py", include_str!("../worker/llem_pytorch/quantization.py")),
    ("worker/llem_pytorch/switches.py", include_str!("../worker/llem_pytorch/switches.py")),
];

/// Adds the worker's files to a step.
pub(crate) fn with_files(step: Step) -> Step {
    files::with_files(step, FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_worker_travels() {
        files::check_complete("llem_pytorch", FILES);
    }
}
