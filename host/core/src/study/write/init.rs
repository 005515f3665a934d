//! The study that a user starts from: commented, and planning without error as it is.

use super::{key_text, quoted, toml_text};
use crate::{
    backend::{DefaultValue, ParamType, Parameter, Schema, Value},
    study::{check::describe, keys::KEYS},
};

/// What a new study is to be about.
#[derive(Clone, Copy, Debug)]
pub struct Init<'a> {
    /// Name of the study.
    pub name: &'a str,
    /// Plugin id and schema; without one the study is completed with `--plugin`.
    pub plugin: Option<(&'a str, &'a Schema)>,
    /// Model id.
    pub model: &'a str,
}

/// The most parameters that a new study shows.
const SHOWN: usize = 40;

/// A commented study that plans without error for the plugin, if one is given.
pub fn init(what: &Init<'_>) -> String {
    let mut lines = vec![
        format!("# Plan it with `llem plan {0}.toml`, run it with `llem run {0}.toml`.", what.name),
        "# A line that begins with `# key =` shows a default or an example; remove the `#` to change it.".to_owned(),
        format!("name = {}", quoted(what.name)),
    ];
    for table in ["", "model", "workload", "traffic", "gpu", "slo", "search", "measure", "limits"] {
        if !table.is_empty() {
            // A `[traffic]` table would make it a study of a server.
            let comment = if table == "traffic" {
                "# Server mode; without this table the engine's own batches are measured.\n# "
            } else {
                ""
            };
            lines.push(format!("\n{comment}[{table}]"));
        }
        for key in KEYS {
            let (head, name) = key.path.split_once('.').unwrap_or(("", key.path));
            if head != table || name == "name" {
                continue;
            }
            if key.path == "model.id" {
                lines.push(format!("id = {:<40} # {}", quoted(what.model), key.doc));
                continue;
            }
            let value = key.default.map_or_else(|| example(key.path).to_owned(), ToOwned::to_owned);
            lines.push(format!("# {:<40} # {}", format!("{name} = {value}"), key.doc));
        }
    }
    if let Some((id, schema)) = what.plugin {
        plugin(id, schema, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A value to show for a key without a default.
fn example(path: &str) -> &'static str {
    match path {
        "workload.dataset" | "workload.trace" => "\"requests.jsonl\"",
        "traffic.concurrency" => "16",
        "traffic.rate" | "traffic.rate_end" => "4.0",
        "traffic.over" => "\"60s\"",
        "gpu.power_limit" => "300",
        "gpu.sm_clock" => "1410",
        "slo.time_to_first_token" => "\"500ms\"",
        "slo.time_per_output_token" | "slo.inter_token_latency" => "\"50ms\"",
        "slo.request_latency" => "\"10s\"",
        "search.highest" => "256",
        "limits.trial" => "\"30min\"",
        "limits.study" => "\"12h\"",
        "limits.energy_joules" => "1e6",
        _ => "\"\"",
    }
}

fn plugin(id: &str, schema: &Schema, lines: &mut Vec<String>) {
    lines.push(format!("\n[plugin.{}]\n# release = \"auto\"\n# runner = \"auto\"", key_text(id)));
    for parameter in schema.parameters.iter().filter(|it| it.default == DefaultValue::Required) {
        lines.push(format!(
            "{} = {}  # required: {}",
            parameter.path,
            toml_text(&some_value(parameter)),
            describe_all(parameter)
        ));
    }
    let mut shown: Vec<&Parameter> = schema
        .parameters
        .iter()
        .filter(|it| it.energy_relevant && it.default != DefaultValue::Required)
        .collect();
    shown.sort_by_key(|it| it.suggested.is_empty());
    for parameter in shown.iter().take(SHOWN) {
        let value = match &parameter.default {
            DefaultValue::Fixed(value) => toml_text(value),
            DefaultValue::Engine(_) | DefaultValue::Required => toml_text(&some_value(parameter)),
        };
        let doc = parameter.doc.split('\n').next().unwrap_or_default();
        let doc: String =
            if doc.is_empty() { describe_all(parameter) } else { doc.chars().take(110).collect() };
        lines.push(format!("# {:<40} # {doc}", format!("{} = {value}", parameter.path)));
    }
    lines.push("\n# What varies: every combination runs.\n[sweep]".to_owned());
    // A parameter that matters and has values to try; it must not be one that only one mode knows.
    let candidate = shown.iter().find(|it| it.modes.is_empty() && it.suggested.len() > 1);
    if let Some(parameter) = candidate {
        let values: Vec<String> = parameter.suggested.iter().take(4).map(toml_text).collect();
        lines.push(format!(
            "{} = [{}]",
            quoted(&format!("{id}.{}", parameter.path)),
            values.join(", ")
        ));
    }
    lines.push("# \"workload.output_tokens\" = [32, 128, 512]".to_owned());
    lines.push("# \"traffic.concurrency\" = { log2 = [1, 64] }".to_owned());
}

fn describe_all(parameter: &Parameter) -> String {
    parameter.types.iter().map(describe).collect::<Vec<_>>().join(" or ")
}

/// Any value that a parameter takes.
fn some_value(parameter: &Parameter) -> Value {
    if let Some(value) = parameter.suggested.first() {
        return value.clone();
    }
    match parameter.types.first() {
        Some(ParamType::Boolean) => Value::Boolean(true),
        Some(ParamType::Integer { min, max, .. }) => Value::Integer(min.or(*max).unwrap_or(1)),
        Some(ParamType::Number { min, max, exclusive_min, .. }) => match (min, max) {
            (Some(min), Some(max)) if *exclusive_min => Value::Number(f64::midpoint(*min, *max)),
            (Some(min), _) if *exclusive_min => Value::Number(min + 1.0),
            (Some(min), _) => Value::Number(*min),
            (None, max) => Value::Number(max.unwrap_or(1.0)),
        },
        Some(ParamType::Choice(choices)) => {
            choices.first().map_or(Value::Null, |choice| choice.value.clone())
        }
        Some(ParamType::Items { .. }) => Value::Json(serde_json::json!([])),
        Some(ParamType::Object) => Value::Json(serde_json::json!({})),
        Some(ParamType::Text { .. }) | None => Value::Text("text".to_owned()),
    }
}
