//! Two results side by side: experiments that are the same in both, and what differs around them.

use std::collections::BTreeMap;

use llem_core::{
    record::TrialId,
    stats::{Estimate, Sample, confidence, holm},
};
use serde::Serialize;
use serde_json::Value;

use super::{ResultSet, Trial, summary};

/// Two results compared.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The figures that were compared.
    pub figures: Vec<String>,
    /// Ratios of the experiments that both have, in the order of the first plan.
    pub ratios: Vec<Ratio>,
    /// Labels of experiments that only the first has.
    pub only_first: Vec<String>,
    /// Labels of experiments that only the second has.
    pub only_second: Vec<String>,
    /// What differs between the machines, instruments, plugins and engines.
    pub differences: Vec<Difference>,
}

/// A figure of the second results over that of the first.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// Id of the experiment.
    pub experiment: String,
    /// Its label.
    pub label: String,
    /// Name of the figure.
    pub figure: String,
    /// Mean in the first.
    pub first: f64,
    /// Mean in the second.
    pub second: f64,
    /// Second over first with its interval; null where either has fewer than two trials.
    pub ratio: Option<Estimate>,
    /// Probability of such a difference if there were none, adjusted for the number of experiments.
    pub p_value: Option<f64>,
    /// Whether either rests on a model's estimate.
    pub estimated: bool,
}

/// Something that differs between two results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In the first; null where it is absent.
    pub first: Option<String>,
    /// In the second.
    pub second: Option<String>,
}

/// Compares the experiments that two results share.
///
/// The two runs are independent, so the ratio is that of geometric means with Welch's interval (Welch, Biometrika 34
/// (1947) 28), and p values are adjusted by Holm's method over the experiments of a figure.
///
/// ```
/// use llem::results::{ResultSet, compare};
///
/// # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-batch");
/// let (one, other) = (ResultSet::open(directory)?, ResultSet::open(directory)?);
/// let comparison = compare(&one, &other, &["energy_per_output_token_joules"]);
/// assert!(comparison.differences.is_empty());
/// assert!(comparison.ratios.iter().all(|it| it.ratio.unwrap().interval.contains(1.0)));
/// # Ok::<(), llem::results::ResultsError>(())
/// ```
pub fn compare(first: &ResultSet, second: &ResultSet, figures: &[&str]) -> Comparison {
    let (left, right) = (grouped(first), grouped(second));
    let coverage = summary::coverage_of(first);
    let mut ratios = Vec::new();
    for figure in figures {
        let from = ratios.len();
        for experiment in first.experiments() {
            let id = experiment.id.to_string();
            let Some((left, right)) = left.get(&id).zip(right.get(&id)) else { continue };
            ratios.extend(ratio(&id, &experiment.label, figure, left, right, coverage));
        }
        adjust(&mut ratios[from..]);
    }
    let lacks = |of: &ResultSet, other: &ResultSet| -> Vec<String> {
        let has = |id| other.experiments().iter().any(|it| it.id == id);
        of.experiments().iter().filter(|it| !has(it.id)).map(|it| it.label.clone()).collect()
    };
    Comparison {
        figures: figures.iter().map(|it| (*it).to_owned()).collect(),
        ratios,
        only_first: lacks(first, second),
        only_second: lacks(second, first),
        differences: differences(first, second),
    }
}

fn grouped(results: &ResultSet) -> BTreeMap<String, Vec<Trial<'_>>> {
    let mut groups: BTreeMap<String, Vec<Trial<'_>>> = BTreeMap::new();
    for trial in results.trials() {
        let TrialId { experiment, .. } = &trial.record.trial;
        groups.entry(experiment.clone()).or_default().push(trial);
    }
    groups
}

fn ratio(
    id: &str,
    label: &str,
    figure: &str,
    first: &[Trial<'_>],
    second: &[Trial<'_>],
    coverage: f64,
) -> Option<Ratio> {
    let values =
        |of: &[Trial<'_>]| Sample::new(of.iter().filter_map(|it| it.figure(figure)).collect()).ok();
    let estimated = first.iter().chain(second).flat_map(|it| &it.figures);
    let estimated = estimated.filter(|it| it.name == figure).any(|it| it.estimated);
    let (one, other) = (values(first)?, values(second)?);
    let compared = confidence::ratio(&one, &other, coverage);
    Some(Ratio {
        experiment: id.to_owned(),
        label: label.to_owned(),
        figure: figure.to_owned(),
        first: one.mean(),
        second: other.mean(),
        ratio: compared.map(|it| it.ratio),
        p_value: compared.map(|it| it.p_value),
        estimated,
    })
}

/// Adjusts the p values of one figure for being many.
fn adjust(ratios: &mut [Ratio]) {
    let found: Vec<f64> = ratios.iter().filter_map(|it| it.p_value).collect();
    let mut adjusted = holm(&found).into_iter();
    for ratio in ratios.iter_mut().filter(|it| it.p_value.is_some()) {
        ratio.p_value = adjusted.next();
    }
}

/// Everything named that is not the same in both: machine, instruments, plugins, engines.
fn differences(first: &ResultSet, second: &ResultSet) -> Vec<Difference> {
    let (left, right) = (facts(first), facts(second));
    let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .map(|name| Difference {
            what: name.clone(),
            first: left.get(name).cloned(),
            second: right.get(name).cloned(),
        })
        .collect()
}

/// What is known of a run, flat.
fn facts(results: &ResultSet) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if let Some(environment) = results.environment() {
        flatten("", environment, &mut facts);
    }
    let header = results.header();
    facts.insert("llem".to_owned(), header.llem.clone());
    facts.insert("seed".to_owned(), header.seed.to_string());
    for (name, sha256) in &header.plugins {
        facts.insert(format!("plugin {name}"), sha256.clone());
    }
    for record in results.records() {
        let plugin = results.find(&record.trial.experiment);
        if let (Some(version), Some(experiment)) = (&record.engine.version, plugin.first()) {
            facts.insert(format!("engine of {}", experiment.plugin), version.clone());
        }
    }
    facts
}

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let join =
        |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix} {key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, it)| flatten(&join(key), it, into)),
        Value::Array(all) => {
            for (at, it) in all.iter().enumerate() {
                flatten(&join(&at.to_string()), it, into);
            }
        }
        Value::Null => (),
        Value::String(text) => drop(into.insert(prefix.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => {
            drop(into.insert(prefix.to_owned(), value.to_string()));
        }
    }
}
