//! `llem plugin new`: a project that builds at once.
//!
//! Everything that it needs of llem comes with it: the contract, and for Rust a copy of the SDK, so that
//! it depends on package registries only.

use std::{fs, io, path::Path};

use crate::{
    cli::{Language, PluginNewArgs},
    commands::output,
    diagnostics::Failure,
    exit::ExitStatus,
};

type File = (&'static str, &'static str);

macro_rules! embedded {
    ($below:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../templates/", $below, "/", $name)))),*]
    };
}

const WIT: &[File] = embedded!["wit":
    "info.wit", "launch.wit", "params.wit", "results.wit", "types.wit", "world.wit",
];

/// The SDK's sources; a test compares the list with the folder.
const SDK: &[File] = embedded!["sdk":
    "argument.rs", "backend.rs", "build.rs", "build/file.rs", "build/rust.rs", "config.rs", "identity.rs", "lib.rs", "log.rs", "outcome.rs", "plan.rs",
    "server.rs", "table.rs", "table/convert.rs", "table/deliver.rs", "table/rows.rs", "testing.rs",
    "testing/conformance.rs", "value.rs", "wit.rs",
];

const STUDY: &str = include_str!("../../../templates/study.toml");
const SDK_MANIFEST: &str = include_str!("../../../templates/rust/sdk.toml.in");

const RUST: &[File] = &[
    ("Cargo.toml", include_str!("../../../templates/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../../../templates/rust/lib.rs.in")),
    ("README.md", include_str!("../../../templates/rust/README.md")),
    (".gitignore", "/target\n*.wasm\n/results\n"),
];

const PYTHON: &[File] = &[
    ("app.py", include_str!("../../../templates/python/app.py")),
    ("test_app.py", include_str!("../../../templates/python/test_app.py")),
    ("README.md", include_str!("../../../templates/python/README.md")),
    (".gitignore", "/venv\n/bindings\n__pycache__\n*.wasm\n/results\n"),
];

const JAVASCRIPT: &[File] = &[
    ("app.js", include_str!("../../../templates/js/app.js")),
    ("app.test.js", include_str!("../../../templates/js/app.test.js")),
    ("package.json", include_str!("../../../templates/js/package.json")),
    ("README.md", include_str!("../../../templates/js/README.md")),
    (".gitignore", "/node_modules\n*.wasm\n/results\n"),
];

/// Writes a project.
pub(crate) fn run(args: &PluginNewArgs) -> Result<ExitStatus, Failure> {
    let id = args.name.as_str();
    let is_id = id.len() <= 32
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !is_id {
        let message = format!("`{id}` is no plugin name");
        return Err(Failure::message(ExitStatus::Usage, message)
            .hint("use lower-case letters, digits and `-`, starting with a letter"));
    }
    let folder = Path::new(id);
    if folder.exists() {
        let message = format!("`{id}` is there already");
        return Err(Failure::message(ExitStatus::Usage, message).hint("choose another name"));
    }
    write(folder, args).map_err(|error| Failure::new(ExitStatus::Environment, &error))?;
    output(&format!("wrote {id}/; its README.md says how to build, test and run it\n"))
}

fn write(folder: &Path, args: &PluginNewArgs) -> io::Result<()> {
    let files = match args.lang {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::Js => JAVASCRIPT,
    };
    let sdk = args.sdk.as_ref().map_or_else(
        || "vendor/sdk".to_owned(),
        |it| fs::canonicalize(it).unwrap_or_else(|_| it.clone()).display().to_string(),
    );
    let render = |text: &str| {
        text.replace("@ID@", &args.name)
            .replace("@CRATE@", &args.name.replace('-', "_"))
            .replace("@SDK@", &sdk)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
    };
    for (name, text) in files.iter().chain(&[("study.toml", STUDY)]) {
        put(&folder.join(name), &render(text))?;
    }
    put_all(&folder.join("wit"), WIT)?;
    if args.lang == Language::Rust && args.sdk.is_none() {
        // The SDK reads the contract beside itself.
        put_all(&folder.join("vendor/wit"), WIT)?;
        put_all(&folder.join("vendor/sdk/src"), SDK)?;
        put(&folder.join("vendor/sdk/Cargo.toml"), &render(SDK_MANIFEST))?;
    }
    Ok(())
}

fn put_all(folder: &Path, files: &[File]) -> io::Result<()> {
    files.iter().try_for_each(|(name, text)| put(&folder.join(name), text))
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
        }
        found
    }

    #[test]
    fn the_copies_are_complete() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, listed) in [("wit", WIT), ("sdk/src", SDK)] {
            let folder = root.join(folder);
            let mut found: Vec<String> = files_below(&folder)
                .iter()
                .map(|it| it.strip_prefix(&folder).unwrap().display().to_string())
                .collect();
            found.sort();
            let mut listed: Vec<String> = listed.iter().map(|it| it.0.to_owned()).collect();
            listed.sort();
            assert_eq!(listed, found);
        }
    }
}
