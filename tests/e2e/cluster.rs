//! What can be seen of clusters without one; `tests/slurm` has a real one.

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
