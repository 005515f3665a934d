//! Builds the components from their guests, and compares the committed ones with a fresh build.
//!
//! The bytes depend on the sources, the lock file, the recipe and the compiler, not on the
//! folder or the machine: paths are remapped and no flag of the caller's environment gets in.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{
    fresh::{MEND, read_committed},
    guests::{GUESTS, Guest},
    lock::{Entry, Lock},
    source::{self, RECIPE, hex},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the named guests, or all, and writes components and lock.
pub fn build(root: &Path, names: &[&str]) -> anyhow::Result<Vec<String>> {
    for name in names {
        ensure!(
            GUESTS.iter().any(|it| it.name == *name),
            "no guest `{name}`, there are {}",
            known()
        );
    }
    let rustc = rustc_version(root)?;
    let mut lock = Lock::read(root)?;
    let mut lines = Vec::new();
    for guest in GUESTS.iter().filter(|it| names.is_empty() || names.contains(&it.name)) {
        let bytes = component(root, guest, &root.join("target/components"))?;
        let entry = Entry {
            name: guest.name.to_owned(),
            sha256: hex(&Sha256::digest(&bytes)),
            source: source::hash(root, guest)?,
            rustc: rustc.clone(),
        };
        let path = root.join(guest.component);
        fs::write(&path, &bytes).with_context(|| format!("writing {}", path.display()))?;
        lines.push(format!("{}: {} bytes, sha256 {}", guest.component, bytes.len(), entry.sha256));
        lock.set(entry);
        lock.write(root)?;
    }
    Ok(lines)
}

/// Builds every guest in a fresh folder and compares its bytes with the committed component.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let lock = Lock::read(root)?;
    let rustc = rustc_version(root)?;
    let target = root.join(format!("target/components-check-{}", std::process::id()));
    let checked: anyhow::Result<Vec<String>> =
        GUESTS.iter().map(|guest| check_one(root, guest, &lock, &rustc, &target)).collect();
    fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
    checked
}

fn check_one(
    root: &Path,
    guest: &Guest,
    lock: &Lock,
    rustc: &str,
    target: &Path,
) -> anyhow::Result<String> {
    let committed = read_committed(root, guest)?;
    let entry = lock
        .entry(guest.name)
        .with_context(|| format!("no lock entry for `{}`; run `{MEND}`", guest.name))?;
    ensure!(
        entry.rustc == rustc,
        "`{}` was built by {}, this is {rustc}: bytes can't be compared",
        guest.name,
        entry.rustc
    );
    let fresh = component(root, guest, target)?;
    ensure!(
        fresh == committed,
        "{} differs from a fresh build ({} bytes, {} fresh); run `{MEND}`",
        guest.component,
        committed.len(),
        fresh.len()
    );
    Ok(format!("{}: identical, {} bytes", guest.component, fresh.len()))
}

fn known() -> String {
    GUESTS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")
}

/// Compiles a guest and makes a component of it.
fn component(root: &Path, guest: &Guest, target: &Path) -> anyhow::Result<Vec<u8>> {
    let module = compile(root, guest, target)?;
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(wit_component::ComponentEncoder::encode)
        .with_context(|| format!("making a component of `{}`", guest.name))
}

fn compile(root: &Path, guest: &Guest, target: &Path) -> anyhow::Result<Vec<u8>> {
    let mut command = cargo(root)?;
    command.args([
        "build",
        "--quiet",
        "--profile=component",
        "--target",
        TARGET,
        "--package",
        guest.package,
    ]);
    command.arg("--target-dir").arg(target);
    match guest.example {
        Some(example) => command.args(["--example", example]),
        None => command.arg("--lib"),
    };
    for setting in RECIPE {
        command.args(["--config", setting]);
    }
    let status = command.status().context("starting cargo")?;
    if !status.success() {
        bail!(
            "failed to compile `{}`; if the target is missing: rustup target add {TARGET}",
            guest.name
        );
    }
    let folder = target.join(TARGET).join("component");
    let file = match guest.example {
        Some(example) => folder.join("examples").join(format!("{example}.wasm")),
        None => folder.join(format!("{}.wasm", guest.package.replace('-', "_"))),
    };
    fs::read(&file).with_context(|| format!("reading {}", file.display()))
}

/// Cargo in an environment that leaves no trace in what it builds.
fn cargo(root: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(root);
    let passed = [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ];
    for name in passed {
        command.env_remove(name);
    }
    let mut flags = OsString::new();
    for (from, to) in [(root.to_owned(), "/llem"), (cargo_home()?, "/cargo")] {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    Ok(command)
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::home_dir().context("neither CARGO_HOME nor a home directory is known")?;
    Ok(home.join(".cargo"))
}

fn rustc_version(root: &Path) -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .arg("--version")
        .current_dir(root)
        .output()
        .context("starting rustc")?;
    ensure!(output.status.success(), "rustc --version failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
