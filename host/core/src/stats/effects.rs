//! What each varied parameter did to a metric: effects of factors, alone and in pairs.
//!
//! Works on logarithms, so that an effect is a factor by which the metric changes. Designs may have
//! holes, as left by rules; what the holes make inseparable is left out and said to be.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::{
    confidence::{Estimate, Interval, exponential, from_error},
    linear::{Block, Builder, Design, Fit, dot},
    resample::draw,
    sample::{mean, quantile},
};
use crate::units::length;

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Level of each factor.
    pub levels: Vec<u32>,
    /// Block, such as the repeat.
    pub block: u32,
    /// The metric; above zero.
    pub value: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Factors alone, in the order given.
    pub main: Vec<Term>,
    /// Pairs of factors: what they do together beyond what each does alone.
    pub pairs: Vec<Term>,
    /// Share of the variance that no term explains.
    pub residual_share: f64,
    /// What could not be separated, as indices of factors.
    pub inseparable: Vec<Vec<usize>>,
    /// Degrees of freedom of the residuals.
    pub freedom: usize,
}

/// One factor, or two together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Indices of its factors.
    pub factors: Vec<usize>,
    /// Share of the variance that it explains beyond all other terms.
    pub share: f64,
    /// Interval of the share, from resampled residuals.
    pub share_interval: Interval,
    /// Probability of such a share if it did nothing (F test).
    pub p_value: f64,
    /// Mean of each level relative to the first level that was measured, over the levels of the others; only of factors
    /// alone.
    pub levels: Vec<LevelEffect>,
}

impl Term {
    /// The largest change between two of its levels, as a ratio of at least 1.
    pub fn span(&self) -> Option<f64> {
        let points = self.levels.iter().map(|level| level.ratio.point);
        let most = points.clone().fold(f64::MIN, f64::max);
        let least = points.fold(f64::MAX, f64::min);
        (!self.levels.is_empty()).then(|| most / least)
    }
}

/// A level against the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelEffect {
    /// The level.
    pub level: u32,
    /// Its mean over that of the reference.
    pub ratio: Estimate,
}

/// The most columns of a model.
const COLUMNS: usize = 240;
const DRAWS: usize = 400;

/// A term of the model and its columns.
struct Columns {
    factors: Vec<usize>,
    from: usize,
    to: usize,
}

/// Effects of factors on a metric; none where nothing varies, too little was measured, or a value is not above zero.
///
/// Least squares on the logarithms with blocks as a factor of their own, sum-to-zero coding, and for each term what it
/// explains beyond the others (type III sums of squares); see Montgomery, Design and Analysis of Experiments, ch. 5.
pub fn of_factors(observations: &[Observation], coverage: f64) -> Option<Effects> {
    let factors = observations.first()?.levels.len();
    if observations
        .iter()
        .any(|it| !it.value.is_finite() || it.value <= 0.0 || it.levels.len() != factors)
    {
        return None;
    }
    let logs: Vec<f64> = observations.iter().map(|it| it.value.ln()).collect();
    let levels: Vec<Vec<u32>> = (0..factors)
        .map(|factor| distinct(observations.iter().map(|it| it.levels[factor])))
        .collect();
    let blocks = distinct(observations.iter().map(|it| it.block));
    let moving: Vec<usize> = (0..factors).filter(|factor| levels[*factor].len() > 1).collect();
    if moving.is_empty() {
        return None;
    }
    let mut model = Model::new(observations, &blocks);
    let mut inseparable = Vec::new();
    for factor in &moving {
        if !model.add(vec![*factor], |it| coded(&levels[*factor], it.levels[*factor])) {
            inseparable.push(vec![*factor]);
        }
    }
    for (at, first) in moving.iter().enumerate() {
        for second in &moving[at + 1..] {
            let columns = |it: &Observation| {
                let (left, right) = (
                    coded(&levels[*first], it.levels[*first]),
                    coded(&levels[*second], it.levels[*second]),
                );
                left.iter().flat_map(|left| right.iter().map(move |right| left * right)).collect()
            };
            if !model.add(vec![*first, *second], columns) {
                inseparable.push(vec![*first, *second]);
            }
        }
    }
    if model.terms.is_empty() {
        return None;
    }
    let design = model.builder.finish()?;
    let fit = design.fit(&logs);
    let freedom = observations.len() - design.columns();
    if freedom == 0 {
        return None;
    }
    let parts = Parts::new(&design, &model.terms, blocks.len());
    let shares = parts.shares(&fit.coefficients, fit.residual_squares(), &logs);
    let intervals = share_intervals(&design, &fit, &parts, coverage);
    let variance = fit.residual_squares() / length(freedom);
    let mut effects = Effects {
        main: Vec::new(),
        pairs: Vec::new(),
        residual_share: shares[model.terms.len()],
        inseparable,
        freedom,
    };
    for (at, term) in model.terms.iter().enumerate() {
        let width = length(term.to - term.from);
        let statistic = parts.terms[at].squares(&fit.coefficients) / width / variance;
        let p_value = FisherSnedecor::new(width, length(freedom))
            .map_or(1.0, |it| if statistic.is_finite() { it.sf(statistic) } else { 0.0 });
        let of_levels = match term.factors[..] {
            [factor] => {
                let error = Error { design: &design, variance, freedom, coverage };
                level_effects(&fit, term, &levels[factor], &error)
            }
            _ => Vec::new(),
        };
        let into = if term.factors.len() == 1 { &mut effects.main } else { &mut effects.pairs };
        into.push(Term {
            factors: term.factors.clone(),
            share: shares[at],
            share_interval: intervals[at],
            p_value,
            levels: of_levels,
        });
    }
    Some(effects)
}

