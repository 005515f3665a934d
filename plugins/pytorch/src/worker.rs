//! The worker's files, as a launch plan carries them.

use llem_sdk::Step;

/// The file that Python runs.
pub(crate) const MAIN: &str = "worker/main.py";

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../worker/main.py")),
    ("worker/llem_worker/__init__.py", include_str!("../../worker/llem_worker/__init__.py")),
    ("worker/llem_worker/failures.py", include_str!("../../worker/llem_worker/failures.py")),
    ("worker/llem_worker/messages.py", include_str!("../../worker/llem_worker/messages.py")),
    ("worker/llem_worker/protocol.py", include_str!("../../worker/llem_worker/protocol.py")),
    ("worker/llem_worker/session.py", include_str!("../../worker/llem_worker/session.py")),
    ("worker/llem_worker/settings.py", include_str!("../../worker/llem_worker/settings.py")),
    ("worker/llem_worker/timing.py", include_str!("../../worker/llem_worker/timing.py")),
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
    FILES.iter().fold(step, |step, (name, contents)| step.with_file(name, *contents))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_file_of_the_worker_travels() {
        let mut wanted = BTreeSet::from([MAIN.to_owned()]);
        for (folder, package) in
            [("../worker/llem_worker", "llem_worker"), ("worker/llem_pytorch", "llem_pytorch")]
        {
            let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
            for entry in fs::read_dir(folder).expect("the package is there") {
                let name =
                    entry.expect("it can be read").file_name().into_string().expect("it is text");
                if name.strip_suffix(".py").is_some() {
                    wanted.insert(format!("worker/{package}/{name}"));
                }
            }
        }
        let found: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, wanted);
    }
}
