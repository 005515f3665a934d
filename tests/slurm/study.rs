//! A study as an array of shards gives what the same study gives on one machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::Site;

fn quickstart() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart.toml");
    fs::read_to_string(path).expect("the example is there")
}

/// What of a journal must be equal however it came about.
fn outline(records: &[Value]) -> BTreeMap<String, (u64, String, BTreeSet<String>)> {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|it| it.keys().cloned().collect()).unwrap_or_default()
    };
    let of = |record: &Value| {
        let window = &record["outcome"]["windows"][0];
        let parts = keys(record)
            .into_iter()
            .chain(keys(&record["outcome"]))
            .chain(keys(window))
            .chain(keys(&window["metrics"]));
        let trial = record["trial"].to_string();
        let position = record["position"].as_u64().expect("a place");
        (trial, (position, record["outcome"]["status"].to_string(), parts.collect()))
    };
    records.iter().map(of).collect()
}

#[test]
#[ignore = "needs Slurm: tests/slurm/run"]
fn the_quickstart_as_an_array_equals_a_local_run() {
    let site = Site::new();
    let workspace = &site.workspace;
    workspace.write("study.toml", &quickstart());
    // At the same time: only their structure is compared.
    let local = workspace.command(&["run", "study.toml", "--quiet", "--results", "local"]).spawn();
    let local = local.expect("the program under test starts");
    workspace
        .write("cluster.toml", &(quickstart() + "\n[executor]\nkind = \"slurm\"\nshards = 8\n"));
    let answer = site.llem(&["run", "cluster.toml", "--poll", "1"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, site.cluster.logs());
    let local = local.wait_with_output().expect("it was started");
    assert_eq!(local.status.code(), Some(0), "{}", String::from_utf8_lossy(&local.stderr));
    let (merged, local) = (workspace.results(), workspace.only("local"));
    let arrays = fs::read_dir(merged.join("shards")).expect("there are shards").count();
    assert!(arrays >= 8, "{arrays} shards");

    let here = outline(&workspace.records_of(&local));
    let there = outline(&workspace.records_of(&merged));
    assert_eq!(here.len(), 24);
    assert_eq!(there, here);
    let plan = |results: &Path| fs::read_to_string(results.join("plan.json")).expect("a plan");
    assert_eq!(plan(&merged), plan(&local));
    let names = |results: &Path, kind: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(results.join(kind)).expect("a directory");
        entries.map(|it| it.expect("readable").file_name().to_string_lossy().into()).collect()
    };
    for kind in ["requests", "series", "server"] {
        assert_eq!(names(&merged, kind), names(&local, kind), "{kind}");
    }
    // A local run may keep an engine from one repeat to the next, which has one log then.
    assert!(names(&merged, "logs").is_superset(&names(&local, "logs")));

    // What reads results reads these.
    let merged = merged.display().to_string();
    let local = local.display().to_string();
    for args in [
        vec!["show", merged.as_str()],
        vec!["export", merged.as_str(), "--format", "csv"],
        vec!["report", merged.as_str()],
        vec!["recompute", merged.as_str()],
        vec!["compare", local.as_str(), merged.as_str()],
    ] {
        let answer = workspace.llem(&args);
        assert_eq!(answer.code, Some(0), "{args:?}: {}", answer.stderr);
    }

    // Closed and opened again, there is nothing left to do.
    let again = site.llem(&["run", "cluster.toml", "--resume"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(outline(&workspace.records()), here);
}