struct Model<'a> {
    observations: &'a [Observation],
    builder: Builder,
    terms: Vec<Columns>,
}

impl<'a> Model<'a> {
    /// A column of ones, and the blocks.
    fn new(observations: &'a [Observation], blocks: &[u32]) -> Self {
        let row = |it: &Observation| std::iter::once(1.0).chain(coded(blocks, it.block)).collect();
        let cells: Vec<Vec<f64>> = observations.iter().map(row).collect();
        let mut builder = Builder::new(observations.len());
        builder.add(&cells);
        Self { observations, builder, terms: Vec::new() }
    }

    /// Adds a term unless the others already determine it, or it leaves nothing to estimate the noise from.
    fn add(&mut self, factors: Vec<usize>, columns: impl Fn(&Observation) -> Vec<f64>) -> bool {
        let from = self.builder.columns();
        let to = from + columns(&self.observations[0]).len();
        if to > COLUMNS || to >= self.observations.len() {
            return false;
        }
        let cells: Vec<Vec<f64>> = self.observations.iter().map(columns).collect();
        let is_separable = self.builder.add(&cells);
        if is_separable {
            self.terms.push(Columns { factors, from, to });
        }
        is_separable
    }
}

/// Sum-to-zero coding: one column fewer than levels, the last level is minus all.
fn coded(levels: &[u32], level: u32) -> Vec<f64> {
    let last = levels[levels.len() - 1];
    levels[..levels.len() - 1]
        .iter()
        .map(|it| if level == last { -1.0 } else { f64::from(u8::from(*it == level)) })
        .collect()
}

fn distinct(levels: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut levels: Vec<u32> = levels.collect();
    levels.sort_unstable();
    levels.dedup();
    levels
}

/// The parts of a design that squares are told apart by.
struct Parts {
    terms: Vec<Block>,
    /// The blocks' differences; none where there is one block.
    blocks: Option<Block>,
}

impl Parts {
    fn new(design: &Design, terms: &[Columns], blocks: usize) -> Self {
        Self {
            terms: terms.iter().map(|it| design.block(it.from, it.to)).collect(),
            blocks: (blocks > 1).then(|| design.block(1, blocks)),
        }
    }

    /// The share of each term, then that of the residuals. Shares of designs with holes need not add up to one, as
    /// what two terms explain alike is neither's.
    fn shares(&self, coefficients: &[f64], residual_squares: f64, values: &[f64]) -> Vec<f64> {
        let middle = mean(values);
        let total: f64 = values.iter().map(|it| (it - middle).powi(2)).sum();
        let of_blocks = self.blocks.as_ref().map_or(0.0, |it| it.squares(coefficients));
        let total = (total - of_blocks).max(f64::MIN_POSITIVE);
        let of_terms = self.terms.iter().map(|it| it.squares(coefficients));
        of_terms.chain([residual_squares]).map(|it| (it / total).clamp(0.0, 1.0)).collect()
    }
}

