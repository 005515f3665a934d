//! Engines that run already: found at their address, measured, and left running; their keys; and those on other machines.

use std::{fs, path::Path, process::Command};

use llem_fake_engine::{Behaviour, FakeEngine};
use llem_tests::{Answer, Workspace};
use serde_json::{Value, json};

use crate::{
    attacks::{component, set},
    workspace,
};

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

/// The value of the key, which must be seen nowhere.
const KEY: &str = "sk-not-to-be-seen";

/// A plugin that attaches to an address, with further keys of `extra`, and is allowed to.
fn endpoint(workspace: &Workspace, url: &str, extra: &[(&str, &str)]) -> Vec<&'static str> {
    let base = include_str!("../attacks/base.json");
    let mut script: Value = serde_json::from_str(base).expect("it is JSON");
    let mut keys = vec![json!(["attach", url])];
    keys.extend(extra.iter().map(|it| json!([it.0, it.1])));
    let metrics = json!({ "format": "prometheus", "path": "/metrics", "series": [
        { "name": "fake:generation_tokens_total", "labels": [], "target": "generation_tokens", "kind": "Counter",
          "scale": 1.0, "unit": null }
    ] });
    let models = json!({ "id": "models", "method": "GET", "path": "/v1/models", "body": null,
        "expect_status": 200, "expect_body": null });
    for (pointer, value) in [
        (
            "/descriptor/permissions",
            json!([{ "Network": "to the endpoint" }, { "Secret": "my-key" }]),
        ),
        ("/plan/extra", json!(keys)),
        ("/plan/steps/0/command", json!({ "program": "Entrypoint", "args": [] })),
        ("/plan/steps/0/files", json!([])),
        ("/plan/steps/0/network", json!("Outbound")),
        ("/plan/steps/0/readiness/probes", json!([{ "Http": models }])),
        ("/plan/steps/0/readiness/deadline_ms", json!(3000)),
        ("/plan/steps/0/role/Subject/metrics", metrics),
    ] {
        set(&mut script, pointer, value);
    }
    fs::write(workspace.path().join("endpoint.wasm"), component(&script)).expect("writable");
    let study = STUDY.replace("[plugin.flawed]", "[plugin.scripted]\nsecrets = [\"my-key\"]");
    let study = if extra.iter().any(|it| it.0 == "attach-secret") {
        study
    } else {
        study.replace("secrets = [\"my-key\"]", "")
    };
    workspace.write("study.toml", &study);
    vec![
        "run",
        "study.toml",
        "--plugin",
        "./endpoint.wasm",
        "--quiet",
        "--allow",
        "network:outbound",
        "--allow",
        "secret:my-key",
    ]
}

fn with_key(key: &str) -> Behaviour {
    Behaviour { gap_ms: 2.0, api_key: Some(key.to_owned()), ..Behaviour::default() }
}

fn holds_key(directory: &Path) -> bool {
    fs::read_dir(directory).expect("it is there").flatten().any(|entry| {
        let path = entry.path();
        let holds = |it: Vec<u8>| it.windows(KEY.len()).any(|it| it == KEY.as_bytes());
        if path.is_dir() { holds_key(&path) } else { fs::read(&path).is_ok_and(holds) }
    })
}

#[test]
fn a_key_goes_with_every_request_and_is_kept_nowhere() {
    let engine = FakeEngine::start(with_key(KEY)).expect("a port");
    let workspace = workspace();
    let url = format!("http://{}", engine.address());
    let args = endpoint(&workspace, &url, &[("attach-secret", "my-key")]);
    let output = workspace.command(&args).env("MY_KEY", KEY).output().expect("it starts");
    let answer = Answer::of(&output);
    // Readiness, the metrics page and the load were all let in.
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    let window = &workspace.records()[0]["outcome"]["windows"][0];
    assert!(window["metrics"]["output_tokens"].as_u64() > Some(0), "{window:#}");
    assert!(window["server"][0]["increase"].as_f64() > Some(0.0), "{window:#}");
    assert!(!holds_key(workspace.path()) && !answer.stdout.contains(KEY));
    assert!(engine.stop().expect("it ran").served.len() > 2);
}

