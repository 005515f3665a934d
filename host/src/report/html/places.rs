//! When and where trials ran, and what that did to the primary figure.

use std::collections::BTreeMap;

use llem_core::stats::drift::{self, Placed};
use serde::Serialize;

use super::data::rounded;
use crate::results::{Summary, Trial};

#[derive(Debug, Serialize)]
pub(super) struct Places<'a> {
    /// Each trial with the primary figure.
    trials: Vec<Place>,
    /// What the drift over the run comes to.
    drift: String,
    /// Hardware that trials ran on; empty where they all ran on the same.
    boards: Vec<Board<'a>>,
    /// What the boards did.
    boards_said: String,
}

/// Experiment, repeat, position, value relative to the experiment's mean, board.
type Place = (usize, u32, u32, f64, Option<usize>);

#[derive(Debug, Serialize)]
struct Board<'a> {
    name: String,
    node: &'a str,
    model: Option<&'a str>,
}

/// Places the trials.
pub(super) fn of<'a>(trials: &'a [Trial<'a>], summary: &Summary) -> Places<'a> {
    let mut boards: BTreeMap<String, Board<'a>> = BTreeMap::new();
    if summary.boards.is_some() {
        for site in trials.iter().filter_map(|it| it.record.site.as_ref()) {
            boards.entry(site.hardware()).or_insert_with(|| Board {
                name: site.hardware(),
                node: &site.node,
                model: site.model.as_deref(),
            });
        }
    }
    let index: BTreeMap<&str, usize> =
        boards.keys().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let values: Vec<(Placed, &Trial<'_>)> = trials
        .iter()
        .filter_map(|trial| {
            let position = usize::try_from(trial.record.position).ok()?;
            let value = trial.figure(&summary.primary)?;
            Some((Placed { experiment: trial.index, position, value }, trial))
        })
        .collect();
    let place = |(it, trial): &(Placed, &Trial<'_>)| {
        let figure = summary.experiments[it.experiment].figures.get(&summary.primary)?;
        let relative = it.value / figure.statistics.estimate.as_ref()?.point;
        let board = trial.record.site.as_ref().and_then(|it| index.get(it.hardware().as_str()));
        let (repeat, position) = (trial.record.trial.repeat, trial.record.position);
        relative
            .is_finite()
            .then(|| (it.experiment, repeat, position, rounded(relative), board.copied()))
    };
    let trials = values.iter().filter_map(place).collect();
    let plain: Vec<Placed> = values.iter().map(|(it, _)| *it).collect();
    let boards_said = summary.boards.as_ref().map(|it| it.statements.join("; "));
    Places {
        trials,
        drift: drifted(&plain, summary.coverage),
        boards: boards.into_values().collect(),
        boards_said: boards_said.unwrap_or_default(),
    }
}

fn drifted(placed: &[Placed], coverage: f64) -> String {
    let Some(it) = drift::of_study(placed, coverage) else {
        return "The drift needs experiments with several trials.".to_owned();
    };
    let range = it.change.interval;
    let verdict =
        if it.p_value < 0.01 { "the figures drifted over the run" } else { "no drift is evident" };
    format!(
        "From the first to the last trial the primary figure changed by a factor of {:.4} [{:.4}, {:.4}], whatever ran \
         (p = {:.2}): {verdict}.",
        it.change.point, range.low, range.high, it.p_value
    )
}
