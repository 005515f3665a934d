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
fn every_exit_code_is_documented() {
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/exit.rs"))
            .expect("readable");
    let codes = source
        .lines()
        .filter_map(|it| it.split("=> ").nth(1)?.trim_end_matches(',').parse::<u8>().ok());
    for code in codes {
        assert!(readme().contains(&format!("| {code} |")), "exit code {code}");
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
