//! What a study shows beyond each experiment alone: comparisons within repeats, sensitivity of sampled designs, drift.

use std::collections::BTreeMap;

use llem_core::{
    stats::{
        drift::{self, Drift, Placed},
        holm, paired,
        sobol::{self, Index},
    },
    study::{Expansion, Factor},
};
use serde::{Deserialize, Serialize};

use super::Trial;

/// An experiment beside the reference, within the repeats that have both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Id of the reference: the first experiment of the plan that has figures.
    pub reference: String,
    /// Id of the experiment.
    pub experiment: String,
    /// The primary figure relative to the reference.
    pub ratio: f64,
    /// Lower end of the ratio's interval.
    pub low: f64,
    /// Upper end of the ratio's interval.
    pub high: f64,
    /// Probability of such a ratio if there were no difference, adjusted for the number of experiments (Holm).
    pub p_value: f64,
    /// Repeats that have both.
    pub repeats: usize,
}

/// How much of the primary figure's variance a parameter of a sampled design causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Backend.
    pub plugin: String,
    /// Path of the axis, or name of the zip or variants.
    pub setting: String,
    /// Alone, and together with others.
    #[serde(flatten)]
    pub index: Index,
    /// Share of the variance that the fit predicts of points it has not seen; the indices mean little where it is
    /// small.
    pub predicted: f64,
}

/// Compares every experiment with the first: repeats are blocks, so that what drifts between them cancels.
pub(super) fn contrasts(
    plan: &Expansion,
    trials: &[Trial<'_>],
    figure: &str,
    coverage: f64,
) -> Vec<Contrast> {
    let mut values: Vec<BTreeMap<u32, f64>> = vec![BTreeMap::new(); plan.experiments.len()];
    for trial in trials {
        if let Some(value) = trial.figure(figure) {
            values[trial.index].insert(trial.record.trial.repeat, value);
        }
    }
    let Some(first) = values.iter().position(|it| !it.is_empty()) else { return Vec::new() };
    let mut found = Vec::new();
    for (at, own) in values.iter().enumerate().skip(first + 1) {
        let pairs = own.iter().filter_map(|(repeat, it)| Some((*values[first].get(repeat)?, *it)));
        let Some(it) = paired(&pairs.collect::<Vec<_>>(), coverage) else { continue };
        found.push(Contrast {
            reference: plan.experiments[first].id.to_string(),
            experiment: plan.experiments[at].id.to_string(),
            ratio: it.ratio.point,
            low: it.ratio.interval.low,
            high: it.ratio.interval.high,
            p_value: it.p_value,
            repeats: it.blocks,
        });
    }
    let adjusted = holm(&found.iter().map(|it| it.p_value).collect::<Vec<_>>());
    for (it, adjusted) in found.iter_mut().zip(adjusted) {
        it.p_value = adjusted;
    }
    found
}

/// Indices of each parameter of a sampled design; none for a product of axes, whose effects say more.
pub(super) fn sensitivity(
    plan: &Expansion,
    trials: &[Trial<'_>],
    figure: &str,
    coverage: f64,
) -> Vec<Sensitivity> {
    if !plan.sampled {
        return Vec::new();
    }
    let mut plugins: Vec<&str> = plan.factors.iter().map(|it| &*it.plugin).collect();
    plugins.dedup();
    let of = |plugin| of_plugin(plan, trials, figure, coverage, plugin);
    plugins.into_iter().filter_map(of).flatten().collect()
}

fn of_plugin(
    plan: &Expansion,
    trials: &[Trial<'_>],
    figure: &str,
    coverage: f64,
    plugin: &str,
) -> Option<Vec<Sensitivity>> {
    let factors: Vec<&Factor> = plan.factors.iter().filter(|it| &*it.plugin == plugin).collect();
    let mut logs: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for trial in trials.iter().filter(|it| &*it.experiment.plugin == plugin) {
        logs.entry(trial.index).or_default().extend(trial.figure(figure).map(f64::ln));
    }
    let mut points: Vec<Vec<f64>> = Vec::new();
    let mut values = Vec::new();
    for (at, logs) in logs.iter().filter(|(_, logs)| !logs.is_empty()) {
        let Some(levels) = plan.experiments[*at].levels.as_deref() else { continue };
        let place = |(factor, level): (&&Factor, &u32)| {
            let numbers = factor.numbers.as_deref();
            let number = usize::try_from(*level).ok().and_then(|at| numbers?.get(at).copied());
            number.unwrap_or(f64::from(*level))
        };
        points.push(factors.iter().zip(levels).map(place).collect());
        let count = u32::try_from(logs.len()).map_or(f64::INFINITY, f64::from);
        values.push((logs.iter().sum::<f64>() / count).exp());
    }
    let columns: Vec<Vec<f64>> = (0..factors.len())
        .map(|factor| sobol::ranked(&points.iter().map(|it| it[factor]).collect::<Vec<_>>()))
        .collect();
    let ranked: Vec<Vec<f64>> =
        (0..points.len()).map(|at| columns.iter().map(|it| it[at]).collect()).collect();
    let indices = sobol::indices(&ranked, &values, coverage)?;
    let one = |(factor, index): (&Factor, Index)| Sensitivity {
        plugin: plugin.to_owned(),
        setting: factor.name.clone(),
        index,
        predicted: indices.predicted,
    };
    Some(factors.into_iter().zip(indices.parameters.iter().copied()).map(one).collect())
}

/// Whether the primary figure drifted over the study, whatever ran.
pub(super) fn drift(trials: &[Trial<'_>], figure: &str, coverage: f64) -> Option<Drift> {
    let placed = trials.iter().filter_map(|trial| {
        let position = usize::try_from(trial.record.position).ok()?;
        Some(Placed { experiment: trial.index, position, value: trial.figure(figure)? })
    });
    drift::of_study(&placed.collect::<Vec<_>>(), coverage)
}
