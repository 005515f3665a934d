//! Checks of the workspace itself: who may depend on whom, that every file says what it is, and that
//! no file grows beyond what a reader can hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A module of the host, and the modules that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("cli", &["config", "exit"]),
    ("exit", &[]),
    ("diagnostics", &["exit"]),
    ("engines", &["diagnostics", "exit"]),
    ("config", &["diagnostics", "exit"]),
    ("machine", &["config"]),
    ("artefacts", &[]),
    ("locks", &["config"]),
    ("gpus", &["config", "diagnostics", "exit", "locks"]),
    ("grants", &["diagnostics", "exit", "machine"]),
    ("plugins", &["config", "diagnostics", "exit", "grants", "machine"]),
    ("models", &[]),
    (
        "planning",
        &["config", "diagnostics", "exit", "grants", "machine", "models", "plugins", "runner"],
    ),
    ("store", &[]),
    ("runner", &["artefacts", "config", "gpus", "models", "planning", "store"]),
    ("results", &["store"]),
    (
        "cluster",
        &[
            "config",
            "diagnostics",
            "exit",
            "gpus",
            "grants",
            "locks",
            "machine",
            "planning",
            "runner",
            "store",
        ],
    ),
    ("report", &["cli", "diagnostics", "results"]),
    (
        "commands",
        &[
            "artefacts",
            "cli",
            "cluster",
            "config",
            "diagnostics",
            "exit",
            "gpus",
            "grants",
            "locks",
            "machine",
            "models",
            "planning",
            "plugins",
            "report",
            "results",
            "runner",
            "store",
        ],
    ),
];

/// A package, and the workspace's packages that it may depend on.
const PACKAGES: &[(&str, &[&str])] = &[
    ("batch", &[]),
    ("sdk", &[]),
    ("host/core", &[]),
    ("host/meter", &["llem-core"]),
    ("host/load", &["llem-batch", "llem-core"]),
    ("host/launch", &["llem-core", "llem-load"]),
    ("host/plugin", &["llem-core"]),
    ("host/conformance", &["llem-core", "llem-launch", "llem-plugin"]),
    ("plugins/candle", &["llem-sdk"]),
    ("plugins/candle/engine", &["llem-batch"]),
    ("plugins/pytorch", &["llem-sdk"]),
    ("plugins/vllm", &["llem-sdk"]),
    ("plugins/tensorrt", &["llem-sdk"]),
];

/// A crate that only one package may depend on, and which.
const ONLY_IN: &[(&str, &str)] = &[
    ("wasmtime", "host/plugin"),
    ("nvml-wrapper", "host/meter"),
    ("nvml-wrapper-sys", "host/meter"),
    ("bollard", "host/launch"),
    ("hyper", "host/load"),
    ("candle-core", "plugins/candle/engine"),
];

/// What the pure core must not depend on.
const NOT_IN_CORE: &[&str] =
    &["tokio", "wasmtime", "hyper", "nvml-wrapper", "clap", "anyhow", "rustix", "libc", "jiff"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}

fn all_rust_files() -> Vec<PathBuf> {
    ["batch", "host", "plugins", "sdk", "tests", "xtask"]
        .iter()
        .flat_map(|it| rust_files(&root().join(it)))
        .collect()
}

/// Names in the dependency table of a package; development ones are not part of it.
fn dependencies(package: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(package).join("Cargo.toml"))
        .expect("the manifest is readable");
    let table = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let lines = table.lines().take_while(|it| !it.starts_with('['));
    lines
        .filter_map(|it| it.split(['.', ' ', '=']).next())
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The modules that `crate::` paths in a text name, those of `crate::{a::b, c}` included.
fn named_modules(text: &str) -> BTreeSet<String> {
    let leading = |path: &str| -> String {
        path.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
    };
    let mut names = BTreeSet::new();
    for (at, found) in text.match_indices("crate::") {
        let rest = &text[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(items(group).iter().map(|it| leading(it))),
            None => drop(names.insert(leading(rest))),
        }
    }
    names
}

/// The items of a group up to its closing brace; groups within them stay whole.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut items) = (0_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&group[from..at]);
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => (),
        }
    }
    items
}

#[test]
fn grouped_imports_are_seen() {
    let names = named_modules("use crate::{\n    a::{x, y},\n    b,\n};\nfn f() { crate::c::g() }");
    for name in ["a", "b", "c"] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
}

#[test]
fn modules_of_the_host_name_only_the_layers_below() {
    let source = root().join("host/src");
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut violations = BTreeSet::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("the file is under the source");
        let first = relative.iter().next().expect("not empty");
        let module = Path::new(first).file_stem().expect("a name").to_string_lossy().into_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = layers
            .get(module.as_str())
            .unwrap_or_else(|| panic!("`{module}` has no place in the table"));
        for named in named_modules(&fs::read_to_string(&file).expect("the file is readable")) {
            let named = named.as_str();
            if named != module && layers.contains_key(named) && !allowed.contains(&named) {
                violations.insert(format!("{module} names {named}, in {}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn packages_depend_only_on_those_below() {
    for (package, allowed) in PACKAGES {
        let own: Vec<String> =
            dependencies(package).into_iter().filter(|it| it.starts_with("llem")).collect();
        let beyond: Vec<&String> =
            own.iter().filter(|it| !allowed.contains(&it.as_str())).collect();
        assert!(beyond.is_empty(), "{package} depends on {beyond:?}");
    }
}

#[test]
fn devices_http_and_wasm_are_known_in_one_package_each() {
    for (package, _) in PACKAGES.iter().chain(&[("host", &[][..])]) {
        let named = dependencies(package);
        for (library, home) in ONLY_IN {
            assert!(package == home || !named.contains(*library), "{package} depends on {library}");
        }
    }
}

#[test]
fn the_core_is_pure() {
    let named = dependencies("host/core");
    let impure: Vec<&&str> = NOT_IN_CORE.iter().filter(|it| named.contains(**it)).collect();
    assert!(impure.is_empty(), "{impure:?}");
}

#[test]
fn the_host_matches_on_no_engine_name() {
    let engines = ["\"candle\"", "\"pytorch\"", "\"vllm\"", "\"tensorrt\""];
    for file in rust_files(&root().join("host/src")) {
        let text = fs::read_to_string(&file).expect("readable");
        // The list of linked engines is data, and the command line has a default.
        if file.ends_with("engines.rs") || file.ends_with("cli.rs") {
            continue;
        }
        let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
        for engine in engines {
            assert!(!text[..tests].contains(engine), "{engine} in {}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = all_rust_files()
        .into_iter()
        .filter(|it| !fs::read_to_string(it).expect("readable").starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn no_file_exceeds_800_lines() {
    let long: Vec<_> = all_rust_files()
        .into_iter()
        .filter(|it| fs::read_to_string(it).expect("readable").lines().count() > 800)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_public_function_of_the_sdk_has_an_example() {
    for file in rust_files(&root().join("sdk/src")) {
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let mut has_example = false;
        for line in code.lines().map(str::trim) {
            if line.starts_with("///") {
                has_example |= line.contains("```");
            } else if !line.starts_with("#[") {
                let is_function = line.starts_with("pub fn ") || line.starts_with("pub const fn ");
                let refers = line.contains("fn check<B: Backend>");
                assert!(!is_function || has_example || refers, "{}: {line}", file.display());
                has_example = false;
            }
        }
    }
}
