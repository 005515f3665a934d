//! One hash over everything that decides a component's bytes, the compiler excepted.
//!
//! It needs no toolchain, so an ordinary test can tell that a component is stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::guests::Guest;

/// The profile of guests. Part of each component's source hash.
pub const RECIPE: [&str; 6] = [
    "profile.component.inherits=\"release\"",
    "profile.component.opt-level=\"s\"",
    "profile.component.lto=\"fat\"",
    "profile.component.codegen-units=1",
    "profile.component.panic=\"abort\"",
    "profile.component.strip=true",
];

/// What every guest is made of.
const SHARED: [&str; 3] = ["wit", "sdk/Cargo.toml", "sdk/src"];

/// Hashes a guest's sources, the SDK, the contract, its locked dependencies and the build recipe.
pub fn hash(root: &Path, guest: &Guest) -> anyhow::Result<String> {
    let mut files = BTreeSet::new();
    for part in SHARED.iter().chain(guest.sources) {
        collect(root, Path::new(part), &mut files)?;
    }
    let mut hasher = Sha256::new();
    for file in files {
        let bytes =
            fs::read(root.join(&file)).with_context(|| format!("reading {}", file.display()))?;
        hasher.update(format!("{}\0{}\0", file.display(), bytes.len()));
        hasher.update(bytes);
    }
    for line in locked(root, guest.package)? {
        hasher.update(line);
    }
    hasher.update(RECIPE.join("\0"));
    Ok(hex(&hasher.finalize()))
}

/// Lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn collect(root: &Path, part: &Path, files: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let whole = root.join(part);
    if whole.is_file() {
        files.insert(part.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&whole).with_context(|| format!("reading {}", whole.display()))? {
        let name = entry?.file_name();
        if !is_left_out(&name.to_string_lossy()) {
            collect(root, &part.join(&name), files)?;
        }
    }
    Ok(())
}

/// Documentation, tests and what tools leave behind do not enter a component.
fn is_left_out(name: &str) -> bool {
    name.starts_with('.')
        || Path::new(name).extension().is_some_and(|it| it == "md")
        || matches!(name, "tests" | "target" | "__pycache__")
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// A line for each package that a package depends on, itself included, in a stable order.
fn locked(root: &Path, package: &str) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let lock: CargoLock = toml::from_str(&text).context("parsing Cargo.lock")?;
    let mut by_name: BTreeMap<&str, Vec<&Locked>> = BTreeMap::new();
    for it in &lock.package {
        by_name.entry(&it.name).or_default().push(it);
    }
    let mut lines = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(wanted) = open.pop() {
        let (name, version) =
            wanted.split_once(' ').map_or((wanted.as_str(), None), |(n, v)| (n, Some(v)));
        let found =
            by_name.get(name).with_context(|| format!("Cargo.lock has no package `{name}`"))?;
        for it in found.iter().filter(|it| version.is_none_or(|version| it.version == version)) {
            let line = format!(
                "{} {} {}\n",
                it.name,
                it.version,
                it.checksum.as_deref().unwrap_or("path")
            );
            if lines.insert(line) {
                open.extend(it.dependencies.iter().cloned());
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::GUESTS;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn hashes_are_stable_and_differ_between_guests() {
        let once = hash(root(), &GUESTS[0]).unwrap();
        assert_eq!(once, hash(root(), &GUESTS[0]).unwrap());
        assert_ne!(once, hash(root(), &GUESTS[4]).unwrap());
    }

    #[test]
    fn a_guest_depends_on_the_sdk_and_its_generator_only() {
        let lines = locked(root(), "llem-plugin-candle").unwrap();
        let names: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(&"llem-sdk") && names.contains(&"wit-bindgen"), "{names:?}");
        assert!(!names.contains(&"wasmtime") && !names.contains(&"llem-core"), "{names:?}");
    }
}
