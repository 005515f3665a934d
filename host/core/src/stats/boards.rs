//! How much the boards that trials ran on differ from each other, with the board as a random effect.
//!
//! The model is additive on logarithms: value = experiment + board + noise. Two boards of one model differ by a factor that
//! nobody chose, so that boards are a sample of all such boards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::confidence::{Estimate, exponential, from_error};
use crate::units::length;

/// One value, where and of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Which experiment.
    pub experiment: usize,
    /// Which board.
    pub board: usize,
    /// The value; above zero.
    pub value: f64,
}

/// What boards do to a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoardEffect {
    /// How many boards there are.
    pub boards: usize,
    /// Standard deviation over boards, of the logarithm: relative for small ones.
    pub deviation: f64,
    /// Standard deviation of trials on one board, of the logarithm.
    pub residual: f64,
    /// Probability of boards that seem to differ as much if none did (F test).
    pub p_value: f64,
    /// Groups of experiments between which no board makes a connection: 1 where all can be compared within boards.
    pub groups: usize,
    /// Degrees of freedom of the boards.
    pub board_freedom: usize,
    /// Degrees of freedom of the noise.
    pub freedom: usize,
}

/// The most passes over the values; designs that need more are nearly unconnected.
const PASSES: usize = 2_000;

/// Estimates the variance that boards add; none with one board, with values that are not above zero, or where nothing
/// tells boards from experiments or from noise.
///
/// Henderson's method 3: what boards explain beyond experiments, against its expectation (Henderson, Biometrics 9 (1953)
/// 226; Searle and others, Variance Components, 1992, ch. 5).
///
/// ```
/// use llem_core::stats::boards::{Placed, board_effect};
/// let values = [1.0, 2.0, 1.0, 2.0, 1.1, 2.21, 1.1, 2.19];
/// let placed: Vec<Placed> = values
///     .iter()
///     .enumerate()
///     .map(|(at, value)| Placed { experiment: at % 2, board: at / 4, value: *value })
///     .collect();
/// let effect = board_effect(&placed).unwrap();
/// assert!((effect.deviation - 0.067).abs() < 0.002 && effect.p_value < 0.001);
/// ```
pub fn board_effect(placed: &[Placed]) -> Option<BoardEffect> {
    if placed.iter().any(|it| !it.value.is_finite() || it.value <= 0.0) {
        return None;
    }
    let mut cells: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut per_experiment: BTreeMap<usize, f64> = BTreeMap::new();
    for it in placed {
        *cells.entry((it.experiment, it.board)).or_default() += 1.0;
        *per_experiment.entry(it.experiment).or_default() += 1.0;
    }
    let experiments = per_experiment.len();
    let boards = distinct(placed.iter().map(|it| it.board)).len();
    let groups = components(placed);
    let board_freedom = boards - groups.min(boards);
    let freedom = (placed.len() + groups).checked_sub(experiments + boards)?;
    if board_freedom == 0 || freedom == 0 {
        return None;
    }
    let mut logs: Vec<f64> = placed.iter().map(|it| it.value.ln()).collect();
    center(&mut logs, placed, |it| it.experiment);
    let without_boards = squares(&logs);
    fit_both(&mut logs, placed);
    let with_boards = squares(&logs);
    let noise = with_boards / length(freedom);
    let explained = (without_boards - with_boards).max(0.0);
    let weight = length(placed.len())
        - cells.iter().map(|((it, _), count)| count * count / per_experiment[it]).sum::<f64>();
    let variance = ((explained - length(board_freedom) * noise) / weight).max(0.0);
    let statistic = explained / length(board_freedom) / noise;
    let p_value = FisherSnedecor::new(length(board_freedom), length(freedom))
        .map_or(1.0, |it| if explained > 0.0 { it.sf(statistic.min(f64::MAX)) } else { 1.0 });
    Some(BoardEffect {
        boards,
        deviation: variance.sqrt(),
        residual: noise.sqrt(),
        p_value,
        groups,
        board_freedom,
        freedom,
    })
}

impl BoardEffect {
    /// The geometric mean of an experiment's values with the interval that covers it for another board of the kind;
    /// `counts` are its trials on each board.
    ///
    /// Its variance is that of the boards' mean and that of the noise, with Satterthwaite's degrees of freedom
    /// (Biometrics Bulletin 2 (1946) 110). None without values above zero.
    pub fn mean(&self, values: &[f64], counts: &[usize], coverage: f64) -> Option<Estimate> {
        let number = length(values.len());
        if values.is_empty() || values.iter().any(|it| !it.is_finite() || *it <= 0.0) {
            return None;
        }
        let point = values.iter().map(|it| it.ln()).sum::<f64>() / number;
        let share: f64 = counts.iter().map(|it| (length(*it) / number).powi(2)).sum();
        let of_boards = self.deviation.powi(2) * share;
        let of_noise = self.residual.powi(2) / number;
        let variance = of_boards + of_noise;
        let parts = of_boards.powi(2) / length(self.board_freedom)
            + of_noise.powi(2) / length(self.freedom);
        let freedom = if parts > 0.0 { variance.powi(2) / parts } else { length(self.freedom) };
        Some(exponential(from_error(point, variance.sqrt(), freedom.max(1.0), coverage)))
    }
}

