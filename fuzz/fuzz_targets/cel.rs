//! Rules as a hostile plugin may write them: expanding a study with one neither panics nor hangs.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use llem_core::{
    backend::{Canonical, Schema},
    study::{Facts, expand, parse},
};
use serde_json::json;

const STUDY: &str = r#"
name = "fuzz"
[model]
id = "m"
[workload]
requests = 1
input_tokens = 1
output_tokens = 1
[plugin.p]
engine.a = 1
[sweep]
"p.engine.b" = ["x", "y"]
"#;

fuzz_target!(|input: &[u8]| {
    let Ok(when) = std::str::from_utf8(input) else { return };
    // As the host's own check of replies does.
    if when.len() > 4096 {
        return;
    }
    let study = parse(STUDY, "study.toml").expect("it is sound");
    let parameter = |path: &str, types: serde_json::Value| {
        json!({
            "path": path, "types": [types], "nullable": true, "default": { "engine": "none" }, "doc": "", "unit": null,
            "phase": "load", "modes": ["server", "offline"], "native": null, "energy_relevant": true, "suggested": [],
            "since": null, "until": null, "deprecated": null, "source": null, "extra": [],
        })
    };
    let schema = json!({
        "release": "1", "sections": [{ "id": "engine", "title": "", "doc": "" }],
        "parameters": [
            parameter("engine.a", json!({ "integer": { "min": null, "max": null, "multiple_of": null, "scale": "linear" } })),
            parameter("engine.b", json!({ "text": { "pattern": null, "max_len": null, "format": null } })),
        ],
        "rules": [{ "id": "r", "severity": "error", "when": when, "message": "m", "paths": [], "effects": [], "since": null,
            "until": null, "source": null, "extra": [] }],
        "has_code_rules": false, "unknown": "reject", "extra": [],
    });
    let schema: Schema = serde_json::from_value(schema).expect("it is a schema");
    let schemas = BTreeMap::from([("p".to_owned(), schema)]);
    let mut same = |_: &str, configs: Vec<llem_core::backend::Config>| {
        Ok(configs.into_iter().map(|config| Canonical { config, findings: Vec::new() }).collect())
    };
    let _ = expand(&study, &schemas, &Facts::default(), &mut same);
});
