//! Reads a study file into a [`Study`], collecting every problem.
//!
//! Knows no schemas of plugins: their parameters are checked when the study is expanded.

use std::{collections::BTreeMap, ops::Range};

use super::{
    PluginUse, Study,
    keys::{self, SWEEPABLE},
    node::{self, Data, Entry, Node},
    problem::{Fault, Problem, Source, listed, nearest},
    settings::{self, Values},
    sweep::{Assignment, Target},
};
use crate::backend::{Runner, Value};

mod vary;

const TABLES: [&str; 15] = [
    "name",
    "seed",
    "model",
    "workload",
    "traffic",
    "gpu",
    "slo",
    "search",
    "measure",
    "limits",
    "plugin",
    "sweep",
    "exclude",
    "experiment",
    "executor",
];

/// Reads a study; `file` is the name that problems and a study without a name show.
///
/// ```
/// let study = llem_core::study::parse("[model]\nid = \"gpt2\"\n[plugin.candle]\n", "demo.toml").unwrap();
/// assert_eq!(study.name(), "demo");
/// let problems = llem_core::study::parse("modle.id = \"gpt2\"", "demo.toml").unwrap_err();
/// assert_eq!((problems[0].line, problems[0].nearest.as_deref()), (1, Some("model")));
/// ```
pub fn parse(text: &str, file: &str) -> Result<Study, Vec<Problem>> {
    let source = Source { file: file.to_owned(), text: text.to_owned() };
    let mut problems = Vec::new();
    let Some(entries) = node::read(&source, &mut problems) else { return Err(problems) };
    let mut parser = Parser {
        source: &source,
        problems,
        values: BTreeMap::new(),
        spans: BTreeMap::new(),
        plugins: Vec::new(),
    };
    let study = parser.study(&entries);
    let mut problems = parser.problems;
    match study {
        Some(study) if problems.is_empty() => Ok(Study { source, ..study }),
        _ => {
            problems.sort_by_key(|problem| problem.span.start);
            Err(problems)
        }
    }
}

struct Parser<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    values: BTreeMap<String, Value>,
    spans: BTreeMap<String, Range<usize>>,
    plugins: Vec<PluginUse>,
}

