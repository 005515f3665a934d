//! Traffic of real studies: sweeps of the load, traces, sessions, counts of both modes, objectives judged again.

use std::collections::BTreeSet;

use llem::results::ResultSet;
use llem_fake_engine::{Behaviour, FakeEngine};
use llem_tests::{Answer, Workspace};

use crate::{small_study, workspace};

fn run(workspace: &Workspace, study: &str) {
    workspace.write("study.toml", study);
    let answer = workspace.llem(&["run", "study.toml"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
}

fn slo(workspace: &Workspace, bounds: &[&str]) -> serde_json::Value {
    let results = workspace.results().display().to_string();
    let answer = workspace.llem(&[&["slo", &results, "--json"], bounds].concat());
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    serde_json::from_str(&answer.stdout).expect("it is JSON")
}

#[test]
fn a_sweep_of_the_rate_shares_one_engine_and_is_judged_again_and_again() {
    let workspace = workspace();
    let sweep = "[traffic]\narrival = \"poisson\"\n[sweep]\n\"traffic.rate\" = [20.0, 40.0, 60.0]";
    run(&workspace, &small_study(sweep));
    let records = workspace.records();
    assert_eq!(records.len(), 3);
    for (served, record) in records.iter().enumerate() {
        let shared = record["engine"]["shared"]["served"].as_u64().unwrap_or(0);
        assert_eq!(usize::try_from(shared), Ok(served), "{:#}", record["engine"]);
    }
    let logs = std::fs::read_dir(workspace.results().join("logs")).expect("there are logs");
    assert_eq!(logs.count(), 1, "one engine was started");

    let journal = workspace.journal();
    let lenient = slo(&workspace, &["--request-latency", "1h"]);
    let experiments = lenient["experiments"].as_array().expect("a list");
    assert_eq!(experiments.len(), 3);
    for it in experiments {
        let verdict = &it["verdict"];
        assert_eq!((&verdict["is_met"], &verdict["attainment_ratio"]), (&true.into(), &1.0.into()));
        assert!(verdict["goodput_per_second"].as_f64().is_some_and(|it| it > 0.0), "{it:#}");
    }
    let energy = |it: &serde_json::Value| it["energy_per_output_token_joules"].as_f64();
    let least =
        experiments.iter().min_by(|a, b| energy(a).partial_cmp(&energy(b)).expect("numbers"));
    assert_eq!(lenient["most_efficient"], least.expect("there are three")["id"]);
    let strict = slo(&workspace, &["--time-to-first-token", "1us", "--percentile", "1"]);
    assert!(strict["most_efficient"].is_null() && strict["highest_goodput"].is_null());
    assert_eq!(workspace.journal(), journal, "nothing is measured and nothing is written");

    let results = workspace.results().display().to_string();
    let shown = workspace.llem(&["slo", &results, "--request-latency", "1h"]);
    assert!(shown.stdout.contains("least energy for each output token"), "{}", shown.stdout);
    let unbounded = workspace.llem(&["slo", &results]);
    assert_eq!(unbounded.code, Some(2), "the study has no objective");
    assert!(unbounded.stderr.contains("--time-to-first-token"), "{}", unbounded.stderr);
}

#[test]
fn the_objective_of_a_study_is_judged_again_as_it_was_recorded() {
    let workspace = workspace();
    let traffic = "[traffic]\nconcurrency = 2\n[slo]\nrequest_latency = \"1h\"\npercentile = 90";
    run(&workspace, &small_study(traffic));
    let recorded = &workspace.records()[0]["outcome"]["windows"][0]["metrics"]["slo"];
    assert!(recorded["judged_requests"].as_u64().is_some_and(|it| it > 0), "{recorded:#}");
    assert_eq!(&slo(&workspace, &[])["experiments"][0]["verdict"], recorded);
}

#[test]
fn a_search_finds_the_load_with_the_least_energy_that_meets_the_objective() {
    let workspace = workspace();
    let search = r#"
[traffic]
concurrency = 1
[slo]
request_latency = "1h"
percentile = 90
[search]
goal = "least-energy"
highest = 3
"#;
    run(&workspace, &small_study(search));
    let record = workspace.records().remove(0);
    let found = &record["outcome"]["search"];
    let levels = found["levels"].as_array().expect("a list");
    let energy = |it: &serde_json::Value| it["energy_per_output_token_joules"].as_f64();
    let least = levels.iter().min_by(|a, b| energy(a).partial_cmp(&energy(b)).expect("numbers"));
    assert_eq!(found["found"], least.expect("there are levels")["level"], "{found:#}");
    let results = ResultSet::open(workspace.results()).expect("readable");
    let log =
        results.requests(&results.records()[0].trial).expect("readable").expect("it was kept");
    let indices: BTreeSet<u64> = log.requests.iter().map(|it| it.index).collect();
    assert_eq!(indices.len(), log.requests.len(), "no level asks for the prompts of another");
}

#[test]
fn both_modes_count_the_same_tokens_for_the_same_requests() {
    let workspace = workspace();
    let modes = r#"
[[sweep.variants]]
name = "mode"
options = [{}, { "traffic.concurrency" = 1 }]
"#;
    run(&workspace, &small_study(modes));
    let results = ResultSet::open(workspace.results()).expect("readable");
    let mut modes = BTreeSet::new();
    for record in results.records() {
        modes.insert(format!("{:?}", record.mode));
        let log = results.requests(&record.trial).expect("readable").expect("it was kept");
        // The first request of each place of a closed loop asks for less, so that places do not run in step.
        let first = usize::from(format!("{:?}", record.mode) == "Server");
        let completed = log.requests.iter().skip(first).filter(|it| it.is_completed());
        let completed: Vec<_> = completed.collect();
        assert!(completed.len() >= 4, "{:?}", record.mode);
        for request in completed {
            let counts = (request.input_tokens, request.output_tokens, request.contradiction);
            assert_eq!(counts, (Some(8), Some(4), false), "{:?}", record.mode);
        }
    }
    assert_eq!(modes.len(), 2);
}

#[test]
fn a_trace_is_replayed_at_its_times_with_its_lengths_until_the_windows_are_over() {
    let workspace = workspace();
    let trace = [(0.0, 5, 3), (0.05, 9, 2), (0.15, 7, 4)];
    let lines = trace.map(|(at, input, output)| {
        format!("{{\"offset_seconds\":{at},\"input_tokens\":{input},\"output_tokens\":{output}}}\n")
    });
    workspace.write("trace.jsonl", &lines.concat());
    let study = small_study("[traffic]\narrival = \"trace\"").replace(
        "[workload]\nrequests = 4\ninput_tokens = 8\noutput_tokens = 4",
        "[workload]\nrequests = 4\nsource = \"trace\"\ntrace = \"trace.jsonl\"",
    );
    run(&workspace, &study);
    let results = ResultSet::open(workspace.results()).expect("readable");
    let log =
        results.requests(&results.records()[0].trial).expect("readable").expect("it was kept");
    assert!(log.requests.len() > trace.len(), "it began anew: {}", log.requests.len());
    let begin = log.requests[0].scheduled_ns;
    for request in log.requests.iter().filter(|it| it.is_completed()) {
        let (round, place) =
            (request.index / 3, usize::try_from(request.index % 3).expect("small"));
        let (at, input, output) = trace[place];
        assert_eq!((request.input_tokens, request.output_tokens), (Some(input), Some(output)));
        // A round lasts 0.15 s and a mean gap of 0.075 s.
        let due = round * 225_000_000 + [0, 50_000_000, 150_000_000][place];
        assert!((request.scheduled_ns - begin).abs_diff(due) < 1000, "{at} {request:?}");
    }
}

#[test]
fn sessions_of_several_turns_run_on_a_server_and_are_refused_offline() {
    let workspace = workspace();
    let turns =
        |more: &str| small_study(more).replace("output_tokens = 4", "output_tokens = 4\nturns = 2");
    run(&workspace, &turns("[traffic]\nconcurrency = 2"));
    let results = ResultSet::open(workspace.results()).expect("readable");
    let log =
        results.requests(&results.records()[0].trial).expect("readable").expect("it was kept");
    let inputs: BTreeSet<(u64, Option<u64>)> = log
        .requests
        .iter()
        .filter(|it| it.is_completed())
        .map(|it| (it.index % 2, it.input_tokens))
        .collect();
    assert_eq!(inputs, BTreeSet::from([(0, Some(8)), (1, Some(8 + 4 + 8))]));
    workspace.write("offline.toml", &turns(""));
    let refused = workspace.llem(&["run", "offline.toml"]);
    assert_eq!(refused.code, Some(2), "{}\n{}", refused.stderr, refused.stdout);
    assert!(refused.stderr.contains("need a server"), "{}", refused.stderr);
}

#[test]
fn a_load_on_a_running_endpoint_has_latencies_and_no_energy_and_keeps_its_key() {
    let behaviour = Behaviour { first_token_ms: 5.0, gap_ms: 1.0, ..Behaviour::default() };
    let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
    let endpoint = format!("http://{}/v1", engine.address());
    let workspace = workspace();
    let load = |more: &[&str]| {
        let args =
            ["load", &endpoint, "--model", "fake", "--output-tokens", "6", "--requests", "8"];
        let mut command = workspace.command(&[&args, more].concat());
        Answer::of(&command.env("SOME_KEY", "not-so-secret").output().expect("it starts"))
    };
    let chat = load(&["--concurrency", "2", "--api-key-env", "SOME_KEY", "--json"]);
    assert_eq!(chat.code, Some(0), "{}\n{}", chat.stderr, chat.stdout);
    assert!(!chat.stdout.contains("not-so-secret"), "{}", chat.stdout);
    let chat: serde_json::Value = serde_json::from_str(&chat.stdout).expect("it is JSON");
    assert_eq!((&chat["completed"], &chat["requests"]), (&8.into(), &8.into()));
    let first = chat["metrics"]["time_to_first_token_seconds"]["p50"]["point"].as_f64();
    assert!(first.is_some_and(|it| it >= 0.005), "{chat:#}");

    let ids = load(&["--prompt", "token-ids", "--rate", "100", "--request-latency", "1h"]);
    assert_eq!(ids.code, Some(0), "{}\n{}", ids.stderr, ids.stdout);
    for told in ["8 of 8 requests", "met: 8 of 8", "not measured"] {
        assert!(ids.stdout.contains(told), "{}", ids.stdout);
    }
    let unset = load(&["--api-key-env", "NO_SUCH_KEY"]);
    assert_eq!(unset.code, Some(2));
    assert!(unset.stderr.contains("`NO_SUCH_KEY` is not set"), "{}", unset.stderr);
    assert_eq!(engine.stop().expect("it ends").tokens(), 2 * 8 * 6);
    let nobody = load(&[]);
    assert_eq!(nobody.code, Some(1), "every request failed");
    assert!(nobody.stdout.contains("first failure"), "{}", nobody.stdout);
}
