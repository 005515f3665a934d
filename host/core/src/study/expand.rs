//! From a study to its experiments: points, rules, canonical form, merging.
//!
//! Deterministic from study, schemas and facts. Calls a plugin's own rules only through the function
//! that the caller gives.

mod apply;
mod drafts;
mod facts;
mod levels;
mod points;
mod ruleset;
mod space;
mod view;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use facts::Facts;
pub use ruleset::broken_rules;

use self::drafts::Drafts;
use super::{
    Experiment, Problem, Settings, Study,
    problem::{Fault, listed, nearest},
    sweep::Method,
};
use crate::backend::{Canonical, Config, Schema, Severity};

/// A plugin's own rules: gets the plugin's id and a batch of configurations, gives one answer for each.
pub type Canonicalise<'a> = dyn FnMut(&str, Vec<Config>) -> Result<Vec<Canonical>, String> + 'a;

/// For plugins whose schema says that they have no code rules.
pub fn no_code_rules(_: &str, configs: Vec<Config>) -> Result<Vec<Canonical>, String> {
    Ok(configs.into_iter().map(|config| Canonical { config, findings: Vec::new() }).collect())
}

/// The most configurations of one study.
const MOST: u64 = 1_000_000;

/// What a study comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expansion {
    /// What will run, without doubles, in the order of the study.
    pub experiments: Vec<Experiment>,
    /// What will not.
    pub skipped: Vec<Skipped>,
    /// Which experiments stand for more than themselves.
    pub merged: Vec<Merged>,
    /// Rules that applied without refusing a configuration.
    pub notes: Vec<Note>,
    /// Rules that could not be decided.
    pub undecided: Vec<Undecided>,
    /// What was varied, by plugin; [`Experiment::levels`] index into it.
    pub factors: Vec<Factor>,
    /// Configurations before rules and merging.
    pub declared: usize,
    /// Whether the points were sampled instead of being a product.
    #[serde(default)]
    pub sampled: bool,
}

/// A configuration that will not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// The plugin.
    #[serde(with = "shared_text")]
    pub plugin: Arc<str>,
    /// What makes it differ.
    pub label: String,
    /// The rule that refuses it; `exclude` for the study's own.
    #[serde(with = "shared_text")]
    pub rule: Arc<str>,
    /// Why.
    #[serde(with = "shared_text")]
    pub message: Arc<str>,
    /// Its settings as declared.
    pub settings: Settings,
}

/// An experiment that stands for others whose canonical form is equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Index of the experiment.
    pub experiment: usize,
    /// Labels of the others.
    pub others: Vec<String>,
}

/// A rule that applied without refusing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The plugin.
    #[serde(with = "shared_text")]
    pub plugin: Arc<str>,
    /// Rule id.
    pub rule: String,
    /// Warning, coerce or dormant.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// Configurations that it applied to.
    pub configurations: usize,
}

/// A rule that could not be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// The plugin.
    #[serde(with = "shared_text")]
    pub plugin: Arc<str>,
    /// Rule id.
    pub rule: String,
    /// For people.
    pub message: String,
    /// Names whose values nobody knows, or what is wrong with the rule.
    pub unknown: Vec<String>,
    /// Configurations for which it could not be decided.
    pub configurations: usize,
}

/// Something that was varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// The plugin.
    #[serde(with = "shared_text")]
    pub plugin: Arc<str>,
    /// Path of an axis, name of a zip or of variants.
    pub name: String,
    /// Its levels, for people.
    pub levels: Vec<String>,
    /// Its levels as numbers, where all of them are.
    pub numbers: Option<Vec<f64>>,
}

/// Shared texts on the wire.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Arc<str>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Into::into)
    }
}

/// Expands a study for the plugins whose schemas are given.
///
/// `canonicalise` is called for plugins whose schema [has code rules](Schema::has_code_rules), with at most 100
/// configurations at a time.
///
/// ```
/// use std::collections::BTreeMap;
/// use llem_core::{backend::{Schema, UnknownPolicy}, study};
/// let schema = Schema {
///     release: "1".into(), sections: vec![], parameters: vec![], rules: vec![],
///     has_code_rules: false, unknown: UnknownPolicy::Reject, extra: vec![],
/// };
/// let text = "model.id = \"gpt2\"\n[plugin.toy]\n[sweep]\n\"traffic.concurrency\" = { log2 = [1, 8] }";
/// let study = study::parse(text, "s.toml").unwrap();
/// let schemas = BTreeMap::from([("toy".to_owned(), schema)]);
/// let plan = study::expand(&study, &schemas, &study::Facts::default(), &mut study::no_code_rules).unwrap();
/// assert_eq!(plan.experiments.iter().map(|it| it.label.as_str()).collect::<Vec<_>>(),
///     ["concurrency=1", "concurrency=2", "concurrency=4", "concurrency=8"]);
/// ```
pub fn expand(
    study: &Study,
    plugins: &BTreeMap<String, Schema>,
    facts: &Facts,
    canonicalise: &mut Canonicalise<'_>,
) -> Result<Expansion, Vec<Problem>> {
    let mut problems = Vec::new();
    let sampled = study.vary.sample.is_some_and(|it| it.method != Method::OneAtATime);
    let mut expansion = Expansion { sampled, ..Expansion::default() };
    if study.plugins.is_empty() {
        let fault = Fault::new("the study names no plugin")
            .help("add `[plugin.NAME]`, or give one with `--plugin`");
        problems.push(study.source.problem(&(0..0), fault));
    }
    for plugin in &study.plugins {
        let Some(schema) = plugins.get(&plugin.id) else {
            let ids = || plugins.keys().map(String::as_str);
            let fault = Fault::new(format!(
                "no plugin `{}` is installed; there are {}",
                plugin.id,
                listed(ids())
            ))
            .nearest(nearest(&plugin.id, ids()));
            problems.push(study.source.problem(&plugin.span, fault));
            continue;
        };
        let before = problems.len();
        let mut space = space::Space::new(study, plugin, schema, &mut problems);
        let plan = points::Points::new(study, &mut space, &mut problems);
        if problems.len() > before {
            continue;
        }
        let mut drafts = Drafts::new(study, &plugin.id);
        apply::run(study, &mut space, &plan, facts, canonicalise, &mut drafts, &mut problems);
        drafts.finish(&space, &plan, &mut expansion);
    }
    if problems.is_empty() {
        Ok(expansion)
    } else {
        problems.sort_by_key(|problem| problem.span.start);
        problems.dedup();
        Err(problems)
    }
}
