//! What can be seen of clusters without one; `tests/slurm` has a real one.

use std::{fs, path::PathBuf};

use llem_fake_nvml::{Config, GpuConfig, Settings, library_path};
use llem_tests::{
    Answer, Workspace,
    fake_slurm::{State, install, see},
};
use serde_json::Value;

use crate::{small_study, workspace};

#[test]
fn without_slurm_the_error_names_what_is_missing() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    let output = workspace
        .command(&["run", "study.toml", "--executor", "slurm"])
        .env("PATH", workspace.path())
        .output()
        .expect("the program under test starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    for part in ["no Slurm here", "`sbatch`, `squeue`, `scancel`, `scontrol`", "--dry-run"] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    assert!(!workspace.path().join("results").exists(), "nothing was begun");
}

#[test]
fn a_dry_run_prints_the_scripts_and_leaves_nothing() {
    let workspace = workspace();
    let table = "[executor]\nkind = \"slurm\"\nshards = 3\npartition = \"gpu\"\ncpus = 4\n";
    let study = small_study(table).replace("repeats = 1", "repeats = 3");
    workspace.write("study.toml", &study);
    let answer = workspace.llem(&["run", "study.toml", "--dry-run"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    for part in ["#SBATCH --array=0-2", "--partition=gpu", "--cpus-per-task=4", "run ", "--shard"] {
        assert!(answer.stdout.contains(part), "{part} in {}", answer.stdout);
    }
    assert!(!answer.stdout.contains("--gres"), "the engine takes no GPU: {}", answer.stdout);
    assert!(!workspace.path().join("results").exists());
}

#[test]
fn options_of_a_cluster_without_one_say_what_to_add() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    let answer = workspace.llem(&["run", "study.toml", "--dry-run"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("--executor slurm"), "{}", answer.stderr);
}

#[test]
fn a_directory_that_is_no_shard_is_named() {
    let workspace = workspace();
    let answer = workspace.llem(&["run", "study.toml", "--shard", "nowhere"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("nowhere/shard.json"), "{}", answer.stderr);
}

/// A shard of one trial that takes a GPU, on a machine that has two.
fn shard_with_gpus(gpus: Vec<GpuConfig>) -> (Workspace, PathBuf) {
    shard_of(gpus, "", &[])
}

/// The same of a study with these tables, submitted with these options.
fn shard_of(gpus: Vec<GpuConfig>, further: &str, options: &[&str]) -> (Workspace, PathBuf) {
    let workspace = workspace();
    fs::copy(library_path(), workspace.path().join("libnvidia-ml.so.1")).expect("a copy");
    let settings = Some(workspace.path().join("set.json"));
    let config = Config { gpus, settings, ..Config::default() };
    workspace.write("gpus.json", &serde_json::to_string(&config).expect("plain data"));
    install(workspace.path(), env!("CARGO_BIN_EXE_fake-slurm"), &State::new(0, 1.0, false))
        .expect("writable");
    workspace
        .write("study.toml", &small_study(&format!("[executor]\nkind = \"slurm\"\n{further}")));
    let mut command = workspace.command(&[&["run", "study.toml", "--detach"], options].concat());
    see(&mut command, workspace.path());
    let answer = Answer::of(&command.output().expect("it starts"));
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let directory = workspace.results().join("shards/000000");
    let file = directory.join("shard.json");
    let mut shard: Value =
        serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is whole");
    // The engine takes none; what is checked is what a task does with those that it is given.
    shard["gpus"] = 1.into();
    fs::write(file, shard.to_string()).expect("writable");
    (workspace, directory)
}

fn task(workspace: &Workspace, directory: &std::path::Path) -> Answer {
    task_with(workspace, directory, &[])
}

fn task_with(workspace: &Workspace, directory: &std::path::Path, options: &[&str]) -> Answer {
    let shard = directory.display().to_string();
    let output = workspace
        .command(&[&["run", "study.toml", "--shard", &shard], options].concat())
        .env("LD_LIBRARY_PATH", workspace.path())
        .env("LLEM_FAKE_NVML", workspace.path().join("gpus.json"))
        .env("CUDA_VISIBLE_DEVICES", "1")
        .output();
    Answer::of(&output.expect("it starts"))
}

/// The one attempt of a shard.
fn attempt(directory: &std::path::Path) -> PathBuf {
    let entries =
        fs::read_dir(directory).expect("it is there").map(|it| it.expect("readable").path());
    entries.into_iter().find(|it| it.is_dir()).expect("an attempt")
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).expect("it is there")).expect("it is whole")
}

#[test]
fn a_task_meters_the_gpu_that_it_was_given_and_names_it() {
    let gpu = |uuid: &str| GpuConfig { uuid: uuid.to_owned(), ..GpuConfig::default() };
    let (workspace, directory) = shard_with_gpus(vec![gpu("GPU-one"), gpu("GPU-two")]);
    let answer = task(&workspace, &directory);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let attempt = attempt(&directory);
    let records = workspace.records_of(&attempt);
    assert_eq!(records[0]["site"]["boards"], serde_json::json!(["GPU-two"]));
    assert_eq!(read(attempt.join("task.json"))["idle"][0]["board"], "GPU-two");
    assert_eq!(read(attempt.join("done.json"))["blocks"], serde_json::json!([0]));
    // Another task of the shard finds it done.
    assert_eq!(task(&workspace, &directory).code, Some(0));
    assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 2);
}

#[test]
fn a_task_refuses_a_gpu_that_others_use() {
    let used = GpuConfig { uuid: "GPU-two".to_owned(), processes: vec![1], ..GpuConfig::default() };
    let (workspace, directory) = shard_with_gpus(vec![GpuConfig::default(), used]);
    let answer = task(&workspace, &directory);
    assert_eq!(answer.code, Some(3), "{}", answer.stderr);
    assert!(answer.stderr.contains("1 other processes use the GPU GPU-two"), "{}", answer.stderr);
    let refusal = read(attempt(&directory).join("refused.json"));
    assert_eq!(refusal["is_of_node"], true);
    assert!(workspace.records_of(&attempt(&directory)).is_empty());
}

#[test]
fn a_task_sets_the_gpu_that_it_was_given_alone_and_only_where_it_is_allowed() {
    let gpu = |uuid: &str| GpuConfig { uuid: uuid.to_owned(), ..GpuConfig::default() };
    let allowed = ["--allow", "gpu:power_limit"];
    let (workspace, directory) =
        shard_of(vec![gpu("GPU-one"), gpu("GPU-two")], "[gpu]\npower_limit = 300\n", &allowed);
    let refused = task(&workspace, &directory);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow gpu:power_limit"), "{}", refused.stderr);
    let set = workspace.path().join("set.json");
    assert!(!set.exists());
    let answer = task_with(&workspace, &directory, &allowed);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let entries = fs::read_dir(&directory).expect("it is there");
    let records = entries.map(|it| workspace.records_of(&it.expect("readable").path()));
    let records: Vec<Value> = records.flatten().collect();
    assert_eq!(records.len(), 1);
    let settings = &records[0]["gpu_settings"];
    assert_eq!(settings.as_array().map(Vec::len), Some(1), "{settings:#}");
    assert_eq!(settings[0]["power_limit"]["in_force_watts"], 300.0, "{settings:#}");
    let set = Settings::read(&set);
    assert!(!set.contains_key("GPU-one"), "{set:?}");
    assert_eq!(set["GPU-two"].limit_milliwatts, Some(700_000));
}
