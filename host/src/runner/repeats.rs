//! Whether an experiment has enough repeats.

use std::collections::BTreeMap;

use llem_core::{
    record::{Record, TrialId, figure_of, figures},
    repeat::{Decision, decide},
    study::MeasureSettings,
};

/// Whether an experiment needs no further trial.
pub(super) fn has_enough(
    measure: &MeasureSettings,
    experiment: &str,
    records: &BTreeMap<TrialId, Record>,
) -> bool {
    let of_experiment = || records.values().filter(|it| it.trial.experiment == experiment);
    let primary = figure_of(&measure.primary);
    let values: Vec<f64> = of_experiment()
        .filter_map(Record::measured)
        .filter_map(|it| {
            figures(it).into_iter().find(|figure| Some(figure.name.as_str()) == primary)
        })
        .map(|it| it.value)
        .collect();
    let done = u32::try_from(of_experiment().count()).unwrap_or(u32::MAX);
    decide(&measure.repeats, &values, done) != Decision::Continue
}
