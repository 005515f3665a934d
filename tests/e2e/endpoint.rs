//! Engines that run already: found at their address, measured, and left running.

use llem_fake_engine::{Behaviour, FakeEngine};
use llem_tests::{Answer, Workspace};

use crate::workspace;

const STUDY: &str = r#"
name = "endpoint"
[model]
id = "served"
[workload]
input_tokens = 8
output_tokens = 4
[measure]
warmup = { requests = 1 }
window = "1s"
windows = 1
baseline = "none"
repeats = 1
rest = "10ms"
[plugin.flawed]
[sweep]
"traffic.concurrency" = [1, 2]
"#;

/// The fixture as a plugin that attaches to a port of this machine.
fn attaching(workspace: &Workspace, port: u16) {
    let mut bytes = include_bytes!("../../host/conformance/tests/flawed.wasm").to_vec();
    let mark = bytes.windows(9).position(|it| it == b"FLAW:none").expect("there is a mark");
    let text = format!("{:.<20}", format!("attach-{port}"));
    bytes[mark + 5..][..20].copy_from_slice(text.as_bytes());
    std::fs::write(workspace.path().join("attach.wasm"), bytes).expect("writable");
    workspace.write("study.toml", STUDY);
}

fn run(workspace: &Workspace, more: &[&str]) -> Answer {
    let args = ["run", "study.toml", "--plugin", "./attach.wasm", "--quiet"];
    let allowed = ["--allow", "program:flawed-server", "--allow", "env-set:FLAWED_*"];
    workspace.llem(&[&args, &allowed[..], more].concat())
}

#[test]
fn an_engine_that_runs_already_is_measured_and_left_running() {
    let behaviour = Behaviour { gap_ms: 2.0, ..Behaviour::default() };
    let engine = FakeEngine::start(behaviour).expect("a port");
    let workspace = workspace();
    attaching(&workspace, engine.address().port());
    let answer = run(&workspace, &["--allow", "network:outbound"]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let records = workspace.records();
    assert_eq!(records.len(), 2);
    for record in records {
        let url = format!("http://{}", engine.address());
        assert_eq!(record["engine"]["command"][1], url, "{record:#}");
        let window = &record["outcome"]["windows"][0];
        assert!(window["metrics"]["output_tokens"].as_u64() > Some(0), "{window:#}");
        // The engine is a thread of this test: the instruments of this machine see it.
        assert!(window["energy"][0]["energy_joules"].is_number(), "{window:#}");
    }
    let truth = engine.stop().expect("it was still running");
    assert!(truth.served.len() > 2, "{truth:?}");
}

#[test]
fn attaching_needs_the_user_s_word() {
    let workspace = workspace();
    attaching(&workspace, 1);
    let refused = run(&workspace, &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("network:outbound"), "{}", refused.stderr);
}
