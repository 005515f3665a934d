//! Sensitivity indices of sampled designs: how much of a metric's variance each parameter causes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    confidence::Interval,
    linear::Design,
    sample::{mean, quantile},
};
use crate::units::length;

/// Indices of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Share of the variance that it causes alone.
    pub first_order: f64,
    /// Its interval.
    pub first_interval: Interval,
    /// Share that it causes alone and together with others.
    pub total: f64,
    /// Its interval.
    pub total_interval: Interval,
}

/// Indices of all parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Indices {
    /// One a parameter.
    pub parameters: Vec<Index>,
    /// Share of the variance that the fitted polynomial predicts of points it has not seen; the indices mean little
    /// where it is small.
    pub predicted: f64,
}

const DRAWS: usize = 300;

/// Indices from any sample of points: positions of each parameter from 0 to 1, and a value above zero a point.
///
/// A polynomial of degree two in orthogonal polynomials is fitted to the logarithms; its coefficients' squares are the
/// variances (Sudret, Reliab. Eng. Syst. Saf. 93 (2008) 964). Without enough points for pairs it has none, and total
/// equals first order. None where there are too few points even for that.
pub fn indices(points: &[Vec<f64>], values: &[f64], coverage: f64) -> Option<Indices> {
    let parameters = points.first()?.len();
    if values.iter().any(|it| !it.is_finite() || *it <= 0.0) || points.len() != values.len() {
        return None;
    }
    let logs: Vec<f64> = values.iter().map(|it| it.ln()).collect();
    let singles: Vec<Vec<usize>> =
        (0..parameters).flat_map(|at| [vec![at], vec![at, at]]).collect();
    let pairs =
        (0..parameters).flat_map(|at| (at + 1..parameters).map(move |other| vec![at, other]));
    let with_pairs: Vec<Vec<usize>> = singles.iter().cloned().chain(pairs).collect();
    // Twice as many points as terms, or the coefficients are mostly noise.
    let fits = |terms: &[Vec<usize>]| {
        points.len() >= 2 * (terms.len() + 1) && design(points, terms).is_some()
    };
    let terms = [with_pairs, singles].into_iter().find(|terms| fits(terms))?;
    let (point, predicted) = evaluate(points, &logs, &terms, parameters)?;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut drawn: Vec<Vec<(f64, f64)>> = vec![Vec::new(); parameters];
    for _ in 0..DRAWS {
        let picks: Vec<usize> =
            (0..points.len()).map(|_| rng.random_range(0..points.len())).collect();
        let resampled: Vec<Vec<f64>> = picks.iter().map(|at| points[*at].clone()).collect();
        let values: Vec<f64> = picks.iter().map(|at| logs[*at]).collect();
        if let Some((shares, _)) = evaluate(&resampled, &values, &terms, parameters) {
            for (drawn, share) in drawn.iter_mut().zip(shares) {
                drawn.push(share);
            }
        }
    }
    let parameters = point
        .into_iter()
        .zip(drawn)
        .map(|((first_order, total), drawn)| {
            let interval = |pick: fn(&(f64, f64)) -> f64, point: f64| {
                let mut shares: Vec<f64> = drawn.iter().map(pick).collect();
                shares.push(point);
                shares.sort_by(f64::total_cmp);
                let tail = (1.0 - coverage) / 2.0;
                Interval {
                    low: quantile(&shares, tail),
                    high: quantile(&shares, 1.0 - tail),
                    coverage,
                }
            };
            Index {
                first_order,
                first_interval: interval(|it| it.0, first_order),
                total,
                total_interval: interval(|it| it.1, total),
            }
        })
        .collect();
    Some(Indices { parameters, predicted })
}

/// Positions from 0 to 1 of a parameter's values by their rank, those that are equal in the middle of theirs: what a
/// sample is uniform in, whatever the parameter's scale.
///
/// ```
/// use llem_core::stats::sobol::ranked;
/// assert_eq!(ranked(&[1.0, 100.0, 10.0, 10.0]), [0.125, 0.875, 0.5, 0.5]);
/// ```
pub fn ranked(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = |value: &f64| {
        let below = sorted.partition_point(|it| it.total_cmp(value).is_lt());
        let until = sorted.partition_point(|it| it.total_cmp(value).is_le());
        f64::midpoint(length(below), length(until)) / length(values.len())
    };
    values.iter().map(place).collect()
}

/// Orthonormal polynomials on 0 to 1: Legendre's of degree one and two, shifted.
fn term(point: &[f64], term: &[usize]) -> f64 {
    let linear = |at: usize| 3.0_f64.sqrt() * (2.0 * point[at] - 1.0);
    match *term {
        [at] => linear(at),
        [at, other] if at == other => {
            let x = 2.0 * point[at] - 1.0;
            5.0_f64.sqrt() * (3.0 * x * x - 1.0) / 2.0
        }
        [at, other] => linear(at) * linear(other),
        _ => 1.0,
    }
}

