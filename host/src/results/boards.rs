//! What the nodes and boards that a study ran on did to its primary figure.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::stats::{
    Interval,
    boards::{BoardEffect, Placed, board_effect},
};
use serde::{Deserialize, Serialize};

use super::Trial;

/// Below this, boards are said to differ.
const SIGNIFICANT: f64 = 0.05;

/// The hardware of a study that ran on more than one board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boards {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many boards, or sets of boards that trials ran on.
    pub boards: usize,
    /// Models of the boards.
    pub models: Vec<String>,
    /// The board as a random effect; null where it can't be told from experiments or noise.
    pub effect: Option<BoardEffect>,
    /// The mean of each experiment's primary figure, by id, with an interval that holds for other boards of the kind.
    pub intervals: BTreeMap<String, Interval>,
    /// What a reader must know, one sentence each.
    pub statements: Vec<String>,
}

impl Boards {
    /// Whether figures may not be read as if one board had given them all.
    pub fn need_care(&self) -> bool {
        self.models.len() > 1
            || self.effect.as_ref().is_none_or(|it| it.p_value < SIGNIFICANT || it.groups > 1)
    }
}

/// Describes the hardware of some trials; none where they all ran on the same.
pub(super) fn of(trials: &[&Trial<'_>], figure: &str, coverage: f64) -> Option<Boards> {
    let sites = || trials.iter().filter_map(|it| it.record.site.as_ref());
    let names: BTreeSet<String> = sites().map(llem_core::record::Site::hardware).collect();
    if names.len() < 2 {
        return None;
    }
    let models: BTreeSet<String> = sites().filter_map(|it| it.model.clone()).collect();
    let places: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(at, it)| (it.as_str(), at)).collect();
    let placed: Vec<Placed> = trials
        .iter()
        .filter_map(|it| {
            let board = *places.get(it.record.site.as_ref()?.hardware().as_str())?;
            Some(Placed { experiment: it.index, board, value: it.figure(figure)? })
        })
        .collect();
    let effect = board_effect(&placed);
    let mut boards = Boards {
        nodes: sites().map(|it| it.node.as_str()).collect::<BTreeSet<_>>().len(),
        boards: names.len(),
        models: models.into_iter().collect(),
        intervals: effect
            .as_ref()
            .map_or_else(BTreeMap::new, |it| intervals(it, &placed, trials, coverage)),
        effect,
        statements: Vec::new(),
    };
    boards.statements = statements(&boards, figure);
    Some(boards)
}

fn intervals(
    effect: &BoardEffect,
    placed: &[Placed],
    trials: &[&Trial<'_>],
    coverage: f64,
) -> BTreeMap<String, Interval> {
    let mut own: BTreeMap<usize, (Vec<f64>, BTreeMap<usize, usize>)> = BTreeMap::new();
    for it in placed {
        let (values, counts) = own.entry(it.experiment).or_default();
        values.push(it.value);
        *counts.entry(it.board).or_default() += 1;
    }
    let ids: BTreeMap<usize, String> =
        trials.iter().map(|it| (it.index, it.experiment.id.to_string())).collect();
    own.into_iter()
        .filter_map(|(index, (values, counts))| {
            let counts: Vec<usize> = counts.into_values().collect();
            let estimate = effect.mean(&values, &counts, coverage)?;
            Some((ids.get(&index)?.clone(), estimate.interval))
        })
        .collect()
}

fn statements(boards: &Boards, figure: &str) -> Vec<String> {
    let mut said =
        vec![format!("the trials ran on {} boards of {} nodes", boards.boards, boards.nodes)];
    if boards.models.len() > 1 {
        said.push(format!(
            "the boards are of different models ({}): differences between experiments may be differences between models",
            boards.models.join(", ")
        ));
    }
    let Some(effect) = &boards.effect else {
        said.push(
            "experiments and boards can't be told apart: no experiment ran on two boards, or too few trials did"
                .to_owned(),
        );
        return said;
    };
    let (deviation, residual) = (100.0 * effect.deviation, 100.0 * effect.residual);
    said.push(if effect.p_value < SIGNIFICANT {
        format!(
            "boards differ in {figure} by {deviation:.1} % (standard deviation, p = {:.2e}) beside {residual:.1} % from trial to trial: an experiment's own mean holds for other boards only within the interval that the summary gives for them",
            effect.p_value
        )
    } else {
        format!(
            "no difference between boards is found in {figure} (p = {:.2}; {residual:.1} % from trial to trial)",
            effect.p_value
        )
    });
    if effect.groups > 1 {
        said.push(format!(
            "the experiments fall into {} groups that share no board: across them, comparisons are of boards as well",
            effect.groups
        ));
    }
    said
}
