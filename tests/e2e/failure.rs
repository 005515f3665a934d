//! Bad input of every kind: one error that says what, where and what to do, and nothing is lost.

use std::net::TcpListener;

use crate::{small_study, workspace};

#[test]
fn faults_of_a_study_are_shown_together_at_their_places() {
    let workspace = workspace();
    let study = small_study("")
        .replace("requests = 4", "reqests = 4")
        .replace("windows = 1", "windows = \"one\"");
    workspace.write("study.toml", &study);
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(2));
    for part in [
        "the study has 2 faults",
        "study.toml:6:1",
        "did you mean `requests`?",
        "`measure.windows`",
        "^^^^",
        "hint:",
    ] {
        assert!(answer.stderr.contains(part), "{part} in {}", answer.stderr);
    }
    assert!(!workspace.path().join("results").exists());
}

#[test]
fn unknown_plugins_parameters_and_values_name_the_nearest() {
    let workspace = workspace();
    let cases = [
        (small_study("").replace("plugin.candle", "plugin.candel"), "candle"),
        (small_study("engine.thread = 1"), "engine.threads"),
        (small_study("engine.dtype = \"f23\""), "f32"),
    ];
    for (study, nearest) in cases {
        workspace.write("study.toml", &study);
        let answer = workspace.llem(&["plan", "study.toml"]);
        assert_eq!(answer.code, Some(2), "{nearest}: {}", answer.stdout);
        assert!(answer.stderr.contains(nearest), "{nearest} in {}", answer.stderr);
    }
}

#[test]
fn a_missing_study_and_a_missing_model_are_named() {
    let workspace = workspace();
    let answer = workspace.llem(&["run", "nowhere.toml"]);
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.stderr.contains("nowhere.toml") && answer.stderr.contains("llem init"),
        "{}",
        answer.stderr
    );
    workspace.write(
        "study.toml",
        &small_study("").replace("random:tiny-llama-15m", "./no-such-model.gguf"),
    );
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(3));
    assert!(answer.stderr.contains("no-such-model.gguf"), "{}", answer.stderr);
}

#[test]
fn an_engine_that_dies_fails_its_trials_and_the_others_go_on() {
    let workspace = workspace();
    // A model file that is no model: the engine starts and gives up.
    workspace.write("broken.gguf", "this is no model");
    let sweep = "[sweep]\n\"model.id\" = [\"./broken.gguf\", \"random:tiny-llama-15m\"]";
    workspace.write(
        "study.toml",
        &small_study(sweep).replace("id = \"random:tiny-llama-15m\"", "revision = \"main\""),
    );
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(1), "{}\n{}", answer.stderr, answer.stdout);
    let records = workspace.records();
    assert_eq!(records.len(), 2);
    let failed = records.iter().find(|it| it["outcome"]["status"] == "failed").expect("one failed");
    assert!(failed["outcome"]["message"].as_str().is_some_and(|it| it.len() > 10), "{failed:#}");
    assert_eq!(records.iter().filter(|it| it["outcome"]["status"] == "completed").count(), 1);
}

#[test]
fn a_plugin_that_is_no_component_is_refused() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    workspace.write("fake.wasm", "\0asm nothing");
    let answer = workspace.llem(&["run", "study.toml", "--plugin", "./fake.wasm"]);
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    assert!(answer.stderr.contains("fake"), "{}", answer.stderr);
}

#[test]
fn a_strangers_plugin_needs_permission_by_name() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    let components = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/components/candle.wasm");
    std::fs::copy(components, workspace.path().join("mine.wasm")).expect("there is a component");
    let refused = workspace.llem(&["run", "study.toml", "--plugin", "./mine.wasm"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("--allow 'bundled:candle'"), "{}", refused.stderr);
    let allowed = workspace.llem(&[
        "run",
        "study.toml",
        "--plugin",
        "./mine.wasm",
        "--allow",
        "bundled:candle",
        "--allow",
        "image:llem-candle",
    ]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
}

#[test]
fn an_engine_on_an_occupied_port_says_so() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = occupied.local_addr().expect("it is bound").port().to_string();
    let workspace = workspace();
    // The study's own file makes the shape's configuration in the cache.
    workspace.write("study.toml", &small_study(""));
    assert_eq!(workspace.llem(&["run", "study.toml"]).code, Some(0));
    let record = &workspace.records()[0];
    let command: Vec<&str> = record["engine"]["command"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it.as_str())
        .collect();
    let model = command.iter().find(|it| it.starts_with("--model=")).expect("it names its model");
    let answer = workspace.llem(&[
        "engine",
        "candle",
        "serve",
        model,
        "--random-weights",
        "--host=127.0.0.1",
        &format!("--port={port}"),
    ]);
    assert_ne!(answer.code, Some(0));
    assert!(answer.stderr.contains("in use"), "{}", answer.stderr);
}

#[test]
fn a_trial_that_takes_too_long_fails_and_names_its_limit() {
    let workspace = workspace();
    let study = small_study("[traffic]\nconcurrency = 1\n[limits]\ntrial = \"1s\"");
    workspace.write("study.toml", &study.replace("window = \"1s\"", "window = \"60s\""));
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let failure = &workspace.records()[0]["outcome"];
    assert_eq!(failure["kind"], "timeout", "{failure:#}");
    assert!(failure["message"].as_str().is_some_and(|it| it.contains("within 1.0 s")));
}

#[test]
fn a_study_ends_within_its_time_and_goes_on_with_more() {
    let workspace = workspace();
    let study = |limit: &str| {
        let study =
            small_study(&format!("[traffic]\nconcurrency = 1\n[limits]\nstudy = \"{limit}\""));
        study.replace("repeats = 1", "repeats = 4").replace("window = \"1s\"", "window = \"2s\"")
    };
    workspace.write("study.toml", &study("3s"));
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("time is used up"), "{}", answer.stderr);
    let before = workspace.records().len();
    assert!(before < 4, "{before} trials of 2 s in 3 s");
    workspace.write("study.toml", &study("10min"));
    let answer = workspace.llem(&["run", "study.toml", "--resume"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let records = workspace.records();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|it| it["outcome"]["status"] == "completed"));
}

#[test]
fn failures_in_a_row_open_the_circuit_and_a_failed_probe_ends_the_study() {
    let workspace = workspace();
    // Too little time is nothing that a configuration is to blame for.
    let study = small_study("[limits]\nconsecutive_failures = 2\ntrial = \"1ms\"")
        .replace("repeats = 1", "repeats = 9");
    workspace.write("study.toml", &study);
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert_eq!(workspace.records().len(), 3, "two, and the probe: {}", answer.stderr);
    assert!(answer.stderr.contains("one more is tried"), "{}", answer.stderr);
    assert!(answer.stderr.contains("ends early"), "{}", answer.stderr);
}
