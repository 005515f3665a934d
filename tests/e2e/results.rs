//! Results as other programs meet them: their published schema, earlier versions, running them again.

use std::{fs, path::Path};

use llem_tests::schema::faults;
use serde_json::{Value, json};

use crate::{small_study, workspace};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/h100");

fn published() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.schema.json"))
        .expect("it is published")
}

/// Entries of a journal without their checksums.
fn entries(journal: &Path) -> Vec<Value> {
    let text = fs::read_to_string(journal).expect("readable");
    text.lines().map(|it| serde_json::from_str(&it[17..]).expect("JSON")).collect()
}

#[test]
fn the_published_schema_is_that_of_the_program() {
    let answer = workspace().llem(&["schema", "results"]);
    assert_eq!(
        answer.stdout,
        published(),
        "write it again: `llem schema results > docs/results.schema.json`"
    );
}

#[test]
fn real_records_of_all_versions_keep_the_published_schema_and_are_read() {
    let schema: Value = serde_json::from_str(&published()).expect("JSON");
    let workspace = workspace();
    for name in ["pytorch-batch", "pytorch-baseline", "vllm-concurrency"] {
        let results = Path::new(FIXTURES).join(name);
        for entry in entries(&results.join("journal.jsonl")) {
            assert_eq!(faults(&schema, &entry), Vec::<String>::new(), "{name}");
        }
        let answer = workspace.llem(&["show", "--json", results.to_str().expect("UTF-8")]);
        assert_eq!(answer.code, Some(0), "{name}: {}", answer.stderr);
    }
    // A schema that takes everything would prove nothing.
    let mut broken = entries(&Path::new(FIXTURES).join("pytorch-batch/journal.jsonl"));
    let record = broken.iter_mut().find(|it| it["entry"] == "record").expect("it has records");
    record["outcome"]["windows"][0]["energy"][0]["energy_joules"] = json!("much");
    assert!(!faults(&schema, record).is_empty());
}

#[test]
fn what_is_written_now_keeps_the_schema_and_can_be_run_again() {
    let workspace = workspace();
    let study = small_study("[sweep]\n\"candle.engine.max_batch_size\" = [2, 4]\n");
    fs::create_dir(workspace.path().join("studies")).expect("writable");
    workspace.write("studies/study.toml", &study);
    let run = workspace.llem(&["run", "studies/study.toml", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let first = workspace.results();

    let schema: Value = serde_json::from_str(&published()).expect("JSON");
    for entry in workspace.journal() {
        assert_eq!(faults(&schema, &entry), Vec::<String>::new());
    }
    let events = workspace.llem(&["schema", "events"]).stdout;
    let events: Value = serde_json::from_str(&events).expect("JSON");
    for line in run.stdout.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(faults(&events, &event), Vec::<String>::new(), "{line}");
    }
    let started = |it: &Value| it["event"] == "trial_started";
    let left: Vec<Value> = run
        .stdout
        .lines()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .filter(started)
        .collect();
    assert!(
        left[0]["energy_joules_left"].is_null() && left[1]["seconds_left"].is_number(),
        "{left:?}"
    );

    // From another directory, without the study file: the results hold all of it.
    fs::remove_file(workspace.path().join("studies/study.toml")).expect("it is there");
    let results = first.to_str().expect("UTF-8");
    let plan = fs::read_to_string(first.join("plan.json")).expect("readable");
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let label = plan["experiments"][1]["label"].as_str().expect("a text");
    let answer = workspace.llem(&["rerun", results, label, "--results", "again"]);
    assert_eq!(answer.code, Some(0), "{}{}", answer.stdout, answer.stderr);
    assert!(answer.stdout.contains("Against the earlier results"), "{}", answer.stdout);
    let second = fs::read_dir(workspace.path().join("again")).expect("written").next();
    let second = second.expect("one").expect("readable").path();
    let of = |results: &Path| -> Vec<Value> {
        entries(&results.join("journal.jsonl"))
            .into_iter()
            .filter(|it| it["entry"] == "record")
            .collect()
    };
    let (before, now) = (of(&first), of(&second));
    assert_eq!((before.len(), now.len()), (2, 1));
    let same = before.iter().find(|it| it["trial"] == now[0]["trial"]).expect("the same trial");
    let tokens = |it: &Value| it["outcome"]["windows"][0]["metrics"]["input_tokens"].clone();
    assert_eq!(
        (same["engine"]["effective"].clone(), tokens(same)),
        (now[0]["engine"]["effective"].clone(), tokens(&now[0]))
    );

    let answer = workspace.llem(&["rerun", results, "nothing"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("no experiment `nothing`"), "{}", answer.stderr);
}

#[test]
fn results_of_a_newer_version_are_refused_with_what_to_do() {
    let workspace = workspace();
    let results = workspace.path().join("newer");
    fs::create_dir(&results).expect("writable");
    let from = Path::new(FIXTURES).join("pytorch-batch");
    fs::copy(from.join("plan.json"), results.join("plan.json")).expect("copied");
    let text = fs::read_to_string(from.join("journal.jsonl")).expect("readable");
    let header =
        text.lines().next().expect("a header")[17..].replace("\"format\":1", "\"format\":99");
    let sum = blake3::hash(header.as_bytes()).to_hex();
    fs::write(results.join("journal.jsonl"), format!("{} {header}\n", &sum[..16]))
        .expect("written");
    let answer = workspace.llem(&["show", "newer"]);
    assert_eq!(answer.code, Some(3), "{}", answer.stdout);
    assert!(
        answer.stderr.contains("format 99") && answer.stderr.contains("hint: use the version"),
        "{}",
        answer.stderr
    );
}
