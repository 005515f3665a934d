//! A page on the parameters of each engine, as its plugin has them.

use serde_json::Value;

use super::{Program, cell, code};

/// Ids of the plugins that are part of the program.
pub(super) fn engines(program: &Program) -> anyhow::Result<Vec<String>> {
    let list = program.json(&["plugin", "list", "--json"])?;
    let ids = list.as_array().into_iter().flatten().filter_map(|it| it["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Parameters by section, and the rules across them.
pub(super) fn page(id: &str, schema: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let all = of(schema, "parameters");
    line(format!(
        "# Parameters of {id}\n\nFrom `llem params {id} --all`: release {}, {} parameters. `llem params {id} PATH` shows one with its \
         rules and its source. Those in **bold** change energy as a rule.",
        said(&schema["release"]),
        all.len()
    ));
    for section in of(schema, "sections") {
        let name = said(&section["id"]);
        line(format!("\n## `{name}`\n\n{}\n", cell(&said(&section["doc"]))));
        line("| parameter | takes | meaning |\n|---|---|---|".to_owned());
        for it in all.iter().filter(|it| section_of(it) == name) {
            line(row(it));
        }
    }
    let rules = of(schema, "rules");
    if !rules.is_empty() {
        line(
            "\n## Rules\n\n| rule | kind | holds when | what it says |\n|---|---|---|---|"
                .to_owned(),
        );
    }
    for it in rules {
        line(format!(
            "| `{}` | {} | {} | {} |",
            said(&it["id"]),
            said(&it["severity"]),
            code(&said(&it["when"])),
            cell(&said(&it["message"]))
        ));
    }
    text
}

fn row(it: &Value) -> String {
    let path = code(&said(&it["path"]));
    let path = if it["energy_relevant"] == true { format!("**{path}**") } else { path };
    let mut kinds: Vec<String> = of(it, "types").iter().map(kind).collect();
    kinds.extend((it["nullable"] == true).then(|| "null".to_owned()));
    let native = it["native"].as_str().map(|it| format!(", as {}", code(it))).unwrap_or_default();
    let about = said(&it["doc"]);
    let first = about.split("\n\n").next().unwrap_or_default();
    format!(
        "| {path} | {}<br>{} | {}<br>At {}{native}. |",
        kinds.join(" or "),
        default(&it["default"]),
        cell(first),
        said(&it["phase"]),
    )
}

/// Values of a list; nothing where there is none.
fn of<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// A text as it is, another value as JSON, nothing for null.
fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn section_of(parameter: &Value) -> String {
    said(&parameter["path"]).split('.').next().unwrap_or_default().to_owned()
}

/// A type in words.
fn kind(of: &Value) -> String {
    let Some((name, details)) = of.as_object().and_then(|it| it.iter().next()) else {
        return said(of);
    };
    match name.as_str() {
        "choice" => {
            let values =
                details.as_array().into_iter().flatten().map(|it| code(&it["value"].to_string()));
            values.collect::<Vec<_>>().join(", ")
        }
        "items" => format!("list of {}", kind(&details["item"])),
        "text" => details["format"].as_str().unwrap_or("text").to_owned(),
        _ => {
            let bound = |key: &str, word: &str| {
                Some(&details[key]).filter(|it| !it.is_null()).map(|it| format!(" {word} {it}"))
            };
            let bounds = [bound("min", "from"), bound("max", "to")].into_iter().flatten();
            format!("{name}{}", bounds.collect::<String>())
        }
    }
}

fn default(of: &Value) -> String {
    match of.as_object().and_then(|it| it.iter().next()) {
        Some((name, value)) if name == "fixed" => format!("default {}", code(&value.to_string())),
        Some((_, how)) => format!("default: {}", cell(&said(how))),
        None => said(of),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_a_row_a_parameter_and_a_rule() {
        let schema = json!({
            "release": "1.2",
            "sections": [{"id": "engine", "title": "Engine", "doc": "Settings."}],
            "parameters": [{
                "path": "engine.threads", "types": [{"integer": {"min": 1, "max": 8}}, {"choice": [{"value": "all", "doc": ""}]}],
                "nullable": true, "default": {"fixed": 4}, "doc": "Threads.\n\nMore.", "phase": "load", "native": "--threads",
                "energy_relevant": true
            }],
            "rules": [{"id": "a.b", "severity": "error", "when": "x == 1 || y", "message": "no"}],
        });
        let page = page("a", &schema);
        let row = "| **`engine.threads`** | integer from 1 to 8 or `\"all\"` or null<br>default `4` | Threads.<br>At load, as `--threads`. |\n";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| `a.b` | error | `x == 1 \\|\\| y` | no |\n"), "{page}");
    }
}
