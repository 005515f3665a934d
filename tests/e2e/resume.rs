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

/// Moments for which a run is killed; more with `LLEM_TEST_KILLS`.
fn kills() -> u64 {
    std::env::var("LLEM_TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(6)
}

#[test]
fn runs_killed_at_random_moments_lose_and_double_no_record() {
    let workspace = workspace();
    let study = small_study("").replace("repeats = 1", "repeats = 4");
    workspace.write("study.toml", &study);
    let start = |resume: bool| {
        let args: &[&str] = &["run", "study.toml", "--quiet", "--resume"];
        let mut command = workspace.command(if resume { args } else { &args[..3] });
        command.spawn().expect("it starts")
    };
    let mut random = 42_u64;
    let mut before = Vec::new();
    let mut under_way = false;
    let place = workspace.path().display().to_string();
    let mut longest = Duration::ZERO;
    for kill in 0..kills() {
        let mut run = start(under_way);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_millis(20 + (random >> 33) % 1_200));
        run.kill().expect("it was not waited for");
        run.wait().expect("it was started");
        let died = Instant::now();
        until("no engine left", || processes_with(&place).is_empty());
        longest = longest.max(died.elapsed());
        let is_there = workspace.path().join("results").exists();
        under_way = is_there && !workspace.journal().is_empty();
        let records = if under_way { workspace.records() } else { Vec::new() };
        let trials: BTreeSet<String> = records.iter().map(|it| it["trial"].to_string()).collect();
        assert_eq!(trials.len(), records.len(), "kill {kill}: no trial has two records");
        assert_eq!(records.get(..before.len()), Some(&before[..]), "kill {kill}: none is lost");
        before = records;
        if before.len() == 4 {
            std::fs::remove_dir_all(workspace.path().join("results")).expect("it is there");
            (before, under_way) = (Vec::new(), false);
        }
    }
    // A machine that is busy with other tests may take longer; asked for by number, it has to keep the promise.
    if std::env::var("LLEM_TEST_KILLS").is_ok() {
        assert!(longest < Duration::from_secs(5), "an engine outlived its host by {longest:?}");
    }
    let answer = start(under_way).wait_with_output().expect("it was started");
    assert_eq!(answer.status.code(), Some(0), "{}", String::from_utf8_lossy(&answer.stderr));
    let records = workspace.records();
    assert_eq!(records.len(), 4);
    assert_eq!(records[..before.len()], before[..]);
}

#[test]
fn a_place_that_takes_no_results_is_a_clear_error() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    // Not even root can make a directory there.
    let answer = workspace.llem(&["run", "study.toml", "--results", "/proc/llem-results"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    assert!(answer.stderr.contains("/proc/llem-results"), "{}", answer.stderr);
}
