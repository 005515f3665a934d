//! The TensorRT-LLM plugin through a stand-in for its server, which can't be had without its container and its GPU.

use std::{fs, os::unix::fs::symlink};

use llem_fake_nvml::{Config, GpuConfig};
use llem_tests::{Answer, path_with};
use serde_json::{Value, json};

use crate::{energy::Bench, small_study};

/// The small study with this plugin, and more at its end.
fn study(more: &str) -> String {
    small_study("").replace("output_tokens = 4", "output_tokens = 6").replace(
        "[plugin.candle]\nengine.max_batch_size = 4",
        &format!(
            "[traffic]\nconcurrency = 2\n[plugin.tensorrt]\nrunner = \"process\"\nrelease = \"1.2.1\"\n\
             engine.kv_cache_config.enable_block_reuse = false\nsampling.temperature = 0.5\n{more}"
        ),
    )
}

/// Runs the study, with more at its end, beside a simulated GPU.
fn run(more: &str) -> (Bench, Answer) {
    let bench = Bench::with(&Config { gpus: vec![GpuConfig::default()], ..Config::default() });
    let bin = bench.workspace.path().join("bin");
    fs::create_dir(&bin).expect("writable");
    symlink(env!("CARGO_BIN_EXE_fake-trtllm"), bin.join("trtllm-serve")).expect("writable");
    bench.workspace.write("none.toml", "");
    bench.workspace.write("study.toml", &study(more));
    let output = bench
        .command(&["run", "--plugin", "tensorrt", "study.toml"])
        .env("PATH", path_with(&[bin]))
        .output();
    (bench, Answer::of(&output.expect("the program under test starts")))
}

/// What the server said that it was told, for each start.
fn told(bench: &Bench) -> Vec<Value> {
    let logs = fs::read_dir(bench.workspace.results().join("logs")).expect("engines have logs");
    let texts = logs.map(|it| fs::read_to_string(it.expect("an entry").path()).expect("text"));
    let lines: Vec<String> =
        texts.flat_map(|it| it.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let told = lines.iter().filter_map(|it| it.split_once("told "));
    told.map(|(_, json)| serde_json::from_str(json).expect("it is JSON")).collect()
}

#[test]
fn a_server_is_given_its_options_and_measured() {
    let (bench, answer) = run("[sweep]\n\"tensorrt.engine.max_batch_size\" = [8, 64]\n");
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let records = bench.workspace.records();
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record["outcome"]["status"], "completed");
        assert_eq!(record["engine"]["version"], "1.2.1", "{:#}", record["engine"]);
        assert_eq!(record["engine"]["gpus"].as_array().map(Vec::len), Some(1));
        let window = &record["outcome"]["windows"][0];
        let of = |name: &str| window["metrics"][name].as_u64().expect("a count");
        assert!(of("output_tokens") > 0 && of("completed_requests") > 0, "{:#}", window["metrics"]);
        let latencies = &window["metrics"]["request_latency_seconds"];
        assert!(latencies["min"].as_f64().is_some_and(|it| it >= 0.01), "{latencies:#}");
    }
    let told = told(&bench);
    let sizes: Vec<_> = told.iter().map(|it| it["options"]["max_batch_size"].clone()).collect();
    assert!(sizes.contains(&json!(8)) && sizes.contains(&json!(64)), "{told:#?}");
    for start in &told {
        assert_eq!(start["options"]["kv_cache_config"], json!({"enable_block_reuse": false}));
        assert_eq!(start["options"]["load_format"], "dummy", "weights are random");
        assert_eq!(start["flags"]["--backend"], "pytorch");
    }
}

#[test]
fn what_the_server_dies_of_is_named() {
    for (setting, kind) in [
        ("engine.max_batch_size = 4096", "out-of-memory"),
        ("engine.enable_attention_dp = true", "bad-parameter"),
    ] {
        let (bench, answer) = run(&format!("{setting}\n"));
        assert_eq!(answer.code, Some(1), "{}\n{}", answer.stderr, answer.stdout);
        let record = bench.workspace.records().remove(0);
        let outcome = &record["outcome"];
        assert_eq!(outcome["status"], "failed", "{outcome:#}");
        assert_eq!(outcome["kind"], kind, "{outcome:#}");
    }
}
