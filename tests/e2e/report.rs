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
    let study =
        Synthetic { levels: vec![2, 2], traced: 1, hostile: hostile.to_owned(), repeats: 2 };
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
