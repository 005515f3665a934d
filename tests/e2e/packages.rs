//! What packages and workflows need of the repository.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it is there")
}

/// Packages of the workspace that are published.
fn published() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("a list").clone();
    packages.into_iter().filter(|it| it["publish"] != serde_json::json!([])).collect()
}

#[test]
fn every_published_crate_says_what_it_is_and_needs_published_ones_only() {
    let packages = published();
    let names: BTreeSet<&str> = packages.iter().filter_map(|it| it["name"].as_str()).collect();
    assert!(names.contains("llem") && names.len() == 10, "{names:?}");
    for package in &packages {
        for field in ["description", "license", "rust_version"] {
            assert!(package[field].is_string(), "{} has no {field}", package["name"]);
        }
        let dependencies = package["dependencies"].as_array().expect("a list");
        for it in dependencies.iter().filter(|it| it["path"].is_string() && it["kind"].is_null()) {
            let name = it["name"].as_str().expect("a name");
            assert!(names.contains(name), "{} needs {name}", package["name"]);
            assert_ne!(it["req"], "*", "{} needs no version of {name}", package["name"]);
        }
    }
}

#[test]
fn what_is_compiled_in_lies_within_its_crate() {
    for package in published() {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let home = manifest.parent().expect("a folder");
        let mut seen = 0;
        let is_test = |it: &PathBuf| it.ends_with("tests.rs") || it.iter().any(|it| it == "tests");
        let files = rust_files(&home.join("src"));
        let within = |it: &PathBuf| it.strip_prefix(home).expect("below").to_owned();
        for file in files.iter().filter(|it| !is_test(&within(it))) {
            let text = fs::read_to_string(file).expect("readable");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for included in code.split("include_").skip(1).filter_map(|it| it.split('"').nth(1)) {
                let up = included.matches("../").count();
                let depth = within(file).components().count() - 1;
                assert!(up <= depth, "{}: {included}", file.display());
                seen += 1;
            }
        }
        assert!(package["name"] != "llem" || seen > 20, "{seen} files in llem");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|it| it.expect("readable").path());
    entries
        .flat_map(|it| if it.is_dir() { rust_files(&it) } else { vec![it] })
        .filter(|it| it.extension().is_some_and(|it| it == "rs"))
        .collect()
}

#[test]
fn workflows_are_sound_and_call_what_there_is() {
    let mut steps = 0;
    for entry in fs::read_dir(root().join(".github/workflows")).expect("readable") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        let workflow: Value = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(workflow["on"].is_object() && workflow["permissions"].is_object());
        for (name, job) in workflow["jobs"].as_object().expect("jobs") {
            assert!(job["runs-on"].is_string() && job["timeout-minutes"].is_number(), "{name}");
            for step in job["steps"].as_array().expect("steps") {
                assert!(step["run"].is_string() != step["uses"].is_string(), "{step}");
                let script = step["run"].as_str().unwrap_or_default();
                for word in script.split_whitespace() {
                    if word.starts_with("packaging/") || word.starts_with(".ci/") {
                        assert!(root().join(word).is_file(), "{}: {word}", path.display());
                    }
                }
                steps += 1;
            }
        }
    }
    assert!(steps > 8, "{steps} steps");
}
