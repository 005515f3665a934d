//! From records to what a table shows: each experiment's figures with their intervals, and how much
//! each swept setting changed the primary one.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    backend::Mode,
    record::{Figure, Outcome, Record, figure_of, figures, primary_scope},
    repeat::coverage,
    stats::{Sample, Summary as Statistics},
    study::Expansion,
};
use serde::{Deserialize, Serialize};

use super::effects::{self, Effect};

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Name of the study.
    pub(crate) study: String,
    /// The figure that experiments are compared by.
    pub(crate) primary: String,
    /// Coverage of the intervals.
    pub(crate) coverage: f64,
    /// One entry an experiment, in the order of the plan.
    pub(crate) experiments: Vec<ExperimentSummary>,
    /// How much each swept setting changed the primary figure.
    pub(crate) effects: Vec<Effect>,
    /// Instruments that the energies are from, for people.
    pub(crate) instruments: Vec<String>,
    /// Configurations that can't run.
    pub(crate) skipped: usize,
    /// Configurations that are the same as another one.
    pub(crate) merged: usize,
    /// Warnings of the trials, each once, with how many trials had it.
    pub(crate) warnings: Vec<(String, u32)>,
}

/// The results of one experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExperimentSummary {
    /// Its id.
    pub(crate) id: String,
    /// Its swept settings.
    pub(crate) label: String,
    /// Its backend.
    pub(crate) plugin: String,
    /// How the engine was driven.
    pub(crate) mode: Mode,
    /// Trials with figures.
    pub(crate) completed: u32,
    /// Trials without, by why.
    pub(crate) failures: Vec<String>,
    /// Statistics of each figure over the trials.
    pub(crate) figures: BTreeMap<String, FigureSummary>,
}

/// Statistics of one figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FigureSummary {
    /// Over the trials.
    #[serde(flatten)]
    pub(crate) statistics: Statistics,
    /// Whether any trial's value rests on a model's estimate.
    pub(crate) estimated: bool,
    /// Whether all instruments' verdicts let it be ranked.
    pub(crate) ranked: bool,
}

/// Summarises the records of a run.
pub(crate) fn summarise(expansion: &Expansion, study: &str, records: &[Record]) -> Summary {
    let measure = expansion.experiments.first().map(|it| &it.measure);
    let primary =
        measure.and_then(|it| figure_of(&it.primary)).unwrap_or("energy_per_output_token_joules");
    let coverage = measure.map_or(0.95, |it| coverage(&it.repeats));
    let mut by_experiment: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_experiment.entry(&record.trial.experiment).or_default().push(record);
    }
    let experiments: Vec<ExperimentSummary> = expansion
        .experiments
        .iter()
        .map(|experiment| {
            let id = experiment.id.to_string();
            let records = by_experiment.remove(id.as_str()).unwrap_or_default();
            ExperimentSummary {
                label: experiment.label.clone(),
                plugin: experiment.plugin.to_string(),
                mode: experiment.mode,
                completed: u32::try_from(records.iter().filter(|it| it.is_completed()).count())
                    .unwrap_or(u32::MAX),
                failures: records.iter().filter_map(|it| failure(it)).collect(),
                figures: figure_summaries(&records, coverage),
                id,
            }
        })
        .collect();
    Summary {
        study: study.to_owned(),
        primary: primary.to_owned(),
        coverage,
        effects: effects::of(expansion, records, primary, coverage),
        experiments,
        instruments: instruments(records),
        skipped: expansion.skipped.len(),
        merged: expansion.merged.iter().map(|it| it.others.len()).sum(),
        warnings: warnings(records),
    }
}

fn figure_summaries(records: &[&Record], coverage: f64) -> BTreeMap<String, FigureSummary> {
    let mut values: BTreeMap<String, Vec<Figure>> = BTreeMap::new();
    for measured in records.iter().filter_map(|it| it.measured()) {
        for figure in figures(measured) {
            values.entry(figure.name.clone()).or_default().push(figure);
        }
    }
    let summary = |figures: Vec<Figure>| {
        let sample = Sample::new(figures.iter().map(|it| it.value).collect()).ok()?;
        Some(FigureSummary {
            statistics: sample.summary(coverage),
            estimated: figures.iter().any(|it| it.estimated),
            ranked: figures.iter().all(|it| it.ranked),
        })
    };
    values.into_iter().filter_map(|(name, it)| Some((name, summary(it)?))).collect()
}

fn failure(record: &Record) -> Option<String> {
    match &record.outcome {
        Outcome::Completed(_) => None,
        Outcome::Failed(it) => {
            Some(format!("{} during {}: {}", it.kind, it.phase.title(), it.message))
        }
    }
}

/// What the headline energies are from.
fn instruments(records: &[Record]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for measured in records.iter().filter_map(Record::measured) {
        let scope = primary_scope(measured);
        for reading in
            measured.windows.iter().flat_map(|it| &it.energy).filter(|it| Some(it.scope) == scope)
        {
            let estimate = if reading.estimated { ", a model's estimate" } else { "" };
            seen.insert(format!(
                "{} ({}{estimate})",
                reading.device,
                serialised(&reading.instrument)
            ));
        }
    }
    seen.into_iter().collect()
}

fn warnings(records: &[Record]) -> Vec<(String, u32)> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for record in records {
        let own: BTreeSet<&str> = record.warnings.iter().map(String::as_str).collect();
        for warning in own {
            *counts.entry(warning).or_default() += 1;
        }
    }
    counts.into_iter().map(|(text, count)| (text.to_owned(), count)).collect()
}

/// The name that a value has on the wire.
fn serialised(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => String::new(),
    }
}
