//! What the documentation claims about commands and exit codes.

use std::{fs, path::Path};

use crate::workspace;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))
        .expect("there is a README")
}

#[test]
fn the_readme_is_a_page_before_its_reference() {
    let readme = readme();
    let page = readme.split("\n## Reference").next().expect("there is a first part");
    assert!(page.lines().count() <= 60, "{} lines", page.lines().count());
}

#[test]
fn the_readme_names_both_commands_of_a_fresh_clone() {
    let readme = readme();
    for command in [
        "cargo run --release -p llem -- run --plugin candle examples/quickstart.toml",
        "cargo test --workspace",
    ] {
        assert!(readme.contains(command), "{command}");
    }
}

#[test]
fn every_exit_code_is_documented_as_the_help_says_it() {
    let help = workspace().llem(&["--help"]).stdout;
    let codes = help.split("Exit codes:\n").nth(1).expect("the help ends with them");
    let codes: Vec<(&str, &str)> =
        codes.lines().filter_map(|it| it.trim().split_once("  ")).collect();
    assert_eq!(codes.len(), 7, "{help}");
    for (code, meaning) in codes {
        assert!(readme().contains(&format!("| {code} | {meaning} |\n")), "{code}: {meaning}");
    }
}

#[test]
fn the_quickstart_plans_two_swept_parameters_in_both_modes() {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart.toml");
    let plan = workspace().llem(&[
        "plan",
        "--plugin",
        "candle",
        "--json",
        quickstart.to_str().expect("UTF-8"),
    ]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("it is JSON");
    let experiments = plan["expansion"]["experiments"].as_array().expect("a list");
    assert_eq!(experiments.len(), 8);
    for mode in ["server", "offline"] {
        assert_eq!(experiments.iter().filter(|it| it["mode"] == mode).count(), 4, "{mode}");
    }
    assert_eq!(plan["schedule"]["trials"].as_array().expect("a list").len(), 24);
}

#[test]
fn every_exported_column_is_documented() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results.md"))
        .expect("readable");
    let workspace = workspace();
    for results in ["pytorch-batch", "pytorch-baseline", "vllm-concurrency"] {
        let results = format!("{}/fixtures/h100/{results}", env!("CARGO_MANIFEST_DIR"));
        for rows in ["trials", "experiments"] {
            let csv =
                workspace.llem(&["export", &results, "--format", "csv", "--rows", rows]).stdout;
            for column in csv.lines().next().expect("a header").split(',') {
                let figure = column.strip_suffix("_low").or(column.strip_suffix("_high"));
                let name =
                    figure.unwrap_or(column).replace("_p90_", "_p50_").replace("_p99_", "_p50_");
                let name = if name.starts_with("set.") { "set.NAME" } else { &name };
                assert!(page.contains(&format!("`{name}`")), "{column}");
            }
        }
    }
}

#[test]
fn the_page_on_configuration_has_every_key_as_the_program_has_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = fs::read_to_string(page).expect("readable");
    let shown = workspace().llem(&["config", "--json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("it is JSON");
    let keys = shown["keys"].as_array().expect("a list");
    let text =
        |it: &serde_json::Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    for key in keys {
        let (name, variable) = (text(key, "key"), text(key, "variable"));
        let (default, about) = (text(key, "default"), text(key, "about"));
        let row = format!("| `{name}` | `{variable}` | {default} | {about} |\n");
        assert!(page.contains(&row), "{row}");
    }
    assert_eq!(page.matches("\n| `").count(), keys.len());
}

#[test]
fn the_page_on_coverage_has_every_row_with_a_test_that_there_is_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/coverage.md")).expect("readable");
    let mut sources = String::new();
    for directory in ["host", "plugins", "tests"] {
        collect(&root.join(directory), &mut sources);
    }
    let is_number =
        |it: &&str| it.trim_start_matches("| ").starts_with(|c: char| c.is_ascii_digit());
    let rows: Vec<&str> =
        page.lines().filter(|it| it.starts_with("| ")).filter(is_number).collect();
    for (place, row) in rows.iter().enumerate() {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, state, evidence] = cells[..] else { panic!("four cells: {row}") };
        assert_eq!(number, (place + 1).to_string(), "{row}");
        let named = evidence.split('`').skip(1).step_by(2).filter(|it| it.matches('_').count() > 1);
        let names: Vec<&str> = named.collect();
        for name in &names {
            assert!(sources.contains(&format!("fn {name}(")), "row {number}: no test `{name}`");
        }
        match state {
            "done" | "differs" => assert!(!names.is_empty(), "{row}"),
            "part" | "left out" => assert!(evidence.len() > 20, "{row}"),
            other => panic!("`{other}` is no state: {row}"),
        }
    }
    assert_eq!(rows.len(), 121);
}

#[test]
fn the_page_on_security_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("SECURITY.md")).expect("readable");
    let mut sources = String::new();
    for directory in ["host", "tests"] {
        collect(&root.join(directory), &mut sources);
    }
    let attacks = fs::read_dir(root.join("tests/attacks")).expect("there are attacks");
    let attacks: Vec<String> = attacks
        .filter_map(|it| it.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    let is_attack = |name: &str| {
        let (begin, end) = name.split_once('*').unwrap_or((name, ""));
        let matches = |it: &&String| {
            if name.contains('*') {
                it.starts_with(begin) && it.ends_with(end)
            } else {
                *it == name
            }
        };
        attacks.iter().any(|it| matches(&it))
    };
    let is_there = |name: &str| {
        sources.contains(&format!("fn {name}(")) || is_attack(name) || root.join(name).exists()
    };
    let named = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (rules, tested) = page.split_once("## How it is tested").expect("there is that part");
    let (_, rules) = rules.split_once("## What holds").expect("there is that part");
    // After the head and the line below it.
    let rows: Vec<&str> = rules.lines().filter(|it| it.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 20, "{} rules", rows.len());
    for row in rows {
        let tests = named(row.rsplit(" | ").next().expect("three cells"));
        assert!(!tests.is_empty(), "a rule without a test: {row}");
        for test in tests {
            assert!(is_there(&test), "no test `{test}`: {row}");
        }
    }
    let further = named(tested).into_iter().filter(|it| it.matches(['_', '-']).count() > 1);
    for test in further.filter(|it| it.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
        assert!(is_there(&test), "no test `{test}`");
    }
}

/// All sources below a directory, one after the other.
fn collect(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            *into += &fs::read_to_string(path).expect("readable");
        }
    }
}
