//! The command line: help, exit codes, lists.

use llem_tests::Answer;

use crate::workspace;

#[test]
fn version_and_help_succeed() {
    let workspace = workspace();
    assert_eq!(
        workspace.llem(&["--version"]).stdout,
        format!("llem {}\n", env!("CARGO_PKG_VERSION"))
    );
    for command in [
        "run",
        "plan",
        "params",
        "show",
        "slo",
        "report",
        "compare",
        "export",
        "load",
        "doctor",
        "config",
        "init",
        "schema",
        "import",
        "plugin",
        "cache",
        "completions",
    ] {
        let help = workspace.llem(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.stdout.contains("Usage:"), "{command}: {}", help.stdout);
    }
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let answer = workspace().llem(&["run", "--colour"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("--colour") && answer.stdout.is_empty(), "{answer:?}");
}

#[test]
fn params_lists_and_explains_the_parameters_of_every_backend() {
    let workspace = workspace();
    let plugins = workspace.llem(&["plugin", "list", "--json"]);
    let plugins: serde_json::Value = serde_json::from_str(&plugins.stdout).expect("it is JSON");
    let ids: Vec<&str> =
        plugins.as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
    assert_eq!(ids, ["candle", "pytorch", "tensorrt", "vllm"]);
    for id in ids {
        let schema = workspace.llem(&["params", id, "--json"]);
        let schema: serde_json::Value = serde_json::from_str(&schema.stdout).expect("it is JSON");
        let parameters = schema["parameters"].as_array().expect("a list");
        let relevant = parameters.iter().filter(|it| it["energy_relevant"] == true).count();
        assert!(relevant >= if id == "candle" { 5 } else { 20 }, "{id} has {relevant}");
    }
    let one = workspace.llem(&["params", "vllm", "engine.max_num_seqs"]);
    assert!(
        one.stdout.starts_with("engine.max_num_seqs\n") && one.stdout.contains("--max-num-seqs"),
        "{}",
        one.stdout
    );
    let unknown = workspace.llem(&["params", "vllm", "engine.max_num_seq"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("engine.max_num_seqs"), "{}", unknown.stderr);
}

#[test]
fn the_written_study_plans_for_every_backend() {
    let workspace = workspace();
    for plugin in ["candle", "pytorch", "tensorrt", "vllm"] {
        let study = workspace.llem(&["init", "--plugin", plugin]);
        workspace.write("new.toml", &study.stdout);
        let plan = workspace.llem(&["plan", "new.toml"]);
        assert_eq!(plan.code, Some(0), "{plugin}: {}\n{}", plan.stderr, study.stdout);
    }
}

#[test]
fn completions_are_a_script() {
    assert!(workspace().llem(&["completions", "bash"]).stdout.contains("_llem"));
}

#[test]
fn studies_of_the_predecessor_are_imported_and_plan_to_their_runs() {
    let workspace = workspace();
    let cases = [
        ("01_minimal_offline", 12),
        ("02_full_annotated_offline", 147),
        ("03_groups_and_dormant_dedup", 7),
        ("04_server_rate_sweep", 10),
    ];
    for (name, runs) in cases {
        let old = format!("{}/studies/imported/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let new = format!("{name}.toml");
        let answer = workspace.llem(&["import", &old, "-o", &new]);
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), ""), "{}", answer.stderr);
        let plan = workspace.llem(&["plan", "--json", &new]);
        assert_eq!(plan.code, Some(0), "{name}: {}", plan.stderr);
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("it is JSON");
        let trials = plan["schedule"]["trials"].as_array().expect("a list").len();
        assert_eq!(trials, runs, "{name}");
        let again = workspace.llem(&["import", &old, "-o", &new]);
        assert_eq!(again.code, Some(2), "nothing is overwritten: {}", again.stderr);
    }
    workspace.write("other.yaml", "a: 1");
    let answer = workspace.llem(&["import", "other.yaml"]);
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.stderr.contains("`task`") && answer.stderr.contains("hint:"),
        "{}",
        answer.stderr
    );
}

#[test]
fn the_cache_is_shown_and_cleaned() {
    let workspace = workspace();
    let cache = workspace.path().join("cache");
    let artefacts = cache.join("artefacts");
    std::fs::create_dir_all(artefacts.join("engine-1")).expect("it is ours");
    std::fs::write(artefacts.join("engine-1/weights"), vec![0; 10_000]).expect("it is ours");
    std::fs::write(artefacts.join("engine-1.lock"), "").expect("it is ours");
    let llem = |args: &[&str]| {
        let output = workspace.command(args).env("LLEM_CACHE_DIR", &cache).output();
        Answer::of(&output.expect("it starts"))
    };
    assert_eq!(llem(&["params", "candle"]).code, Some(0));
    let shown = || -> serde_json::Value {
        serde_json::from_str(&llem(&["cache", "--json"]).stdout).expect("it is JSON")
    };
    let compiled = |shown: &serde_json::Value| {
        let parts = shown["parts"].as_array().expect("a list");
        parts.iter().find(|it| it["name"] == "cwasm").and_then(|it| it["bytes"].as_u64())
    };
    let before = shown();
    assert_eq!(before["artefacts"][0]["name"], "engine-1", "{before:#}");
    assert!(compiled(&before).is_some_and(|it| it > 10_000), "{before:#}");

    let cleaned = llem(&["cache", "clean"]);
    assert!(cleaned.stdout.starts_with("removed 1 artefacts"), "{}", cleaned.stdout);
    let after = shown();
    assert_eq!(
        (after["artefacts"].as_array().map(Vec::len), compiled(&after)),
        (Some(0), compiled(&before))
    );
    assert_eq!(llem(&["cache", "clean", "--all"]).code, Some(0));
    assert_eq!(compiled(&shown()), None);
}

#[test]
fn a_plan_says_how_many_loads_another_order_would_need() {
    let workspace = workspace();
    let study = crate::small_study("") + "[sweep]\n\"candle.engine.threads\" = [1, 2]\n";
    let says = |study: String| {
        workspace.write("study.toml", &study);
        let plan = workspace.llem(&["plan", "study.toml"]);
        assert_eq!(plan.code, Some(0), "{}", plan.stderr);
        plan.stdout.contains("`measure.order = \"grouped\"` would need 2")
    };
    let repeated = study.replace("repeats = 1", "repeats = 4");
    assert!(says(repeated.clone()));
    assert!(!says(study) && !says(repeated.replace("interleaved", "grouped")));
}
