//! Which experiments have enough repeats, decided anew only where a record is added.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    record::{Record, figure, figure_of},
    repeat::{Decision, decide},
    study::MeasureSettings,
};

/// The repeats of all experiments so far.
pub(super) struct Progress<'a> {
    measure: &'a MeasureSettings,
    /// Trials done and values of the primary figure, by experiment.
    done: BTreeMap<String, (u32, Vec<f64>)>,
    enough: BTreeSet<String>,
}

impl<'a> Progress<'a> {
    /// No record yet.
    pub(super) fn new(measure: &'a MeasureSettings) -> Self {
        Self { measure, done: BTreeMap::new(), enough: BTreeSet::new() }
    }

    /// Counts one more record.
    pub(super) fn add(&mut self, record: &Record) {
        let experiment = &record.trial.experiment;
        let (done, values) = self.done.entry(experiment.clone()).or_default();
        *done += 1;
        let primary = figure_of(&self.measure.primary);
        values.extend(record.measured().zip(primary).and_then(|(it, name)| figure(it, name)));
        if decide(&self.measure.repeats, values, *done) == Decision::Continue {
            self.enough.remove(experiment);
        } else {
            self.enough.insert(experiment.clone());
        }
    }

    /// Whether an experiment needs no further trial.
    pub(super) fn has_enough(&self, experiment: &str) -> bool {
        self.enough.contains(experiment)
    }
}
