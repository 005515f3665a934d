//! The whole study as it will be read: what was written and what was defaulted.

use std::{collections::BTreeMap, fmt::Write};

use super::{key_text, quoted, toml_text};
use crate::{
    backend::{DefaultValue, Runner, Schema, Value},
    study::{
        PluginUse, Study,
        keys::{KEYS, Key},
        settings::{Source, Values, traffic, workload},
        sweep::{Assignment, Column, DimensionKind, Levels, Method, Spacing},
    },
};

/// The study with every default that holds, marked as such, as TOML that reads back as the same study.
///
/// Of plugins it shows the settings of the study and, as comments, the fixed defaults of parameters that are expected to
/// matter.
pub fn resolved(study: &Study, schemas: &BTreeMap<String, Schema>) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("name = {}", quoted(&study.name)));
    let tables = [
        "", "model", "workload", "traffic", "gpu", "slo", "search", "measure", "limits", "executor",
    ];
    for table in tables {
        let lines = table_lines(study, table);
        if table.is_empty() {
            lines.into_iter().for_each(&mut line);
        } else if !lines.is_empty() || (table == "traffic" && study.traffic_table) {
            line(format!("\n[{table}]"));
            lines.into_iter().for_each(&mut line);
        }
    }
    for plugin in &study.plugins {
        plugin_lines(plugin, schemas.get(&plugin.id)).into_iter().for_each(&mut line);
    }
    vary_lines(study).into_iter().for_each(&mut line);
    text
}

fn table_lines(study: &Study, table: &str) -> Vec<String> {
    let own = |key: &&Key| match key.path.split_once('.') {
        Some((head, _)) => head == table,
        None => table.is_empty() && key.path != "name",
    };
    KEYS.iter().filter(own).filter_map(|key| key_line(study, key)).collect()
}

fn key_line(study: &Study, key: &Key) -> Option<String> {
    let name = key.path.rsplit('.').next().unwrap_or(key.path);
    if let Some(value) = study.values.get(key.path) {
        return Some(format!("{name} = {}", toml_text(value)));
    }
    let default = key.default.filter(|_| holds(study, key.path))?;
    Some(format!("{name} = {default}  # default"))
}

/// Whether a default has a meaning in this study.
fn holds(study: &Study, path: &str) -> bool {
    let values = Values(&study.values);
    match path {
        "traffic.burstiness" => {
            study.values.get("traffic.arrival") == Some(&Value::Text("gamma".to_owned()))
        }
        path if path.starts_with("traffic.") => {
            traffic(&values, study.traffic_table).is_ok_and(|it| it.is_some())
        }
        // Recorded requests have their own lengths.
        "workload.input_tokens" | "workload.output_tokens" => {
            workload(&values).is_ok_and(|it| it.source == Source::Synthetic)
        }
        path if path.starts_with("slo.") => study.slo.is_some(),
        path if path.starts_with("search.") => study.measure.search.is_some(),
        path if path.starts_with("executor.") => {
            study.values.keys().any(|it| it.starts_with("executor."))
        }
        _ => true,
    }
}

fn plugin_lines(plugin: &PluginUse, schema: Option<&Schema>) -> Vec<String> {
    let mut lines = vec![format!("\n[plugin.{}]", key_text(&plugin.id))];
    let auto = |name: &str, value: Option<&str>| match value {
        Some(value) => format!("{name} = {}", quoted(value)),
        None => format!("{name} = \"auto\"  # default"),
    };
    lines.push(auto("release", plugin.release.as_deref()));
    lines.push(auto(
        "runner",
        plugin.runner.map(|runner| match runner {
            Runner::Process => "process",
            Runner::Container => "container",
        }),
    ));
    lines.extend(plugin.image.as_ref().map(|image| format!("image = {}", quoted(image))));
    for (name, texts) in
        [("venv", &plugin.venv), ("secrets", &plugin.secrets), ("pass_env", &plugin.pass_env)]
    {
        if !texts.is_empty() {
            let items: Vec<String> = texts.iter().map(|it| quoted(it)).collect();
            lines.push(format!("{name} = [{}]", items.join(", ")));
        }
    }
    let prefix = format!("{}.", plugin.id);
    for setting in &plugin.settings {
        let path = setting.target.path();
        lines.push(format!("{} = {}", path.trim_start_matches(&prefix), toml_text(&setting.value)));
    }
    let given =
        |path: &str| plugin.settings.iter().any(|it| it.target.path() == format!("{prefix}{path}"));
    let parameters = schema.map_or(&[][..], |schema| &schema.parameters);
    for parameter in parameters.iter().filter(|it| it.energy_relevant && !given(it.path.as_str())) {
        if let DefaultValue::Fixed(value) = &parameter.default
            && *value != Value::Null
        {
            lines.push(format!(
                "# {} = {}  # default of the engine",
                parameter.path,
                toml_text(value)
            ));
        }
    }
    lines
}

