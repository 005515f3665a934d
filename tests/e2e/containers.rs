//! Engines in containers through a stand-in for Apptainer; `tests/containers` has a real Docker.

use std::{fs, thread, time::Duration};

use llem_tests::{Answer, Workspace, path_with, processes_with};

use crate::{
    isolation::{has_two_processors, processors_of_engine},
    small_study, workspace,
};

/// A workspace with `apptainer` on its PATH, and a study whose engine runs in a container.
fn with_apptainer(further: &str) -> Workspace {
    let workspace = workspace();
    let bin = workspace.path().join("bin");
    fs::create_dir(&bin).expect("writable");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fake-apptainer"), bin.join("apptainer"))
        .expect("writable");
    let study =
        small_study(further).replace("[plugin.candle]", "[plugin.candle]\nrunner = \"container\"");
    workspace.write("study.toml", &study);
    workspace
}

fn command(workspace: &Workspace, args: &[&str]) -> std::process::Command {
    let mut command = workspace.command(args);
    command
        .env("PATH", path_with(&[workspace.path().join("bin")]))
        .env("LLEM_CONTAINER_ENGINE", "apptainer")
        .env("LLEM_CONTAINER_IMAGES", workspace.path().join("images"));
    command
}

fn run(workspace: &Workspace) -> Answer {
    let output = command(workspace, &["run", "study.toml"]).output();
    Answer::of(&output.expect("the program under test starts"))
}

/// Command lines of containers.
fn calls(workspace: &Workspace) -> Vec<Vec<String>> {
    let text = fs::read_to_string(workspace.path().join("images/calls.jsonl")).unwrap_or_default();
    text.lines().map(|it| serde_json::from_str(it).expect("a list of texts")).collect()
}

#[test]
fn batch_engines_and_servers_run_in_containers_without_docker() {
    for (traffic, has_network) in [("", false), ("[traffic]\nconcurrency = 2", true)] {
        let workspace = with_apptainer(traffic);
        let answer = run(&workspace);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let records = workspace.records();
        assert_eq!(records[0]["outcome"]["status"], "completed");
        let image = records[0]["engine"]["image"].as_str().expect("it ran in one");
        assert!(image.starts_with("llem-candle:") && image.contains("SIF sha256:"), "{image}");
        let calls = calls(&workspace);
        assert_eq!(calls.len(), 1, "{calls:?}");
        let has = |option: &str| calls[0].iter().any(|it| it == option);
        assert!(has("--containall") && has("--no-eval"), "{calls:?}");
        assert_eq!(!has("--net"), has_network, "{calls:?}");
        // The image is there now: nothing is pulled again.
        let answer = run(&workspace);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    }
}

#[test]
fn a_container_without_an_engine_keeps_away_from_the_hosts_processors() {
    if !has_two_processors() {
        return;
    }
    let workspace = with_apptainer("[traffic]\nconcurrency = 2");
    let mut run = command(&workspace, &["run", "study.toml", "--quiet"])
        .env("LLEM_HOST_CORES", "0")
        .spawn()
        .expect("it starts");
    let seen = processors_of_engine(&workspace);
    assert!(seen.split([',', '-']).all(|it| it != "0"), "{seen}");
    assert!(run.wait().expect("it is ours").success());
}

#[test]
fn no_container_outlives_a_killed_host() {
    let workspace = with_apptainer("[traffic]\nconcurrency = 2");
    let slow = fs::read_to_string(workspace.path().join("study.toml")).expect("it is there");
    workspace.write("study.toml", &slow.replace("window = \"1s\"", "window = \"60s\""));
    let mut host =
        command(&workspace, &["run", "study.toml", "--quiet"]).spawn().expect("it starts");
    let (id, place) = (host.id(), workspace.path().display().to_string());
    let engines = || {
        let ours = processes_with(&place);
        ours.into_iter().filter(|it| *it != id).collect::<Vec<_>>()
    };
    let wait = |holds: &dyn Fn() -> bool| {
        (0..600).any(|_| {
            thread::sleep(Duration::from_millis(50));
            holds()
        })
    };
    assert!(wait(&|| !calls(&workspace).is_empty()), "a container is started");
    assert!(engines().len() > 1, "an attendant and an engine");
    host.kill().expect("it runs");
    assert!(wait(&|| engines().is_empty()), "{:?} are left", engines());
    host.wait().expect("it is ours");
}

#[test]
fn an_engine_that_nobody_knows_is_named_with_what_is_allowed() {
    let workspace = with_apptainer("");
    let output = command(&workspace, &["run", "study.toml"])
        .env("LLEM_CONTAINER_ENGINE", "lxc")
        .output()
        .expect("it starts");
    let answer = Answer::of(&output);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let told = workspace.records()[0]["outcome"].to_string();
    for part in ["`lxc`", "`docker`", "`apptainer`"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}
