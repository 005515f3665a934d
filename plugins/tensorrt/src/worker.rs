//! The worker's files, as a launch plan carries them.

use llem_sdk::Step;

/// The file that Python runs for offline batches.
pub(crate) const MAIN: &str = "worker/main.py";

/// The file that Python runs to build an engine.
pub(crate) const BUILD: &str = "worker/build.py";

const FILES: &[(&str, &str)] = &[
    (MAIN, include_str!("../worker/main.py")),
    ("worker/llem_worker/__init__.py", include_str!("../../worker/llem_worker/__init__.py")),
    ("worker/llem_worker/failures.py", include_str!("../../worker/llem_worker/failures.py")),
    ("worker/llem_worker/messages.py", include_str!("../../worker/llem_worker/messages.py")),
    ("worker/llem_worker/protocol.py", include_str!("../../worker/llem_worker/protocol.py")),
    ("worker/llem_worker/session.py", include_str!("../../worker/llem_worker/session.py")),
    ("worker/llem_worker/settings.py", include_str!("../../worker/llem_worker/settings.py")),
    ("worker/llem_worker/timing.py", include_str!("../../worker/llem_worker/timing.py")),
    ("worker/llem_tensorrt/__init__.py", include_str!("../worker/llem_tensorrt/__init__.py")),
    ("worker/llem_tensorrt/engine.py", include_str!("../worker/llem_tensorrt/engine.py")),
];

/// Adds the worker's files to a step.
pub(crate) fn with_files(step: Step) -> Step {
    FILES.iter().fold(step, |step, (name, contents)| step.with_file(name, *contents))
}

/// Adds the file that builds an engine.
pub(crate) fn with_builder(step: Step) -> Step {
    step.with_file(BUILD, include_str!("../worker/build.py"))
}