impl Parser<'_> {
    fn fault(&mut self, span: &Range<usize>, fault: Fault) {
        self.problems.push(self.source.problem(span, fault));
    }

    fn study(&mut self, entries: &[Entry]) -> Option<Study> {
        let find = |name: &str| entries.iter().find(|entry| entry.key == name);
        for entry in entries {
            match entry.key.as_str() {
                "name" | "seed" => self.key(&entry.key, &entry.key_span, &entry.node),
                "model" | "workload" | "traffic" | "gpu" | "slo" | "search" | "measure"
                | "limits" | "executor" => self.table(entry),
                "plugin" | "sweep" | "exclude" | "experiment" => {}
                other => {
                    let fault = Fault::new(format!(
                        "unknown key `{other}`, allowed here: {}",
                        listed(TABLES)
                    ))
                    .nearest(nearest(other, TABLES));
                    self.fault(&entry.key_span, fault);
                }
            }
        }
        if let Some(entry) = find("plugin") {
            self.plugin_tables(entry);
        }
        let named = !self.plugins.is_empty();
        let vary = self.vary(find("sweep"), find("exclude"), find("experiment"), named);
        // What was read with faults would only bring more of them.
        let conflicts = if self.problems.is_empty() {
            self.conflicts(find("traffic").is_some(), &vary)
        } else {
            true
        };
        if conflicts {
            return None;
        }
        let values = Values(&self.values);
        let (seed, slo, measure, limits) = (
            settings::seed(&values),
            settings::slo(&values),
            settings::measure(&values),
            settings::limits(&values),
        );
        let searches = self.values.keys().any(|path| path.starts_with("search."));
        let lacks = searches && (measure.search.is_none() || slo.is_none());
        if let Some(entry) = find("search").filter(|_| lacks) {
            let fault = Fault::new("a search needs `search.highest` and an objective in `[slo]`");
            self.fault(&entry.key_span, fault);
            return None;
        }
        Some(Study {
            name: self.name(),
            seed,
            slo,
            measure,
            limits,
            source: Source::default(),
            traffic_table: find("traffic").is_some(),
            values: std::mem::take(&mut self.values),
            spans: std::mem::take(&mut self.spans),
            named: self.plugins.iter().map(|plugin| plugin.id.clone()).collect(),
            plugins: std::mem::take(&mut self.plugins),
            vary,
        })
    }

    fn name(&self) -> String {
        if let Some(Value::Text(name)) = self.values.get("name") {
            return name.clone();
        }
        let stem = self.source.file.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = stem.strip_suffix(".toml").unwrap_or(stem);
        let plain: String = stem
            .chars()
            .map(
                |c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' },
            )
            .collect();
        let plain = plain.trim_matches(['-', '.']);
        if plain.is_empty() { "study".to_owned() } else { plain.chars().take(100).collect() }
    }

    /// Faults of the fixed settings together, where no sweep can still change them.
    fn conflicts(&mut self, traffic_table: bool, vary: &super::Vary) -> bool {
        let swept = |table: &str| vary.study_paths().any(|path| path.starts_with(table));
        let values = Values(&self.values);
        let mut found = Vec::new();
        if !swept("model.") {
            found.extend(settings::model(&values).err());
        }
        if !swept("workload.") {
            found.extend(settings::workload(&values).err());
        }
        if !swept("traffic.") && !swept("workload.") {
            found.extend(settings::traffic(&values, traffic_table).err());
        }
        let any = !found.is_empty();
        for (path, fault) in found {
            let table = path.split_once('.').map_or(path, |(table, _)| table);
            let span =
                self.spans.get(path).or_else(|| self.spans.get(table)).cloned().unwrap_or(0..0);
            self.fault(&span, fault);
        }
        any
    }

    /// A table of study keys.
    fn table(&mut self, entry: &Entry) {
        if entry.node.entries().is_none() {
            let fault =
                Fault::new(format!("`{}` is a table, found {}", entry.key, entry.node.kind()));
            return self.fault(&entry.node.span, fault);
        }
        self.spans.insert(entry.key.clone(), entry.key_span.clone());
        let Data::Table { entries, .. } = &entry.node.data else { return };
        let mut found = Vec::new();
        node::flatten(entries, &mut |path, span, node| {
            found.push((format!("{}.{path}", entry.key), span, node));
        });
        for (path, span, node) in found {
            self.key(&path, span, node);
        }
    }

    fn key(&mut self, path: &str, key_span: &Range<usize>, node: &Node) {
        match checked(path, key_span, node) {
            Ok((_, value)) => {
                self.values.insert(path.to_owned(), value);
                self.spans.insert(path.to_owned(), node.span.clone());
            }
            Err((span, fault)) => self.fault(&span, fault),
        }
    }

    fn plugin_tables(&mut self, entry: &Entry) {
        let Some(plugins) = entry.node.entries() else {
            let fault = Fault::new(format!("`plugin` is a table, found {}", entry.node.kind()))
                .help("`[plugin.vllm]`");
            return self.fault(&entry.node.span, fault);
        };
        for plugin in plugins {
            if let Some(entries) = plugin.node.entries() {
                let read = self.plugin(plugin, entries);
                self.plugins.push(read);
            } else {
                let (key, kind) = (&plugin.key, plugin.node.kind());
                let fault = Fault::new(format!("`plugin.{key}` is a table, found {kind}"));
                self.fault(&plugin.node.span, fault);
            }
        }
    }

    fn plugin(&mut self, plugin: &Entry, entries: &[Entry]) -> PluginUse {
        let mut read = PluginUse::named(&plugin.key, plugin.key_span.clone());
        let mut settings = Vec::new();
        for entry in entries {
            match (entry.key.as_str(), &entry.node.data) {
                ("release", Data::Scalar(Value::Text(text))) => read.release = given(text),
                ("image", Data::Scalar(Value::Text(text))) => read.image = given(text),
                ("runner", Data::Scalar(Value::Text(text))) => match text.as_str() {
                    "auto" => {}
                    "process" => read.runner = Some(Runner::Process),
                    "container" => read.runner = Some(Runner::Container),
                    other => {
                        let known = ["auto", "process", "container"];
                        let fault = Fault::new(format!(
                            "`runner`: expected one of {}, found \"{other}\"",
                            listed(known)
                        ))
                        .nearest(nearest(other, known));
                        self.fault(&entry.node.span, fault);
                    }
                },
                ("venv", _) => {
                    read.venv = self.texts(entry, "a directory or a list of directories");
                }
                ("secrets", _) => read.secrets = self.texts(entry, "a list of names of secrets"),
                ("pass_env", _) => {
                    read.pass_env = self.texts(entry, "a list of names of environment variables");
                }
                ("release" | "image" | "runner", _) => {
                    let fault = Fault::new(format!(
                        "`{}`: expected text, found {}",
                        entry.key,
                        entry.node.kind()
                    ));
                    self.fault(&entry.node.span, fault);
                }
                _ => settings.push(entry),
            }
        }
        for entry in settings {
            let entries = std::slice::from_ref(entry);
            let mut found = Vec::new();
            node::flatten(entries, &mut |path, span, node| found.push((path, span, node)));
            for (path, key_span, node) in found {
                if !path.contains('.') && !matches!(node.data, Data::Table { .. }) {
                    let reserved = ["release", "runner", "image", "venv", "secrets", "pass_env"];
                    let fault = Fault::new(format!(
                        "unknown key `{path}`, allowed here: {} and parameters by their path, such as `engine.{path}`",
                        listed(reserved)
                    ))
                    .nearest(nearest(&path, reserved));
                    self.fault(key_span, fault);
                    continue;
                }
                read.settings.push(Assignment {
                    target: Target::Plugin { plugin: plugin.key.clone(), path },
                    key_span: key_span.clone(),
                    value: node.value(),
                    span: node.span.clone(),
                });
            }
        }
        read
    }

    /// One text or a list of them.
    fn texts(&mut self, entry: &Entry, allowed: &str) -> Vec<String> {
        let nodes = match &entry.node.data {
            Data::Array(items) => items.as_slice(),
            Data::Scalar(_) | Data::Table { .. } => std::slice::from_ref(&entry.node),
        };
        let mut texts = Vec::new();
        for node in nodes {
            match &node.data {
                Data::Scalar(Value::Text(text)) if !text.is_empty() => texts.push(text.clone()),
                _ => {
                    let fault = Fault::new(format!(
                        "`{}`: expected {allowed}, found {}",
                        entry.key,
                        node.kind()
                    ));
                    self.fault(&node.span, fault);
                }
            }
        }
        texts
    }

    /// What a path of a sweep means.
    fn target(&mut self, path: &str, key_span: &Range<usize>, named: bool) -> Option<Target> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        if SWEEPABLE.contains(&head) {
            let key = keys::find(path);
            if key.is_none() {
                self.fault(key_span, keys::unknown(path));
            }
            return key.map(|key| Target::Study(key.path));
        }
        if rest.is_empty() || !rest.contains('.') || TABLES.contains(&head) {
            let fault = Fault::new(format!(
                "`{path}` can't be swept: expected `model.*`, `workload.*`, `traffic.*`, `gpu.*` or `PLUGIN.section.name`"
            ));
            self.fault(key_span, fault);
            return None;
        }
        if !self.plugins.iter().any(|plugin| plugin.id == head) {
            let ids: Vec<String> = self.plugins.iter().map(|plugin| plugin.id.clone()).collect();
            let known = || ids.iter().map(String::as_str).chain(SWEEPABLE);
            let near = nearest(head, known());
            if named || near.is_some() {
                let mut fault = Fault::new(format!(
                    "the study has no plugin `{head}`; it has {}",
                    listed(known())
                ));
                if near.is_none() {
                    fault = fault.help(format!("add `[plugin.{head}]` to use that plugin"));
                }
                self.fault(key_span, fault.nearest(near));
                return None;
            }
            self.plugins.push(PluginUse::named(head, key_span.clone()));
        }
        Some(Target::Plugin { plugin: head.to_owned(), path: rest.to_owned() })
    }
}

/// Text other than `auto`.
fn given(text: &str) -> Option<String> {
    (text != "auto" && !text.is_empty()).then(|| text.to_owned())
}

/// The key at a path and its checked value; on a fault also its place.
fn checked(
    path: &str,
    key_span: &Range<usize>,
    node: &Node,
) -> Result<(&'static str, Value), (Range<usize>, Fault)> {
    let key = keys::find(path).ok_or_else(|| (key_span.clone(), keys::unknown(path)))?;
    let value = key.kind.check(&node.value()).map_err(|mut fault| {
        fault.message = format!("`{path}`: {}", fault.message);
        (node.span.clone(), fault)
    })?;
    Ok((key.path, value))
}
