//! `llem plugin`: testing backends.

use llem_sdk::SchemaTable;

use crate::{small_study, workspace};

/// What a build script makes of the parameters of an example.
const MADE: &str = include_str!("../fixtures/schema-file.rs.in");
static TABLE: SchemaTable = include!("../fixtures/schema-file.rs.in");

#[test]
fn a_file_of_parameters_becomes_a_table_that_compiles() {
    let file = include_str!("../../examples/llamacpp-plugin/parameters.toml");
    let made = llem_sdk::build::of_toml(file).expect("the file is good");
    assert!(made == MADE, "tests/fixtures/schema-file.rs.in is stale; it should be:\n{made}");
    let schema = TABLE.to_schema();
    assert_eq!((schema.parameters.len(), schema.rules.len()), (9, 1));
    let top_k = TABLE.parameter("sampling.top_k").expect("it is in the file");
    assert_eq!(top_k.native.name(), Some("top_k"));
}

#[test]
fn a_component_is_held_to_the_contract_by_rule() {
    let workspace = workspace();
    let good = workspace.llem(&["plugin", "test", "candle"]);
    assert_eq!(good.code, Some(0), "{}", good.stdout);
    assert!(good.stdout.starts_with("candle keeps the contract\n"), "{}", good.stdout);

    let mut bytes = include_bytes!("../../host/conformance/tests/flawed.wasm").to_vec();
    let mark = bytes.windows(9).position(|it| it == b"FLAW:none").expect("there is a mark");
    bytes[mark + 5..mark + 9].copy_from_slice(b"lost");
    std::fs::write(workspace.path().join("lost.wasm"), bytes).expect("writable");
    let bad = workspace.llem(&["plugin", "test", "./lost.wasm"]);
    assert_eq!(bad.code, Some(1), "{}", bad.stdout);
    assert!(bad.stdout.contains("\nparameter.lost  "), "{}", bad.stdout);
    assert!(bad.stdout.contains("engine.size"), "{}", bad.stdout);
    let json = workspace.llem(&["plugin", "test", "./lost.wasm", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(json["flaws"][0]["rule"], "parameter.lost");

    let missing = workspace.llem(&["plugin", "test", "./nowhere.wasm"]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
}

#[test]
fn a_new_project_is_complete_and_never_written_over() {
    let workspace = workspace();
    for (name, lang, file) in [
        ("a", "rust", "vendor/sdk/src/server.rs"),
        ("b", "python", "app.py"),
        ("c", "js", "app.js"),
    ] {
        let answer = workspace.llem(&["plugin", "new", name, "--lang", lang]);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        for file in [file, "README.md", "study.toml", "wit/world.wit"] {
            let text = std::fs::read_to_string(workspace.path().join(name).join(file));
            let text = text.unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
            assert!(!text.contains("@ID@") && !text.contains("@SDK@"), "{name}/{file}");
        }
    }
    assert_eq!(workspace.llem(&["plugin", "new", "a"]).code, Some(2));
    assert_eq!(workspace.llem(&["plugin", "new", "../x"]).code, Some(2));
}

#[test]
fn a_run_says_where_no_engine_was_found() {
    let workspace = workspace();
    // An interpreter that has no engine that could be asked for its version.
    let study = workspace.stand_in(env!("CARGO_BIN_EXE_stand-in"), &small_study(""));
    for (study, is_told) in
        [(study.clone(), true), (study.replace("venv =", "release = \"5.17.0\"\nvenv ="), false)]
    {
        workspace.write("study.toml", &study);
        let answer = workspace.llem(&["run", "study.toml"]);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        let told = answer.stderr.contains("plugin `pytorch` found no installed engine");
        assert_eq!(told, is_told, "{}", answer.stderr);
    }
}
