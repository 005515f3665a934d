//! The files of a Python worker, as a launch plan carries them: the package that all workers share,
//! and a plugin's own.

use llem_sdk::Step;

/// The file that Python runs.
pub(crate) const MAIN: &str = "worker/main.py";

const SHARED: &[(&str, &str)] = &[
    ("worker/llem_worker/__init__.py", include_str!("../worker/llem_worker/__init__.py")),
    ("worker/llem_worker/failures.py", include_str!("../worker/llem_worker/failures.py")),
    ("worker/llem_worker/messages.py", include_str!("../worker/llem_worker/messages.py")),
    ("worker/llem_worker/protocol.py", include_str!("../worker/llem_worker/protocol.py")),
    ("worker/llem_worker/session.py", include_str!("../worker/llem_worker/session.py")),
    ("worker/llem_worker/settings.py", include_str!("../worker/llem_worker/settings.py")),
    ("worker/llem_worker/timing.py", include_str!("../worker/llem_worker/timing.py")),
];

/// Adds the worker's files to a step; `own` are [`MAIN`] and the files of the plugin's package.
pub(crate) fn with_files(step: Step, own: &[(&str, &str)]) -> Step {
    own.iter().chain(SHARED).fold(step, |step, (name, contents)| step.with_file(name, *contents))
}

/// Checks that every file of the worker travels; `package` is the plugin's, in its folder `worker`.
#[cfg(test)]
pub(crate) fn check_complete(package: &str, own: &[(&str, &str)]) {
    use std::{collections::BTreeSet, fs};

    let mut wanted = BTreeSet::from([MAIN.to_owned()]);
    for (folder, package) in [
        ("../worker/llem_worker".to_owned(), "llem_worker"),
        (format!("worker/{package}"), package),
    ] {
        let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(folder).expect("the package is there") {
            let name =
                entry.expect("it can be read").file_name().into_string().expect("it is text");
            if name.strip_suffix(".py").is_some() {
                wanted.insert(format!("worker/{package}/{name}"));
            }
        }
    }
    let found: BTreeSet<String> =
        own.iter().chain(SHARED).map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, wanted);
}
