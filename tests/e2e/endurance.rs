//! A study that is killed again and again comes to what it would have come to undisturbed.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use llem_tests::{Answer, Workspace, processes_with};
use serde_json::Value;

use crate::fake::{ENGINES, bench, study};

/// Moments at which a run is killed; more with `LLEM_TEST_KILLS`.
fn kills() -> u64 {
    std::env::var("LLEM_TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(4)
}

/// Adaptive, so that what is decided from records is decided again after each kill.
const REPEATS: &str = "{ min = 2, max = 3, until = { half_width = 0.15 } }";

fn start(workspace: &Workspace, resume: bool) -> Child {
    let args: &[&str] = &["run", "study.toml", "--quiet", "--resume"];
    let mut command = workspace.command(if resume { args } else { &args[..3] });
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn is_under_way(workspace: &Workspace) -> bool {
    workspace.path().join("results").exists() && !workspace.journal().is_empty()
}

fn complete(workspace: &Workspace) -> Value {
    let run = start(workspace, is_under_way(workspace)).wait_with_output().expect("it was started");
    let answer = Answer::of(&run);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let text = fs::read_to_string(workspace.results().join("summary.json"));
    serde_json::from_str(&text.expect("a finished run has one")).expect("it is JSON")
}

/// Every number of a summary with its place, but those of the host's own speed.
fn numbers(value: &Value, place: &str, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "load_seconds") {
                numbers(value, &format!("{place}.{name}"), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                numbers(value, &format!("{place}[{at}]"), found);
            }
        }
        _ => found.extend(value.as_f64().map(|it| (place.to_owned(), it))),
    }
}

fn assert_equal(killed: &Value, undisturbed: &Value) {
    let of = |summary: &Value| {
        let mut found = Vec::new();
        for part in ["experiments", "effects", "contrasts", "drift"] {
            numbers(&summary[part], part, &mut found);
        }
        found
    };
    let (killed, undisturbed) = (of(killed), of(undisturbed));
    assert!(undisturbed.len() > 100, "{} numbers", undisturbed.len());
    assert_eq!(killed.len(), undisturbed.len(), "the same figures of the same experiments");
    for ((place, is), (other, was)) in killed.iter().zip(&undisturbed) {
        assert_eq!(place, other);
        // The last digits depend on where the meter's grid of 100 ms lies.
        let near = (is - was).abs() <= 1e-6 * was.abs().max(1e-3);
        assert!(
            near || place.contains("p_value") && (is - was).abs() < 1e-3,
            "{place}: {is}, was {was}"
        );
    }
}

#[test]
fn a_study_killed_at_random_moments_has_the_statistics_of_an_undisturbed_one() {
    let calm = bench("");
    calm.write("study.toml", &study(REPEATS, ENGINES));
    let undisturbed = complete(&calm);

    let workspace = bench("");
    workspace.write("study.toml", &study(REPEATS, ENGINES));
    let mut random = 42_u64;
    let mut before: Vec<Value> = Vec::new();
    for kill in 0..kills() {
        let under_way = is_under_way(&workspace);
        let mut run = start(&workspace, under_way);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_millis(20 + (random >> 33) % 5_000));
        let finished = run.try_wait().expect("it is ours").is_some();
        run.kill().expect("it was not waited for");
        run.wait().expect("it was started");
        let records = if is_under_way(&workspace) { workspace.records() } else { Vec::new() };
        let trials: BTreeSet<String> = records.iter().map(|it| it["trial"].to_string()).collect();
        assert_eq!(trials.len(), records.len(), "kill {kill}: no trial has two records");
        assert_eq!(records.get(..before.len()), Some(&before[..]), "kill {kill}: none is lost");
        before = records;
        if finished {
            assert_equal(&complete(&workspace), &undisturbed);
            fs::remove_dir_all(workspace.path().join("results")).expect("it is there");
            before = Vec::new();
        }
    }
    assert_equal(&complete(&workspace), &undisturbed);
    let records = workspace.records();
    assert_eq!(records[..before.len()], before[..], "after all kills, none is lost");
    // Their supervisors see that the host is gone.
    let scratch = workspace.path().join("results").display().to_string();
    for _ in 0..200 {
        if processes_with(&scratch).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("an engine outlived its host");
}
