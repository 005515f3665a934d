//! A killed run leaves no engine behind, and is completed without repeating what is finished.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use llem_tests::processes_with;

use crate::{small_study, workspace};

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_killed_in_the_middle_is_completed_by_resume() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study("").replace("repeats = 1", "repeats = 3"));
    let mut run = workspace.command(&["run", "study.toml", "--quiet"]).spawn().expect("it starts");
    until("a first record", || {
        workspace.path().join("results").exists() && !workspace.records().is_empty()
    });
    let results = workspace.results();
    let scratch = results.display().to_string();
    until("a second engine", || !processes_with("engine candle").is_empty());
    run.kill().expect("it runs");
    run.wait().expect("it was started");
    until("no engine left", || processes_with(&scratch).is_empty());

    let before = workspace.records();
    let answer = workspace.llem(&["run", "study.toml", "--resume"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(workspace.results(), results, "it goes on in the same directory");
    let records = workspace.records();
    let trials: BTreeSet<String> = records.iter().map(|it| it["trial"].to_string()).collect();
    assert_eq!((records.len(), trials.len()), (3, 3), "each trial has one record");
    assert_eq!(records[..before.len()], before[..], "finished trials are as they were");
    assert!(!results.join("scratch").exists());
}

#[test]
fn a_changed_study_is_not_resumed() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    assert_eq!(workspace.llem(&["run", "study.toml"]).code, Some(0));
    workspace
        .write("study.toml", &small_study("").replace("output_tokens = 4", "output_tokens = 5"));
    let answer = workspace.llem(&["run", "study.toml", "--resume"]);
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.stderr.contains("differs") && answer.stderr.contains("hint:"),
        "{}",
        answer.stderr
    );
}

#[test]
fn an_interrupt_ends_the_running_engine_and_keeps_what_is_finished() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study("").replace("repeats = 1", "repeats = 5"));
    let run = workspace.command(&["run", "study.toml", "--quiet"]).spawn().expect("it starts");
    until("a first record", || {
        workspace.path().join("results").exists() && !workspace.records().is_empty()
    });
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let answer = run.wait_with_output().expect("it was started");
    assert_eq!(answer.status.code(), Some(130));
    let scratch = workspace.results().display().to_string();
    assert_eq!(processes_with(&scratch), Vec::<u32>::new());
    let records = workspace.records();
    assert!(
        !records.is_empty() && records.iter().all(|it| it["outcome"]["status"] == "completed"),
        "{records:#?}"
    );
}
