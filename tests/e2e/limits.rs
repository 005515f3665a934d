//! What ends trials and studies: Ctrl-C once and twice, budgets, engines that crash, failures in a row; and the rest
//! between trials.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use llem_tests::{Answer, Workspace, processes_with};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fake::{ENGINES, bench, study};

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} within two minutes");
        thread::sleep(Duration::from_millis(20));
    }
}

fn spawn(workspace: &Workspace, resume: bool) -> Child {
    let args = ["run", "study.toml", "--json", "--resume"];
    let mut command = workspace.command(if resume { &args } else { &args[..3] });
    let events = fs::File::create(workspace.path().join("events")).expect("writable");
    command.stdout(events).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn events(workspace: &Workspace) -> Vec<Value> {
    let text = fs::read_to_string(workspace.path().join("events")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
    whole.map(|it| serde_json::from_str(it).expect("events are JSON")).collect()
}

/// Runs a study with events and gives its answer and them.
fn run(workspace: &Workspace, study: &str, resume: bool) -> (Answer, Vec<Value>) {
    workspace.write("study.toml", study);
    let output = spawn(workspace, resume).wait_with_output().expect("it was started");
    (Answer::of(&output), events(workspace))
}

fn interrupt(run: &Child) {
    kill_process(Pid::from_child(run), Signal::INT).expect("it runs");
}

fn is_in(workspace: &Workspace, phase: &str) -> bool {
    events(workspace).last().is_some_and(|it| it["event"] == "progress")
        && events(workspace).iter().any(|it| it["phase"] == phase)
}

fn warnings(events: &[Value]) -> String {
    let messages = events.iter().filter(|it| it["event"] == "warning");
    messages.map(|it| it["message"].as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn left(events: &[Value]) -> u64 {
    let end = events.iter().find(|it| it["event"] == "study_finished").expect("it ended");
    end["left"].as_u64().expect("a number")
}

#[test]
fn the_first_interrupt_ends_a_batch_that_would_take_an_hour() {
    let workspace = bench("--endless");
    workspace.write("study.toml", &study("1", ENGINES));
    let run = spawn(&workspace, false);
    until("a batch under way", || is_in(&workspace, "warmup"));
    interrupt(&run);
    let answer = Answer::of(&run.wait_with_output().expect("it was started"));
    assert_eq!(answer.code, Some(130), "{}", answer.stderr);
    assert_eq!(workspace.records(), Vec::<Value>::new(), "a trial that was stopped has no record");
    // In order: the summary of what there is was written, and no process is left.
    assert!(workspace.results().join("summary.json").is_file());
    let scratch = workspace.results().display().to_string();
    until("no engine left", || processes_with(&scratch).is_empty());
}

#[test]
fn the_second_interrupt_ends_at_once_and_no_engine_is_left() {
    let workspace = bench("--endless");
    // An engine that does not stop when it is asked to has ten seconds of grace: the user need not wait for them.
    let script =
        fs::read_to_string(workspace.path().join("venv/bin/python3")).expect("it is there");
    workspace.write("venv/bin/python3", &script.replace("exec ", "trap '' TERM\nexec "));
    workspace.write("study.toml", &study("1", ENGINES));
    let run = spawn(&workspace, false);
    until("a batch under way", || is_in(&workspace, "warmup"));
    interrupt(&run);
    until("its stop", || events(&workspace).iter().any(|it| it["phase"] == "stop"));
    interrupt(&run);
    let answer = Answer::of(&run.wait_with_output().expect("it was started"));
    assert_eq!(answer.code, Some(130), "{}", answer.stderr);
    let ended = events(&workspace).iter().any(|it| it["event"] == "study_finished");
    assert!(!ended, "it did not wait for the engine");
    let scratch = workspace.results().display().to_string();
    until("no engine left", || processes_with(&scratch).is_empty());
}

#[test]
fn a_budget_of_energy_gets_the_least_repeats_and_is_no_failure() {
    let workspace = bench("");
    let budget = |joules: f64| {
        let many = "{ min = 2, max = 50, until = { half_width = 0.0001 } }";
        study(many, &format!("[limits]\nenergy_joules = {joules:.1}\n"))
    };
    let (answer, events) = run(&workspace, &budget(1.0), false);
    assert!(warnings(&events).contains("its energy is used up"), "{}", answer.stderr);
    assert_eq!((answer.code, left(&events)), (Some(1), 1), "one of two is owed: {}", answer.stderr);

    // Enough for the one that is owed and for some that are not, however long a trial takes on this machine.
    let seconds = workspace.records()[0]["duration_seconds"].as_f64().expect("a number");
    let (answer, events) = run(&workspace, &budget(3.5 * 250.0 * seconds), true);
    let said = warnings(&events);
    assert!(said.contains("used up") || said.contains("not enough for another trial"), "{said}");
    assert_eq!((answer.code, left(&events)), (Some(0), 0), "{}", answer.stderr);
    assert!((2..50).contains(&workspace.records().len()), "{}", workspace.records().len());
}

#[test]
fn an_engine_that_crashes_between_trials_is_started_again() {
    let workspace = bench("--crash-once crashed --crash-at 4");
    let script =
        fs::read_to_string(workspace.path().join("venv/bin/python3")).expect("it is there");
    // Engines run in directories of their own.
    let marker = workspace.path().join("crashed").display().to_string();
    workspace.write("venv/bin/python3", &script.replace("crashed", &marker));
    // Both configurations share an engine: a trial is a warm-up batch and the measured one, so that the fourth batch
    // is the second trial's.
    let sweep = "[sweep]\n\"pytorch.sampling.temperature\" = [0.5, 0.7]\n";
    let (answer, _) =
        run(&workspace, &study("2", &format!("sampling.do_sample = true\n{sweep}")), false);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let records = workspace.records();
    let statuses: Vec<&str> =
        records.iter().map(|it| it["outcome"]["status"].as_str().expect("a text")).collect();
    assert_eq!(statuses, ["completed", "failed", "completed", "completed"]);
    assert_eq!(records[1]["outcome"]["kind"], "crash", "{:#}", records[1]["outcome"]);
    let shared: Vec<bool> = records.iter().map(|it| it["engine"]["shared"].is_object()).collect();
    assert_eq!(shared, [false, true, false, true], "the third trial has a new engine");
    let answer = workspace.llem(&["run", "study.toml", "--resume", "--retry-failed", "--quiet"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(workspace.records().len(), 5, "only the failed one ran again");
}

#[test]
fn a_probe_that_succeeds_closes_the_circuit() {
    let workspace = bench("--fail-while broken");
    let script =
        fs::read_to_string(workspace.path().join("venv/bin/python3")).expect("it is there");
    let marker = workspace.path().join("broken").display().to_string();
    workspace.write("venv/bin/python3", &script.replace("broken", &marker));
    workspace.write("broken", "");
    let limits = format!("{ENGINES}[limits]\nconsecutive_failures = 2\n");
    workspace.write("study.toml", &study("2", &limits));
    let run = spawn(&workspace, false);
    until("an open circuit", || warnings(&events(&workspace)).contains("one more is tried"));
    fs::remove_file(workspace.path().join("broken")).expect("it is there");
    let answer = Answer::of(&run.wait_with_output().expect("it was started"));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let records = workspace.records();
    let completed = records.iter().filter(|it| it["outcome"]["status"] == "completed").count();
    assert_eq!((records.len(), completed), (4, 2), "the two after the pause");
    assert!(!warnings(&events(&workspace)).contains("ends early"));
}

#[test]
fn trials_rest_until_power_has_settled_or_as_long_as_the_study_says() {
    let workspace = bench("");
    let auto = study("1", ENGINES).replace("rest = \"0s\"", "rest = \"auto\"");
    let (answer, events) = run(&workspace, &auto, false);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let rests = events.iter().filter(|it| it["phase"] == "rest").count();
    assert_eq!(rests, 1, "between the two trials, not after the last");
    let begun = |record: &Value| {
        let text = record["started_at"].as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("RFC 3339")
    };
    let records = workspace.records();
    let length = records[0]["duration_seconds"].as_f64().expect("a number");
    let rest = (begun(&records[1]) - begun(&records[0])).as_secs_f64() - length;
    // Power that never changed has settled once there are ten seconds of it; the longest rest is a minute.
    assert!((9.5..50.0).contains(&rest), "{rest} s");
}
