//! Sweeps of `LLenergyMeasure` 0.7: axes, idioms, groups.

use serde_json::Value as Json;

use super::{
    Import, Lines, Object,
    engine::{Engine, Settings},
};
use crate::study::write::{quoted, toml_text};

/// Where a key of the study itself went.
pub(super) fn study_path(path: &str) -> Option<&'static str> {
    Some(match path {
        "task.model" => "model.id",
        "task.max_input_tokens" => "workload.input_tokens",
        "task.max_output_tokens" => "workload.output_tokens",
        "task.dataset.n_prompts" => "workload.requests",
        "task.dataset.source" => "workload.dataset",
        "server.traffic.rate" => "traffic.rate",
        "server.traffic.burstiness" => "traffic.burstiness",
        "server.traffic.arrival" => "traffic.arrival",
        _ => return None,
    })
}

impl Import {
    pub(super) fn sweep(&mut self, sweep: Object) {
        let mut axes = Lines::default();
        let mut variants = Vec::new();
        for (path, value) in sweep {
            match &value {
                Json::Array(items) if items.iter().any(Json::is_object) => {
                    variants.push((path, items.clone()));
                }
                Json::Array(items) => self.axis(&path, items, &mut axes),
                _ => match idiom(&value) {
                    Some(range) => match self.target(&path) {
                        Some(target) => axes.0.push(format!("{} = {range}", quoted(&target))),
                        None => self.note(format!("the axis `{path}` has no equal")),
                    },
                    None => {
                        self.note(format!("the axis `{path}` is no list and no range: {value}"));
                    }
                },
            }
        }
        self.section("[sweep]", &axes);
        for (name, options) in variants {
            self.group(&name, &options);
        }
    }

    /// A path of a sweep as the new format writes it, where one setting became one setting.
    fn target(&self, path: &str) -> Option<String> {
        if let Some(path) = study_path(path) {
            return Some(path.to_owned());
        }
        let (head, rest) = path.split_once('.')?;
        let engine = Engine::named(head)?;
        let mut settings = Settings::default();
        engine.setting(rest, &Json::from(1), self.server, &mut settings).ok()?;
        match &settings.0[..] {
            [(path, _)] => Some(format!("{}.{path}", engine.plugin)),
            _ => None,
        }
    }

    fn axis(&mut self, path: &str, values: &[Json], axes: &mut Lines) {
        let simple = self.target(path).filter(|_| !path.ends_with(".torch_compile"));
        if let Some(target) = simple {
            axes.set(&quoted(&target), &Json::Array(values.to_vec()));
            return;
        }
        // One old setting that became several new ones: an alternative for each value.
        let options: Vec<Json> =
            values.iter().map(|value| serde_json::json!({ path: value })).collect();
        self.group(path, &options);
    }

    /// A group: the union of its variants, each of them the product of its lists.
    fn group(&mut self, name: &str, options: &[Json]) {
        let short = name.rsplit('.').next().unwrap_or(name);
        let mut written: Vec<String> = Vec::new();
        for option in options {
            for point in grid(option.as_object().cloned().unwrap_or_default()) {
                let mut entries: Vec<String> = Vec::new();
                for (path, value) in point {
                    for entry in self.assignments(&path, &value) {
                        // Two old settings may both need the same new one.
                        if !entries.contains(&entry) {
                            entries.push(entry);
                        }
                    }
                }
                // What the old engine refused, whatever the new one does.
                if let Some(refused) = refused(&entries) {
                    self.note(format!(
                        "a variant of `{name}` is left out, as 0.7 left it out: {refused}"
                    ));
                    continue;
                }
                written.push(if entries.is_empty() {
                    "  {},".to_owned()
                } else {
                    format!("  {{ {} }},", entries.join(", "))
                });
            }
        }
        let header = format!(
            "[[sweep.variants]]\nname = {}\noptions = [\n{}\n]",
            quoted(short),
            written.join("\n")
        );
        self.sections.push(header);
    }

    fn assignments(&mut self, path: &str, value: &Json) -> Vec<String> {
        let entry = |path: &str, value: &Json| {
            format!("{} = {}", quoted(path), toml_text(&value.clone().into()))
        };
        if let Some(path) = study_path(path) {
            return vec![entry(path, value)];
        }
        let engine =
            path.split_once('.').and_then(|(head, rest)| Some((Engine::named(head)?, rest)));
        let Some((engine, rest)) = engine else {
            self.note(format!("`{path}` has no equal"));
            return Vec::new();
        };
        let mut settings = Settings::default();
        self.setting(engine, rest, value, &mut settings);
        settings
            .0
            .iter()
            .map(|(path, value)| entry(&format!("{}.{path}", engine.plugin), value))
            .collect()
    }
}

/// `{min, max, num}`, `{log: {…}}` or `{pow2: {…}}` as the new format writes it.
fn idiom(value: &Json) -> Option<String> {
    let object = value.as_object()?;
    let bounds = |object: &Json| Some((object.get("min")?.clone(), object.get("max")?.clone()));
    let points = |object: &Json| object.get("num").cloned();
    if let Some(inner) = object.get("log") {
        let (min, max) = bounds(inner)?;
        return Some(format!("{{ log = [{min}, {max}], points = {} }}", points(inner)?));
    }
    if let Some(inner) = object.get("pow2") {
        let (min, max) = bounds(inner)?;
        return Some(format!("{{ log2 = [{min}, {max}] }}"));
    }
    let (min, max) = bounds(value)?;
    Some(format!("{{ linear = [{min}, {max}], points = {} }}", points(value)?))
}

/// Every combination of the lists in a variant; a list in a list is a value.
fn grid(option: Object) -> Vec<Vec<(String, Json)>> {
    let mut points: Vec<Vec<(String, Json)>> = vec![Vec::new()];
    for (path, value) in option {
        let values = match value {
            Json::Array(items) => items,
            single => vec![single],
        };
        points = points
            .into_iter()
            .flat_map(|point| {
                let path = path.clone();
                values.clone().into_iter().map(move |value| {
                    let mut extended = point.clone();
                    extended.push((path.clone(), value));
                    extended
                })
            })
            .collect();
    }
    points
}

/// The one refusal of 0.7 between two settings that a variant sets together and that plugins see otherwise.
fn refused(entries: &[String]) -> Option<String> {
    let number = |name: &str| {
        let entry =
            entries.iter().find(|entry| entry.starts_with(&format!("\"vllm.engine.{name}\"")))?;
        entry.rsplit(" = ").next()?.parse::<i64>().ok()
    };
    let (tokens, length) = (number("max_num_batched_tokens")?, number("max_model_len")?);
    (tokens < length)
        .then(|| format!("max_num_batched_tokens of {tokens} is below max_model_len of {length}"))
}
