//! Two studies on one GPU: the second is refused or waits, as asked, and never runs beside the first.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use llem_fake_nvml::{Config, GpuConfig, library_path};
use llem_tests::{Answer, Workspace};

use crate::{small_study, workspace};

/// A workspace in which `llem` finds a GPU that a process computes on.
fn with_gpu() -> Workspace {
    let workspace = workspace();
    std::fs::copy(library_path(), workspace.path().join("libnvidia-ml.so.1")).expect("a copy");
    let gpu = GpuConfig { processes: vec![1], ..GpuConfig::default() };
    let config = Config { gpus: vec![gpu], ..Config::default() };
    workspace.write("gpus.json", &serde_json::to_string(&config).expect("plain data"));
    workspace.write("study.toml", &small_study("").replace("repeats = 1", "repeats = 2"));
    workspace
}

/// A study in results of its own, beside the others on the same GPU.
fn study(workspace: &Workspace, results: &str, further: &[&str]) -> Command {
    let mut command = workspace.command(&["run", "study.toml", "--quiet", "--results", results]);
    command
        .args(further)
        .env("LD_LIBRARY_PATH", workspace.path())
        .env("LLEM_FAKE_NVML", workspace.path().join("gpus.json"))
        .env_remove("CUDA_VISIBLE_DEVICES")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn has_begun(workspace: &Workspace, results: &str) -> bool {
    let entries = std::fs::read_dir(workspace.path().join(results));
    entries.is_ok_and(|mut it| it.next().is_some())
}

/// When a file of the results was written last.
fn written(workspace: &Workspace, results: &str, name: &str) -> SystemTime {
    let mut entries = std::fs::read_dir(workspace.path().join(results)).expect("there are results");
    let directory = entries.next().expect("there is one").expect("readable").path();
    let metadata = directory.join(name).metadata().expect("it is there");
    metadata.modified().expect("the file system keeps times")
}

fn started(workspace: &Workspace) -> Child {
    let first = study(workspace, "first", &[]).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_mins(2);
    while !has_begun(workspace, "first") {
        assert!(Instant::now() < deadline, "the first study begins within two minutes");
        thread::sleep(Duration::from_millis(20));
    }
    first
}

#[test]
fn a_second_study_on_the_same_gpu_is_refused_or_waits() {
    let workspace = with_gpu();
    let mut first = started(&workspace);
    let refused = Answer::of(&study(&workspace, "second", &[]).output().expect("it starts"));
    // The first study takes seconds more; if it is done already, this machine was too busy to tell.
    let told = first.try_wait().expect("it is ours").is_none();
    if told {
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        let holder = format!("process {} of", first.id());
        assert!(
            refused.stderr.contains(&holder) && refused.stderr.contains("--wait"),
            "{}",
            refused.stderr
        );
        assert!(!has_begun(&workspace, "second"), "a refused study writes nothing");
    }
    let waiting = study(&workspace, "third", &["--wait"]).spawn().expect("it starts");
    assert!(first.wait().expect("it is ours").success());
    let third = Answer::of(&waiting.wait_with_output().expect("it is ours"));
    assert_eq!(third.code, Some(0), "{}", third.stderr);
    let last_of_first = written(&workspace, "first", "journal.jsonl");
    assert!(written(&workspace, "third", "lock") >= last_of_first, "never both at once");
    assert!(!told || third.stderr.contains("waiting: the GPU"), "{}", third.stderr);
}

#[test]
fn a_killed_study_frees_its_gpu_and_strangers_on_it_are_named() {
    let workspace = with_gpu();
    let mut first = started(&workspace);
    first.kill().expect("it runs");
    first.wait().expect("it is ours");
    let second = Answer::of(&study(&workspace, "results", &[]).output().expect("it starts"));
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let warnings = workspace.records()[0]["warnings"].to_string();
    assert!(warnings.contains("process 1)") && warnings.contains("computed on GPU-"), "{warnings}");
}
