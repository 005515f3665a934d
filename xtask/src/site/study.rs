//! The page on the keys of a study, from the schema that editors use.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{cell, code, record::kind};

/// Every key with its type, default and meaning; parameters of engines have pages of their own.
pub(super) fn page(schema: &Value) -> String {
    let mut text = "# Keys of a study\n\nFrom `llem schema`, which editors complete with. \
        [The study file](../study-format.md) explains them together.\n\n\
        | key | takes | default | meaning |\n|---|---|---|---|\n"
        .to_owned();
    let properties = schema["properties"].as_object();
    for (name, key) in properties.into_iter().flatten().filter(|(name, _)| *name != "sweep") {
        rows(name, key, &mut text);
    }
    text += "\n## `sweep`\n\nEvery path of `model`, `workload` and `traffic` and every parameter of a plugin, as `PLUGIN.PATH`, \
        may be an axis. Besides:\n\n| key | takes | default | meaning |\n|---|---|---|---|\n";
    for name in ["zip", "variants", "sample"] {
        rows(
            &format!("sweep.{name}"),
            &schema["properties"]["sweep"]["properties"][name],
            &mut text,
        );
    }
    text += "\n## `plugin.NAME`\n\nKeys that every plugin's table takes; [its parameters](parameters-candle.md) stand beside them.\n\n\
        | key | takes | default | meaning |\n|---|---|---|---|\n";
    for (name, key) in common(&schema["properties"]["plugin"]["properties"]) {
        rows(&name, &key, &mut text);
    }
    text
}

/// A key, and the keys of the table that it is.
fn rows(path: &str, key: &Value, text: &mut String) {
    if let Some(below) = key["properties"].as_object().filter(|_| path != "plugin") {
        for (name, key) in below {
            rows(&format!("{path}.{name}"), key, text);
        }
        return;
    }
    let default = key.get("default").map(|it| code(&it.to_string())).unwrap_or_default();
    let about = cell(key["description"].as_str().unwrap_or_default());
    let kind = if path == "plugin" { "a table a plugin".to_owned() } else { kind(key) };
    writeln!(text, "| `{path}` | {kind} | {default} | {about} |")
        .expect("a string takes everything");
}

/// Keys that are the same in the tables of all plugins.
fn common(plugins: &Value) -> Map<String, Value> {
    let mut tables = plugins.as_object().into_iter().flat_map(Map::values);
    let mut common =
        tables.next().and_then(|it| it["properties"].as_object()).cloned().unwrap_or_default();
    for table in tables {
        common.retain(|name, key| table["properties"].get(name) == Some(key));
    }
    common
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_have_their_whole_path_and_plugins_what_they_share() {
        let table = |own: &str| json!({"properties": {"venv": {"type": "string"}, own: {"type": "integer"}}});
        let schema = json!({"properties": {
            "model": {"properties": {"id": {"type": "string", "description": "Which."}}},
            "plugin": {"properties": {"a": table("x"), "b": table("y")}},
            "sweep": {"properties": {}},
        }});
        let page = page(&schema);
        assert!(page.contains("| `model.id` | text |  | Which. |\n"), "{page}");
        assert!(page.contains("| `venv` | text |") && !page.contains("`x`"), "{page}");
    }
}
