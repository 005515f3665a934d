//! The worker's own files.

use llem_sdk::Step;

#[path = "../../shared/worker.rs"]
mod files;

pub(crate) use files::MAIN;

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../worker/main.py")),
    ("worker/llem_vllm/__init__.py", include_str!("../worker/llem_vllm/__init__.py")),
    ("worker/llem_vllm/effective.py", include_str!("../worker/llem_vllm/effective.py")),
    ("worker/llem_vllm/engine.py", include_str!("../worker/llem_vllm/engine.py")),
    ("worker/llem_vllm/loading.py", include_str!("../worker/llem_vllm/loading.py")),
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
        files::check_complete("llem_vllm", FILES);
    }
}