fn design(points: &[Vec<f64>], terms: &[Vec<usize>]) -> Option<Design> {
    let row = |point: &Vec<f64>| {
        std::iter::once(1.0).chain(terms.iter().map(|it| term(point, it))).collect()
    };
    Design::new(&points.iter().map(row).collect::<Vec<_>>())
}

/// First-order and total share of each parameter, and the share predicted of unseen points.
fn evaluate(
    points: &[Vec<f64>],
    logs: &[f64],
    terms: &[Vec<usize>],
    parameters: usize,
) -> Option<(Vec<(f64, f64)>, f64)> {
    let design = design(points, terms)?;
    let fit = design.fit(logs);
    let squares: Vec<f64> = fit.coefficients[1..].iter().map(|it| it * it).collect();
    let all: f64 = squares.iter().sum();
    let share = |of: &dyn Fn(&[usize]) -> bool| -> f64 {
        let sum: f64 =
            terms.iter().zip(&squares).filter(|(term, _)| of(term)).map(|(_, square)| square).sum();
        if all > 0.0 { sum / all } else { 0.0 }
    };
    let shares = (0..parameters)
        .map(|at| {
            (share(&|term| term.iter().all(|it| *it == at)), share(&|term| term.contains(&at)))
        })
        .collect();
    // What a point's residual would be had it not been fitted to: e / (1 - h).
    let left_out: f64 = design
        .leverages()
        .zip(&fit.residuals)
        .map(|(leverage, residual)| (residual / (1.0 - leverage).max(1e-9)).powi(2))
        .sum();
    let middle = mean(logs);
    let total: f64 = logs.iter().map(|it| (it - middle).powi(2)).sum();
    let count = length(logs.len());
    let predicted =
        if total > 0.0 { (1.0 - left_out / total * (count - 1.0) / count).max(0.0) } else { 0.0 };
    Some((shares, predicted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u32, dims: u32) -> Vec<Vec<f64>> {
        (0..count)
            .map(|at| (0..dims).map(|dim| f64::from(sobol_burley::sample(at, dim, 1))).collect())
            .collect()
    }

    #[test]
    fn indices_of_a_known_function_are_found() {
        // exp(x + y z): x has variance 1/12; y z has 1/144 alone each with weight 1/4 and 1/144 together.
        let points = points(256, 4);
        let values: Vec<f64> = points.iter().map(|it| (it[0] + it[1] * it[2]).exp()).collect();
        let found = indices(&points, &values, 0.95).unwrap();
        let (x, y, none) = (found.parameters[0], found.parameters[1], found.parameters[3]);
        let total = 1.0 / 12.0 + 2.0 / 48.0 + 1.0 / 144.0;
        assert!((x.first_order - 1.0 / 12.0 / total).abs() < 0.02, "{x:?}");
        assert!(
            (y.first_order - 1.0 / 48.0 / total).abs() < 0.02 && y.total > y.first_order,
            "{y:?}"
        );
        assert!((y.total - (1.0 / 48.0 + 1.0 / 144.0) / total).abs() < 0.02, "{y:?}");
        assert!(none.total < 0.01 && found.predicted > 0.98, "{found:?}");
        assert!(x.first_interval.contains(x.first_order));
    }

    #[test]
    fn a_grid_of_levels_is_a_design_like_any_other() {
        let levels: Vec<(f64, f64)> =
            (0..25_u32).map(|at| (f64::from(at % 5), f64::from(at / 5))).collect();
        let of =
            |pick: fn(&(f64, f64)) -> f64| ranked(&levels.iter().map(pick).collect::<Vec<_>>());
        let (first, second) = (of(|it| it.0), of(|it| it.1));
        let points: Vec<Vec<f64>> =
            first.iter().zip(&second).map(|(one, other)| vec![*one, *other]).collect();
        let values: Vec<f64> =
            levels.iter().map(|(one, other)| (one * (0.06 * other - 0.22)).exp()).collect();
        let found = indices(&points, &values, 0.95).unwrap();
        // Levels have variance 2: one has 0.1^2 * 2, the other 0.12^2 * 2, both together 0.06^2 * 4.
        assert!((found.parameters[0].first_order - 0.02 / 0.0632).abs() < 0.02, "{found:?}");
        assert!((found.parameters[1].total - 0.0432 / 0.0632).abs() < 0.02, "{found:?}");
        assert!(found.predicted > 0.99, "{found:?}");
    }

    #[test]
    fn too_few_points_give_none() {
        assert_eq!(indices(&points(8, 4), &[1.0; 8], 0.95), None);
    }
}
