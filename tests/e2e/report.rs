//! Reports of results: whole, self-contained, and safe whatever the names are.

use std::path::Path;

use llem_tests::synthetic::Synthetic;

use crate::workspace;

const H100: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/h100/pytorch-batch");

#[test]
fn a_report_is_one_file_that_asks_for_nothing() {
    let workspace = workspace();
    let answer = workspace.llem(&["report", H100, "-o", "report.html"]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(0), "report.html\n"),
        "{}",
        answer.stderr
    );
    let page = std::fs::read_to_string(workspace.path().join("report.html")).expect("written");
    for part in ["default-src 'none'", "id=\"method\"", "Uncertainty budget", "pytorch-batch"] {
        assert!(page.contains(part), "{part}");
    }
    for never in ["src=\"http", "href=\"http", "@import", "url("] {
        let own = page.split("id=\"llem-data\"").next().expect("there is a first part");
        assert!(!own.contains(never), "{never}");
    }
}

#[test]
fn hostile_names_stay_text() {
    let workspace = workspace();
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\u{2028}";
    let study = Synthetic {
        levels: vec![2, 2],
        traced: 1,
        boards: 2,
        hostile: hostile.to_owned(),
        repeats: 3,
    };
    let results = study.write(workspace.path()).expect("writable");
    let answer = workspace.llem(&["report", path(&results), "-o", "-"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    // The library that follows is the same in every report, whatever its data.
    let own = answer.stdout.split("<script nonce").next().expect("there is a first part");
    for never in ["<script>alert", "<img", "\u{202e}", "\u{2028}"] {
        assert!(!own.contains(never), "{never}");
    }
    assert_eq!(own.matches("<script").count(), 1, "only the data");
}

#[test]
fn an_unknown_experiment_is_named_with_what_to_do() {
    let answer = workspace().llem(&["report", H100, "--trace", "nothing"]);
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.stderr.contains("no experiment `nothing`") && answer.stderr.contains("hint:"),
        "{}",
        answer.stderr
    );
}

fn path(of: &Path) -> &str {
    of.to_str().expect("UTF-8")
}

#[test]
fn an_export_has_every_trial_and_a_table_every_experiment() {
    let workspace = workspace();
    let csv = workspace.llem(&["export", H100, "--format", "csv"]);
    let jsonl = workspace.llem(&["export", H100, "--format", "jsonl"]);
    assert_eq!((csv.code, jsonl.code), (Some(0), Some(0)), "{}{}", csv.stderr, jsonl.stderr);
    let shown = workspace.llem(&["show", "--json", H100]);
    let summary: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let experiments = summary["experiments"].as_array().expect("a list");
    let trials: u64 = experiments.iter().filter_map(|it| it["completed"].as_u64()).sum();
    let rows: Vec<serde_json::Value> =
        jsonl.stdout.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    let completed = rows.iter().filter(|it| it["status"] == "completed");
    assert_eq!(u64::try_from(completed.count()).expect("few"), trials);
    assert_eq!(csv.stdout.lines().count(), rows.len() + 1);
    assert!(rows.iter().all(|it| it["set.engine.batch_size"].is_number()), "{rows:?}");
    let table = workspace.llem(&["export", H100, "--format", "markdown"]).stdout;
    assert_eq!(table.lines().count(), experiments.len() + 2, "{table}");
    assert!(workspace.llem(&["export", H100, "--format", "latex"]).stdout.contains("batch\\_size"));
}

#[test]
fn results_compared_with_themselves_do_not_differ() {
    let answer = workspace().llem(&["compare", H100, H100]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(
        answer.stdout.contains("1.0000 [") && answer.stdout.contains("are the same"),
        "{}",
        answer.stdout
    );
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/h100/pytorch-baseline");
    let answer = workspace().llem(&["compare", H100, other]);
    assert_eq!(answer.code, Some(2), "{}", answer.stdout);
}

#[test]
fn one_experiment_is_shown_with_its_trials() {
    let answer = workspace().llem(&["show", H100, "batch_size=8"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    for part in ["f496d674e16cf67e", "energy_per_output_token_joules", "#1"] {
        assert!(answer.stdout.contains(part), "{part} in {}", answer.stdout);
    }
}
