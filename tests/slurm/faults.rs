//! Whatever is killed in the middle: the study completes, and nothing is lost or doubled.

use std::{collections::BTreeSet, process::Child};

use llem_tests::{Answer, processes_with};

use crate::Site;

/// Eight trials of four engines, in four shards of two.
const STUDY: &str = r#"
name = "faults"
[model]
id = "random:tiny-llama-15m"
[workload]
requests = 8
input_tokens = 8
output_tokens = 16
[measure]
warmup = { requests = 1 }
baseline = "none"
repeats = 2
rest = "1s"
[plugin.candle]
[sweep]
"candle.engine.max_batch_size" = [1, 2, 4, 8]
[executor]
kind = "slurm"
shards = 4
tries = 20
"#;
const TRIALS: usize = 8;
const FOLLOW: &[&str] = &["run", "study.toml", "--poll", "0.5"];

fn begin(site: &Site) -> Child {
    site.workspace.write("study.toml", STUDY);
    let child = site.command(FOLLOW).stderr(std::process::Stdio::piped()).spawn();
    let child = child.expect("the program under test starts");
    site.until("a first trial was recorded", || site.recorded() > 0);
    child
}

/// Waits for the end and checks that each trial has one record with figures; gives what it said.
fn completes(site: &Site, child: Child) -> String {
    let answer = Answer::of(&child.wait_with_output().expect("it was started"));
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, site.cluster.logs());
    let records = site.workspace.records();
    let trials: BTreeSet<String> = records.iter().map(|it| it["trial"].to_string()).collect();
    assert_eq!((records.len(), trials.len()), (TRIALS, TRIALS), "{}", answer.stderr);
    assert!(records.iter().all(|it| it["outcome"]["status"] == "completed"), "{records:#?}");
    for record in &records {
        let trial = &record["trial"];
        let name = format!("{}-{}", trial["experiment"].as_str().expect("an id"), trial["repeat"]);
        assert!(site.workspace.results().join("series").join(name).is_dir(), "{trial}");
    }
    answer.stderr
}

/// The first running task, as `JOB_INDEX`.
fn running_task(site: &Site) -> String {
    let running = || {
        let queue = site
            .cluster
            .slurm("squeue", &["--noheader", "--array", "--states=R", "--format=%A %F_%K"]);
        queue.lines().next().map(str::to_owned)
    };
    site.until("a task runs", || running().is_some());
    running().expect("it was there").split_whitespace().nth(1).expect("two words").to_owned()
}

#[test]
#[ignore = "needs Slurm: tests/slurm/run"]
fn a_cancelled_and_a_requeued_task_run_again() {
    let site = Site::new();
    let child = begin(&site);
    site.cluster.slurm("scancel", &[&running_task(&site)]);
    site.cluster.slurm("scontrol", &["requeue", &running_task(&site)]);
    let said = completes(&site, child);
    assert!(said.contains("ended unfinished (CANCELLED)"), "{said}");
}

#[test]
#[ignore = "needs Slurm: tests/slurm/run"]
fn a_task_that_is_killed_without_warning_runs_again() {
    let site = Site::new();
    let child = begin(&site);
    site.until("a task runs", || !processes_with("--shard").is_empty());
    let root = site.workspace.path().display().to_string();
    let own = processes_with(&root);
    let tasks = processes_with("--shard").into_iter().filter(|it| own.contains(it));
    for pid in tasks.filter_map(|it| rustix::process::Pid::from_raw(it.cast_signed())) {
        // One that has just ended is not there any more.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let said = completes(&site, child);
    assert!(said.contains("ended unfinished (FAILED)"), "{said}");
}

#[test]
#[ignore = "needs Slurm: tests/slurm/run"]
fn the_death_of_slurms_daemons_is_survived() {
    let mut site = Site::new();
    let child = begin(&site);
    site.cluster.crash_node();
    site.cluster.crash_controller();
    completes(&site, child);
}

#[test]
#[ignore = "needs Slurm: tests/slurm/run"]
fn the_controller_may_die_and_another_goes_on() {
    let site = Site::new();
    let mut child = begin(&site);
    child.kill().expect("it runs");
    child.wait().expect("it was started");
    let mut again = FOLLOW.to_vec();
    again.push("--resume");
    // It dies once more, at once, and is closed in order after that.
    let mut second = site.command(&again).spawn().expect("the program under test starts");
    std::thread::sleep(std::time::Duration::from_secs(1));
    second.kill().expect("it was not waited for");
    second.wait().expect("it was started");
    let mut detached = again.clone();
    detached.push("--detach");
    let answer = site.llem(&detached);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let third = site.command(&again).stderr(std::process::Stdio::piped()).spawn();
    completes(&site, third.expect("the program under test starts"));
}