/// Intervals of the shares: the fitted values with resampled residuals, widened to their true spread, are fitted again.
///
/// The fitted values lie in the design's space, so that only the noise has to be projected: its coefficients add to
/// those of the fit, and its residuals are the new ones.
fn share_intervals(design: &Design, fit: &Fit, parts: &Parts, coverage: f64) -> Vec<Interval> {
    let rows = fit.residuals.len();
    let scale = (length(rows) / length(rows - design.columns())).sqrt();
    let residuals: Vec<f64> = fit.residuals.iter().map(|it| it * scale).collect();
    let fitted = design.fitted(&fit.coefficients);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut noise, mut values) = (residuals.clone(), residuals.clone());
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(DRAWS); parts.terms.len()];
    for _ in 0..DRAWS {
        draw(&mut rng, &residuals, &mut noise);
        for ((value, fitted), noise) in values.iter_mut().zip(&fitted).zip(&noise) {
            *value = fitted + noise;
        }
        let (mut coefficients, explained) = design.solve(&noise);
        for (coefficient, of_fit) in coefficients.iter_mut().zip(&fit.coefficients) {
            *coefficient += of_fit;
        }
        let rest = (dot(&noise, &noise) - explained).max(0.0);
        for (drawn, share) in drawn.iter_mut().zip(parts.shares(&coefficients, rest, &values)) {
            drawn.push(share);
        }
    }
    let interval = |mut shares: Vec<f64>| {
        shares.sort_by(f64::total_cmp);
        let tail = (1.0 - coverage) / 2.0;
        Interval { low: quantile(&shares, tail), high: quantile(&shares, 1.0 - tail), coverage }
    };
    drawn.into_iter().map(interval).collect()
}

/// What the errors of coefficients are computed from.
struct Error<'a> {
    design: &'a Design,
    variance: f64,
    freedom: usize,
    coverage: f64,
}

/// Each level against the first: differences of coefficients.
fn level_effects(fit: &Fit, term: &Columns, levels: &[u32], error: &Error<'_>) -> Vec<LevelEffect> {
    let reference = coded(levels, levels[0]);
    let of_level = |level: &u32| {
        let mut weights = vec![0.0; fit.coefficients.len()];
        for ((weight, its), reference) in
            weights[term.from..term.to].iter_mut().zip(coded(levels, *level)).zip(&reference)
        {
            *weight = its - reference;
        }
        let point = dot(&weights, &fit.coefficients);
        let spread = (error.variance * error.design.unscaled_variance(&weights)).max(0.0).sqrt();
        let ratio = exponential(from_error(point, spread, length(error.freedom), error.coverage));
        LevelEffect { level: *level, ratio }
    };
    levels.iter().map(of_level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A factorial plan of `a` and `b` levels with three blocks and a little noise.
    fn plan(value: impl Fn(u32, u32) -> f64) -> Vec<Observation> {
        let mut observations = Vec::new();
        for block in 0..3 {
            for a in 0..3 {
                for b in 0..2 {
                    let noise = 1.0 + 0.001 * f64::from((block * 7 + a * 3 + b * 5) % 5) - 0.002;
                    observations.push(Observation {
                        levels: vec![a, b],
                        block,
                        value: value(a, b) * noise,
                    });
                }
            }
        }
        observations
    }

    #[test]
    fn a_factor_that_does_everything_explains_everything() {
        let effects = of_factors(&plan(|a, _| f64::from(1 + a)), 0.95).unwrap();
        assert!(effects.main[0].share > 0.99 && effects.main[0].p_value < 1e-6, "{effects:?}");
        assert!(effects.main[1].share < 0.01 && effects.main[1].p_value > 0.05);
        assert!((effects.main[0].levels[2].ratio.point - 3.0).abs() < 0.01);
        assert!(effects.main[0].levels[1].ratio.interval.contains(2.0));
        assert!((effects.main[0].span().unwrap() - 3.0).abs() < 0.01);
    }

    #[test]
    fn what_two_factors_do_only_together_is_theirs() {
        let effects =
            of_factors(&plan(|a, b| if a == 2 && b == 1 { 2.0 } else { 1.0 }), 0.95).unwrap();
        assert!(effects.pairs[0].share > 0.25 && effects.pairs[0].p_value < 1e-6, "{effects:?}");
        let all: f64 = effects.main.iter().chain(&effects.pairs).map(|it| it.share).sum::<f64>()
            + effects.residual_share;
        assert!((all - 1.0).abs() < 1e-6, "the shares of a whole plan add up: {all}");
    }

    #[test]
    fn holes_in_the_plan_leave_the_main_effects_readable() {
        let mut observations = plan(|a, b| f64::from(1 + a) * f64::from(1 + b));
        observations.retain(|it| it.levels != [2, 1]);
        let effects = of_factors(&observations, 0.95).unwrap();
        assert!((effects.main[1].levels[1].ratio.point - 2.0).abs() < 0.02, "{effects:?}");
    }

    #[test]
    fn factors_that_move_together_are_inseparable() {
        let observations: Vec<Observation> = (0..8)
            .map(|at| Observation {
                levels: vec![at % 2, at % 2],
                block: at / 2,
                value: 1.0 + f64::from(at),
            })
            .collect();
        let effects = of_factors(&observations, 0.95).unwrap();
        assert_eq!(effects.inseparable, [vec![1], vec![0, 1]]);
    }
}