fn distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut all: Vec<usize> = numbers.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How many parts experiments and boards fall into that no value connects.
fn components(placed: &[Placed]) -> usize {
    let mut label: BTreeMap<(bool, usize), usize> = BTreeMap::new();
    for it in placed {
        let next = label.len();
        label.entry((false, it.experiment)).or_insert(next);
        let next = label.len();
        label.entry((true, it.board)).or_insert(next);
    }
    let mut parent: Vec<usize> = (0..label.len()).collect();
    for it in placed {
        let one = root(&mut parent, label[&(false, it.experiment)]);
        let other = root(&mut parent, label[&(true, it.board)]);
        parent[one] = other;
    }
    (0..parent.len()).filter(|it| parent[*it] == *it).count()
}

/// The representative of a part, with the way to it shortened.
fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

/// Takes the mean of each group off its values.
fn center(values: &mut [f64], placed: &[Placed], group: impl Fn(&Placed) -> usize) {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (value, it) in values.iter().zip(placed) {
        let (sum, count) = sums.entry(group(it)).or_default();
        *sum += value;
        *count += 1.0;
    }
    for (value, it) in values.iter_mut().zip(placed) {
        let (sum, count) = sums[&group(it)];
        *value -= sum / count;
    }
}

/// Leaves the residuals of both effects: alternating projections, which need no matrix of all boards.
fn fit_both(values: &mut [f64], placed: &[Placed]) {
    let mut before = f64::INFINITY;
    for _ in 0..PASSES {
        center(values, placed, |it| it.board);
        center(values, placed, |it| it.experiment);
        let now = squares(values);
        if before - now <= 1e-12 * now {
            break;
        }
        before = now;
    }
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|it| it * it).sum()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Values of experiments that each ran once on each of some boards.
    fn drawn(seed: u64, boards: usize, deviation: f64, noise: f64) -> Vec<Placed> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let offsets: Vec<f64> = (0..boards).map(|_| deviation * normal()).collect();
        let mut placed = Vec::new();
        for experiment in 0..6 {
            for (board, offset) in offsets.iter().enumerate() {
                let log = length(experiment) + offset + noise * normal();
                placed.push(Placed { experiment, board, value: log.exp() });
            }
        }
        placed
    }

    #[test]
    fn the_spread_of_boards_is_found_on_average() {
        let of = |seed| board_effect(&drawn(seed, 8, 0.05, 0.02)).unwrap();
        let mean = (0..400).map(|it| of(it).deviation.powi(2)).sum::<f64>() / 400.0;
        assert!((mean.sqrt() - 0.05).abs() < 0.003, "{}", mean.sqrt());
        let noise = (0..400).map(|it| of(it).residual.powi(2)).sum::<f64>() / 400.0;
        assert!((noise.sqrt() - 0.02).abs() < 0.001, "{}", noise.sqrt());
    }

    #[test]
    fn boards_that_do_not_differ_are_rarely_said_to() {
        let found =
            (0..1000).filter(|it| board_effect(&drawn(*it, 5, 0.0, 0.02)).unwrap().p_value < 0.05);
        let found = found.count();
        assert!((30..72).contains(&found), "{found} of 1000");
    }

    #[test]
    fn intervals_cover_the_mean_over_all_boards() {
        let mut covered = 0;
        for seed in 0..1000 {
            let placed = drawn(seed, 6, 0.05, 0.02);
            let effect = board_effect(&placed).unwrap();
            let own: Vec<f64> =
                placed.iter().filter(|it| it.experiment == 2).map(|it| it.value).collect();
            let estimate = effect.mean(&own, &[1; 6], 0.95).unwrap();
            covered += usize::from(estimate.interval.contains(2.0_f64.exp()));
        }
        assert!((925..985).contains(&covered), "{covered} of 1000");
    }

    #[test]
    fn an_experiment_on_a_board_of_its_own_can_not_be_told_from_the_board() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let placed: Vec<Placed> = (0..8)
            .map(|at| Placed {
                experiment: at % 2,
                board: at % 2,
                value: rng.random_range(1.0..2.0),
            })
            .collect();
        assert_eq!(board_effect(&placed), None);
    }

    #[test]
    fn incomplete_blocks_are_enough() {
        // Three experiments, two on each of three boards, twice; the second board adds a tenth.
        let of = |experiment: usize, board: usize, repeat: usize| {
            let noise = 1.0 + 0.001 * length((experiment * 5 + board * 3 + repeat * 7) % 4);
            let value = length(experiment + 1) * if board == 1 { 1.1 } else { 1.0 } * noise;
            Placed { experiment, board, value }
        };
        let cells = [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (0, 2)];
        let placed: Vec<Placed> = cells
            .into_iter()
            .flat_map(|(experiment, board)| (0..2).map(move |it| of(experiment, board, it)))
            .collect();
        let effect = board_effect(&placed).unwrap();
        assert_eq!((effect.groups, effect.board_freedom, effect.freedom), (1, 2, 7));
        assert!((0.04..0.08).contains(&effect.deviation), "{effect:?}");
        assert!(effect.p_value < 1e-6);
    }
}
