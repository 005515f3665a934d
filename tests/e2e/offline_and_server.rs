//! Real studies on the linked engine, in both modes.

use std::collections::BTreeSet;

use crate::{small_study, workspace};

const BOTH_MODES: &str = r#"
[[sweep.variants]]
name = "mode"
options = [{}, { "traffic.arrival" = "closed-loop", "traffic.concurrency" = 2 }]
"#;

#[test]
fn a_study_gives_energy_with_its_instrument_and_leaves_nothing_behind() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(BOTH_MODES));
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let records = workspace.records();
    let modes: BTreeSet<&str> = records.iter().filter_map(|it| it["mode"].as_str()).collect();
    assert_eq!(modes, BTreeSet::from(["offline", "server"]));
    for record in &records {
        let window = &record["outcome"]["windows"][0];
        let reading = &window["energy"][0];
        assert!(reading["energy_joules"].as_f64().is_some_and(|it| it > 0.0), "{reading:#}");
        assert!(reading["method"].is_string() && reading["instrument"].is_string(), "{reading:#}");
        assert!(reading["uncertainty"].is_object(), "{reading:#}");
        assert!(window["metrics"]["output_tokens"].as_u64().is_some_and(|it| it > 0), "{window:#}");
    }
    let offline = records.iter().find(|it| it["mode"] == "offline").expect("there is one");
    assert_eq!(
        offline["outcome"]["windows"][0]["metrics"]["output_tokens"], 16,
        "4 requests of 4 tokens"
    );
    let server = records.iter().find(|it| it["mode"] == "server").expect("there is one");
    let said = |name: &str| {
        let figures = server["outcome"]["windows"][0]["server"].as_array().expect("a list");
        figures.iter().find(|it| it["name"] == name).expect("the plugin maps it").clone()
    };
    let (running, tokens) = (said("requests_running"), said("generation_tokens"));
    // The page is read at moments when nothing may run; what it counts tells whether it was read at all.
    assert!(running["most"].as_f64().is_some_and(|it| (0.0..=2.0).contains(&it)), "{running:#}");
    assert!(tokens["increase"].as_f64().is_some_and(|it| it > 0.0), "{tokens:#}");
    let id = server["trial"]["experiment"].as_str().expect("an id");
    let kept = workspace.results().join(format!("server/{id}-1.json"));
    let kept = std::fs::read_to_string(kept).expect("the readings are kept");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("it is JSON");
    let interval = &kept["timeline"].as_array().expect("a list")[0];
    assert!(interval["power_watts"].is_object() && interval["values"].is_object(), "{interval:#}");
    assert!(answer.stdout.contains("energy per output token"), "{}", answer.stdout);
    assert!(!workspace.results().join("scratch").exists());
    let results = workspace.results().display().to_string();
    assert_eq!(llem_tests::processes_with(&results), Vec::<u32>::new());
}

#[test]
fn two_runs_of_a_study_have_the_same_experiments() {
    let workspace = workspace();
    workspace.write("study.toml", &small_study(""));
    // The same meaning, written otherwise: other order of tables, explicit defaults.
    let otherwise = small_study("").replace("[workload]", "[workload]\nsource = \"synthetic\"");
    workspace.write("otherwise.toml", &otherwise);
    let ids = |file: &str| {
        let plan = workspace.llem(&["plan", "--json", file]);
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("it is JSON");
        plan["expansion"]["experiments"][0]["id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(ids("study.toml"), ids("otherwise.toml"));
}

#[test]
fn records_of_a_real_gpu_are_read_and_summarised() {
    let results = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/h100/pytorch-batch");
    let shown = workspace().llem(&["show", "--json", results]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let summary: serde_json::Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let energy = |label: &str| {
        let experiments = summary["experiments"].as_array().expect("a list");
        let found = experiments.iter().find(|it| it["label"] == label).expect("it was measured");
        let figure = &found["figures"]["energy_per_output_token_joules"];
        assert_eq!(
            (&figure["estimated"], &figure["ranked"]),
            (&false.into(), &true.into()),
            "{figure:#}"
        );
        figure["mean"].as_f64().expect("a number")
    };
    let (one, eight, sixty_four) =
        (energy("batch_size=1"), energy("batch_size=8"), energy("batch_size=64"));
    assert!(one > 5.0 * eight && eight > 5.0 * sixty_four, "{one} {eight} {sixty_four}");
    assert!(
        summary["instruments"][0].as_str().is_some_and(|it| it.contains("nvml")),
        "{summary:#}"
    );
}

#[test]
fn a_search_finds_a_load_that_meets_the_objective_on_one_engine() {
    let workspace = workspace();
    let search = r#"
[traffic]
concurrency = 1
[slo]
request_latency = "20s"
percentile = 90
[search]
highest = 2
"#;
    workspace.write("study.toml", &small_study(search));
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let record = workspace.records().remove(0);
    let found = &record["outcome"]["search"];
    assert_eq!(found["found"], 2.0, "{found:#}");
    let levels = found["levels"].as_array().expect("a list");
    assert_eq!(levels.len(), 2, "both ends: {found:#}");
    for level in levels {
        assert_eq!(level["is_met"], true, "{level:#}");
        assert!(level["energy_per_output_token_joules"].as_f64().is_some_and(|it| it > 0.0));
    }
    assert_eq!(record["outcome"]["windows"][0]["begin_ns"], levels[1]["begin_ns"]);
}

#[test]
fn trials_that_differ_only_in_traffic_share_a_running_engine_and_say_so() {
    let workspace = workspace();
    let sweep =
        "[traffic]\n[sweep]\n\"traffic.concurrency\" = [1, 2]\n\"workload.output_tokens\" = [4, 6]";
    let study = small_study(sweep).replace("repeats = 1", "repeats = 2");
    workspace.write("study.toml", &study);
    let plan = workspace.llem(&["plan", "study.toml"]);
    assert!(plan.stdout.contains("in at least 1 engine loads"), "{}", plan.stdout);
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let records = workspace.records();
    assert_eq!(records.len(), 8);
    let first = &records[0];
    assert!(first["engine"]["shared"].is_null(), "{first:#}");
    for (served, record) in records.iter().enumerate().skip(1) {
        let shared = &record["engine"]["shared"];
        assert_eq!(shared["served"].as_u64().and_then(|it| usize::try_from(it).ok()), Some(served));
        assert_eq!(shared["started_for"], first["trial"]);
        assert!(shared["since"].is_string());
        assert_eq!(record["engine"]["command"], first["engine"]["command"]);
    }
    let results = workspace.results();
    let logs = std::fs::read_dir(results.join("logs")).expect("there are logs").count();
    assert_eq!(logs, 1, "one engine was started");
    let results = results.display().to_string();
    assert_eq!(llem_tests::processes_with(&results), Vec::<u32>::new());
}

#[test]
fn repeats_of_an_offline_experiment_share_a_worker() {
    let workspace = workspace();
    let study = small_study("").replace("repeats = 1", "repeats = 2");
    workspace.write("study.toml", &study);
    assert_eq!(workspace.llem(&["run", "study.toml"]).code, Some(0));
    let records = workspace.records();
    assert_eq!(records[1]["engine"]["shared"]["served"], 1, "{:#}", records[1]["engine"]);
    assert_eq!(records[1]["engine"]["version"], records[0]["engine"]["version"]);
}
