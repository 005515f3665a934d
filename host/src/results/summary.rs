//! From records to what a table shows: each experiment's figures with their intervals, and how much
//! each swept setting changed the primary one.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    backend::Mode,
    record::{Figure, Outcome, Record, figure_of, primary_scope, window_figures},
    repeat::coverage,
    stats::{Sample, Summary as Statistics, confidence, drift::Drift},
    study::Experiment,
};
use serde::{Deserialize, Serialize};

use super::{
    ResultSet, Trial,
    boards::{self, Boards},
    effects::{self, Effect},
    inference::{self, Contrast, Sensitivity},
};

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the study.
    pub study: String,
    /// The figure that experiments are compared by.
    pub primary: String,
    /// Coverage of the intervals.
    pub coverage: f64,
    /// One entry an experiment, in the order of the plan.
    pub experiments: Vec<ExperimentSummary>,
    /// How much each swept setting changed the primary figure.
    pub effects: Vec<Effect>,
    /// Each experiment beside the first one within the same repeats, by the primary figure.
    #[serde(default)]
    pub contrasts: Vec<Contrast>,
    /// How much of the primary figure's variance each parameter of a sampled design causes.
    #[serde(default)]
    pub sensitivity: Vec<Sensitivity>,
    /// How the primary figure drifted over the study; null where no experiment ran twice.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// The boards that the trials ran on; null where they all ran on the same.
    #[serde(default)]
    pub boards: Option<Boards>,
    /// Instruments that the energies are from, for people.
    pub instruments: Vec<String>,
    /// Configurations that can't run.
    pub skipped: usize,
    /// Configurations that are the same as another one.
    pub merged: usize,
    /// Warnings of the trials, each once, with how many trials had it.
    pub warnings: Vec<(String, u32)>,
}

/// The results of one experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExperimentSummary {
    /// Its id.
    pub id: String,
    /// Its swept settings.
    pub label: String,
    /// Its backend.
    pub plugin: String,
    /// How the engine was driven.
    pub mode: Mode,
    /// Trials with figures.
    pub completed: u32,
    /// Trials without, by why.
    pub failures: Vec<String>,
    /// Statistics of each figure over the trials.
    pub figures: BTreeMap<String, FigureSummary>,
}

/// Statistics of one figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FigureSummary {
    /// Over the trials.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Whether any trial's value rests on a model's estimate.
    pub estimated: bool,
    /// Whether all instruments' verdicts let it be ranked.
    pub ranked: bool,
}

/// Summarises a run from its trials. All figures of a trial are needed until those of its experiment are summarised, and
/// large studies have many: later only the primary one is.
pub(super) fn of<'a>(results: &ResultSet, trials: impl Iterator<Item = Trial<'a>>) -> Summary {
    let plan = results.plan();
    let measure = plan.experiments.first().map(|it| &it.measure);
    let primary =
        measure.and_then(|it| figure_of(&it.primary)).unwrap_or("energy_per_output_token_joules");
    let coverage = coverage_of(results);
    let mut experiments: Vec<ExperimentSummary> = plan.experiments.iter().map(untried).collect();
    let mut all: Vec<Trial<'_>> = Vec::new();
    let mut own: Vec<Trial<'_>> = Vec::new();
    let mut trials = trials.peekable();
    while let Some(trial) = trials.next() {
        let index = trial.index;
        own.push(trial);
        if trials.peek().is_none_or(|it| it.index != index) {
            add(&mut experiments[index], &own, coverage);
            all.extend(own.drain(..).map(|mut it| {
                it.figures.retain(|figure| figure.name == primary);
                it.figures.shrink_to_fit();
                it
            }));
        }
    }
    let trials = all.as_slice();
    Summary {
        study: results.study().to_owned(),
        primary: primary.to_owned(),
        coverage,
        effects: effects::of(plan, trials, primary, coverage),
        contrasts: inference::contrasts(plan, trials, primary, coverage),
        sensitivity: inference::sensitivity(plan, trials, primary, coverage),
        drift: inference::drift(trials, primary, coverage),
        boards: boards::of(&trials.iter().collect::<Vec<_>>(), primary, coverage),
        experiments,
        instruments: instruments(results.records()),
        skipped: plan.skipped.len(),
        merged: plan.merged.iter().map(|it| it.others.len()).sum(),
        warnings: warnings(results.records()),
    }
}

fn untried(experiment: &Experiment) -> ExperimentSummary {
    ExperimentSummary {
        id: experiment.id.to_string(),
        label: experiment.label.clone(),
        plugin: experiment.plugin.to_string(),
        mode: experiment.mode,
        completed: 0,
        failures: Vec::new(),
        figures: BTreeMap::new(),
    }
}

/// Adds the trials of an experiment.
fn add(summary: &mut ExperimentSummary, trials: &[Trial<'_>], coverage: f64) {
    let completed = trials.iter().filter(|it| it.record.is_completed()).count();
    summary.completed = u32::try_from(completed).unwrap_or(u32::MAX);
    summary.failures = trials.iter().filter_map(|it| failure(it.record)).collect();
    summary.figures = figure_summaries(trials, coverage);
}

/// Coverage of the intervals of a run.
pub(super) fn coverage_of(results: &ResultSet) -> f64 {
    results.experiments().first().map_or(0.95, |it| coverage(&it.measure.repeats))
}

fn figure_summaries(trials: &[Trial<'_>], coverage: f64) -> BTreeMap<String, FigureSummary> {
    let mut values: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
    for figure in trials.iter().flat_map(|it| &it.figures) {
        values.entry(&figure.name).or_default().push(figure);
    }
    let windows = windows(trials);
    let summary = |name: &str, figures: Vec<&Figure>| {
        let sample = Sample::new(figures.iter().map(|it| it.value).collect()).ok()?;
        let mut statistics = sample.summary(coverage);
        if let Some(groups) = nested(&windows, name).filter(|it| it.len() == figures.len()) {
            statistics.estimate = confidence::of_groups(&groups, coverage);
        }
        Some(FigureSummary {
            statistics,
            estimated: figures.iter().any(|it| it.estimated),
            ranked: figures.iter().all(|it| it.ranked),
        })
    };
    values
        .into_iter()
        .filter_map(|(name, it)| Some((name.to_owned(), summary(name, it)?)))
        .collect()
}

/// Figures by trial and window, where trials have several windows.
fn windows(trials: &[Trial<'_>]) -> Vec<Vec<Vec<Figure>>> {
    let measured = trials.iter().filter_map(|it| it.record.measured());
    measured.filter(|it| it.windows.len() > 1).map(window_figures).collect()
}

/// A figure's windows as groups, one a trial; none where any window lacks it.
fn nested(windows: &[Vec<Vec<Figure>>], name: &str) -> Option<Vec<Sample>> {
    let of = |figures: &Vec<Figure>| figures.iter().find(|it| it.name == name).map(|it| it.value);
    let group = |trial: &Vec<Vec<Figure>>| {
        let values: Option<Vec<f64>> = trial.iter().map(of).collect();
        Sample::new(values?).ok()
    };
    windows.iter().map(group).collect::<Option<Vec<_>>>().filter(|it| it.len() > 1)
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