fn vary_lines(study: &Study) -> Vec<String> {
    let mut lines = Vec::new();
    let columns = |columns: &[Column]| -> Vec<String> {
        columns
            .iter()
            .map(|it| format!("{} = {}", quoted(&it.target.path()), levels(&it.levels)))
            .collect()
    };
    let assignments = |it: &[Assignment]| -> Vec<String> {
        it.iter()
            .map(|it| format!("{} = {}", quoted(&it.target.path()), toml_text(&it.value)))
            .collect()
    };
    if !study.vary.dimensions.is_empty() {
        lines.push("\n[sweep]".to_owned());
    }
    for dimension in &study.vary.dimensions {
        if let DimensionKind::Columns(single) = &dimension.kind
            && single.len() == 1
        {
            lines.extend(columns(single));
        }
    }
    for dimension in &study.vary.dimensions {
        match &dimension.kind {
            DimensionKind::Columns(several) if several.len() > 1 => {
                lines.push(format!("\n[[sweep.zip]]\nname = {}", quoted(&dimension.name)));
                lines.extend(columns(several));
            }
            DimensionKind::Columns(_) => {}
            DimensionKind::Variants(options) => {
                lines.push(format!(
                    "\n[[sweep.variants]]\nname = {}\noptions = [",
                    quoted(&dimension.name)
                ));
                for option in options {
                    let label =
                        option.label.iter().map(|label| format!("label = {}", quoted(label)));
                    let entries: Vec<String> =
                        label.chain(assignments(&option.assignments)).collect();
                    let mut line = "  {".to_owned();
                    if !entries.is_empty() {
                        write!(line, " {} ", entries.join(", "))
                            .expect("writing to a text can't fail");
                    }
                    lines.push(line + "},");
                }
                lines.push("]".to_owned());
            }
        }
    }
    if let Some(sample) = study.vary.sample {
        let name = Method::NAMES
            .iter()
            .find(|(_, method)| *method == sample.method)
            .map_or("", |(name, _)| name);
        lines.push(format!("\n[sweep.sample]\nmethod = {}", quoted(name)));
        if sample.method != Method::OneAtATime {
            lines.push(format!("points = {}", sample.points));
        }
    }
    for exclude in &study.vary.excludes {
        lines.push(format!("\n[[exclude]]\nwhen = {}", quoted(&exclude.when)));
        lines.extend(exclude.why.as_ref().map(|why| format!("why = {}", quoted(why))));
    }
    for explicit in &study.vary.explicit {
        lines.push("\n[[experiment]]".to_owned());
        lines.extend(explicit.plugin.as_ref().map(|plugin| format!("plugin = {}", quoted(plugin))));
        lines.extend(assignments(&explicit.assignments));
    }
    lines
}

fn levels(levels: &Levels) -> String {
    match levels {
        Levels::List(values) => {
            let values: Vec<String> = values.iter().map(|(value, _)| toml_text(value)).collect();
            format!("[{}]", values.join(", "))
        }
        Levels::All => "{ all = true }".to_owned(),
        Levels::Doubling { from, to } => format!("{{ log2 = [{from}, {to}] }}"),
        Levels::Spaced { spacing, from, to, points } => {
            let name = if *spacing == Spacing::Linear { "linear" } else { "log" };
            let points = points.map_or_else(String::new, |points| format!(", points = {points}"));
            format!("{{ {name} = [{from}, {to}]{points} }}")
        }
    }
}