#[test]
fn a_wrong_key_is_masked_where_the_server_repeats_it() {
    let engine = FakeEngine::start(with_key("another")).expect("a port");
    let workspace = workspace();
    let url = format!("http://{}", engine.address());
    let args = endpoint(&workspace, &url, &[("attach-secret", "my-key")]);
    // Ready as soon as it listens, so that the load is what is refused.
    let path = workspace.path().join("endpoint.wasm");
    let mut bytes = fs::read(&path).expect("it was written");
    let (from, to) = (br#""expect_status":200"#, br#""expect_status":401"#);
    let at = bytes.windows(from.len()).position(|it| it == from).expect("it has a probe");
    bytes[at..at + from.len()].copy_from_slice(to);
    fs::write(&path, bytes).expect("writable");
    let output = workspace.command(&args).env("MY_KEY", KEY).output().expect("it starts");
    let answer = Answer::of(&output);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    let said = workspace.records()[0]["outcome"].to_string();
    assert!(said.contains("incorrect API key provided: `[secret]`"), "{said}");
    let told = [answer.stdout, answer.stderr].iter().any(|it| it.contains(KEY));
    assert!(!told && !holds_key(workspace.path()));
}

#[test]
fn a_key_that_is_not_set_is_named_before_anything_runs() {
    let workspace = workspace();
    let args = endpoint(&workspace, "http://127.0.0.1:9", &[("attach-secret", "my-key")]);
    let output = workspace.command(&args).env_remove("MY_KEY").output().expect("it starts");
    let answer = Answer::of(&output);
    assert_ne!(answer.code, Some(0));
    assert!(answer.stderr.contains("`MY_KEY` is not set"), "{}", answer.stderr);
    assert!(!workspace.path().join("results").exists());
}

/// The same plugin asks for a key in both: it is only a study that gives it one that needs the user's word for it.
#[test]
fn a_secret_is_asked_for_where_the_study_lists_it() {
    let engine =
        FakeEngine::start(Behaviour { gap_ms: 2.0, ..Behaviour::default() }).expect("a port");
    let workspace = workspace();
    let url = format!("http://{}", engine.address());
    let args = endpoint(&workspace, &url, &[("attach-secret", "my-key")]);
    let allowed_less = &args[..args.len() - 2];
    let output = workspace.command(allowed_less).env("MY_KEY", KEY).output().expect("it starts");
    let refused = Answer::of(&output);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow 'secret:my-key'"), "{}", refused.stderr);
    assert!(!workspace.path().join("results").exists());

    // A plan that takes it all the same has no permission to.
    let study = fs::read_to_string(workspace.path().join("study.toml")).expect("it was written");
    workspace.write("study.toml", &study.replace("secrets = [\"my-key\"]", ""));
    let output = workspace.command(allowed_less).env("MY_KEY", KEY).output().expect("it starts");
    assert_eq!(Answer::of(&output).code, Some(1));
    let said = workspace.records()[0]["outcome"].to_string();
    assert!(said.contains("secret-not-granted") && said.contains("my-key"), "{said}");

    fs::remove_dir_all(workspace.path().join("results")).expect("it is ours");
    let args = endpoint(&workspace, &url, &[]);
    let answer = workspace.llem(&args[..args.len() - 2]);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
}

/// Each trial has requests, and no energy, for a reason.
fn has_no_energy(records: &[Value]) {
    assert_eq!(records.len(), 2);
    for record in records {
        let window = &record["outcome"]["windows"][0];
        assert!(window["metrics"]["output_tokens"].as_u64() > Some(0), "{window:#}");
        let energies = window["energy"].as_array().expect("a list");
        assert!(energies.iter().all(|it| it["energy_joules"].is_null()), "{window:#}");
        let why = "energy is not measured: the endpoint is not on this machine";
        assert!(record["warnings"].to_string().contains(why), "{record:#}");
    }
}

#[test]
fn an_engine_behind_a_tunnel_has_no_energy_here() {
    let engine =
        FakeEngine::start(Behaviour { gap_ms: 2.0, ..Behaviour::default() }).expect("a port");
    let workspace = workspace();
    let url = format!("http://{}", engine.address());
    let answer = workspace.llem(&endpoint(&workspace, &url, &[("attach-elsewhere", "true")]));
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    has_no_energy(&workspace.records());
}

/// Two network namespaces with a cable between them are two machines, as far as addresses say.
#[test]
fn an_engine_on_another_machine_has_no_energy_here() {
    const TWO_MACHINES: &str = r#"
        set -e
        ip link set lo up
        unshare -n sh -c '
            until ip link show e1 >/dev/null 2>&1; do sleep 0.02; done
            ip addr add 10.77.0.2/24 dev e1; ip link set e1 up
            exec "$LLEM" engine fake 10.77.0.2:8000' >/dev/null &
        other=$!
        trap 'kill $other' EXIT
        until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
        ip link add e0 type veth peer name e1 netns $other
        ip addr add 10.77.0.1/24 dev e0; ip link set e0 up
        "$LLEM" "$@"
    "#;
    let cable = "ip link add e0 type veth peer name e1";
    let can = Command::new("unshare").args(["-Urn", "sh", "-c", cable]).output();
    if !can.is_ok_and(|it| it.status.success()) {
        // There is no right to make network namespaces, or no program for it.
        return;
    }
    let workspace = workspace();
    let args = endpoint(&workspace, "http://10.77.0.2:8000", &[]);
    let llem = workspace.command(&[]);
    let output = Command::new("unshare")
        .args(["-Urn", "sh", "-c", TWO_MACHINES, "sh"])
        .args(args)
        .envs(llem.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("LLEM", llem.get_program())
        .current_dir(workspace.path())
        .output()
        .expect("it was tried");
    let answer = Answer::of(&output);
    assert_eq!(answer.code, Some(0), "{}\n{}", answer.stderr, answer.stdout);
    has_no_energy(&workspace.records());
}
