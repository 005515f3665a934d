//! Which configurations no other one beats, and how sure that is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::confidence::Estimate;
use crate::units::length;

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less: energy, latency.
    Lower,
    /// More: throughput.
    Higher,
}

/// Whether a configuration is on the front.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// No other one is at least as good in everything and better in something.
    pub on_front: bool,
    /// Probability that it is on the front, given the estimates' errors.
    pub probability: f64,
}

const DRAWS: u32 = 2000;

/// The front of configurations, each with one estimate an objective.
///
/// ```
/// use llem_core::stats::{Sample, confidence, pareto::{Better, front}};
/// let of = |value: f64| confidence::of_mean(&Sample::new(vec![value, value * 1.001]).unwrap(), 0.95).unwrap();
/// let (cheap, fast, bad) = ([of(1.0), of(10.0)], [of(2.0), of(30.0)], [of(3.0), of(9.0)]);
/// let standings = front(&[cheap.to_vec(), fast.to_vec(), bad.to_vec()], &[Better::Lower, Better::Higher], 1);
/// assert_eq!(standings.iter().map(|it| it.on_front).collect::<Vec<_>>(), [true, true, false]);
/// ```
pub fn front(configurations: &[Vec<Estimate>], better: &[Better], seed: u64) -> Vec<Standing> {
    let points: Vec<Vec<f64>> =
        configurations.iter().map(|it| it.iter().map(|it| it.point).collect()).collect();
    let on_front = undominated(&points, better);
    let contenders = contenders(configurations, better);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = vec![0_u32; configurations.len()];
    for _ in 0..DRAWS {
        let drawn: Vec<Vec<f64>> = contenders
            .iter()
            .map(|at| configurations[*at].iter().map(|it| draw(it, &mut rng)).collect())
            .collect();
        for (at, on) in contenders.iter().zip(undominated(&drawn, better)) {
            counts[*at] += u32::from(on);
        }
    }
    on_front
        .into_iter()
        .zip(counts)
        .map(|(on_front, count)| Standing {
            on_front,
            probability: f64::from(count) / f64::from(DRAWS),
        })
        .collect()
}

/// Standard errors beyond which a draw does not fall in any number of draws that is made here.
const BEYOND: f64 = 6.0;

/// Configurations that errors could put on the front: those that at their best no other one beats at its worst. In
/// large studies they are few, and only they need draws.
fn contenders(configurations: &[Vec<Estimate>], better: &[Better]) -> Vec<usize> {
    let ends = |sign: f64| -> Vec<Vec<f64>> {
        let end = |(it, better): (&Estimate, &Better)| match better {
            Better::Lower => it.point - sign * BEYOND * it.standard_error,
            Better::Higher => it.point + sign * BEYOND * it.standard_error,
        };
        configurations.iter().map(|it| it.iter().zip(better).map(end).collect()).collect()
    };
    let (best, worst) = (ends(1.0), ends(-1.0));
    let is_beaten = |at: usize| {
        worst.iter().enumerate().any(|(other, it)| other != at && dominates(it, &best[at], better))
    };
    (0..configurations.len()).filter(|at| !is_beaten(*at)).collect()
}

/// Probability that one configuration is better than another in everything, its errors taken as independent.
pub fn dominance(one: &[Estimate], other: &[Estimate], better: &[Better], seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut count = 0_usize;
    for _ in 0..DRAWS {
        let of = |estimates: &[Estimate], rng: &mut ChaCha8Rng| -> Vec<f64> {
            estimates.iter().map(|it| draw(it, rng)).collect()
        };
        let (one, other) = (of(one, &mut rng), of(other, &mut rng));
        count += usize::from(dominates(&one, &other, better));
    }
    length(count) / f64::from(DRAWS)
}

fn draw(estimate: &Estimate, rng: &mut ChaCha8Rng) -> f64 {
    let normal: f64 = StandardNormal.sample(rng);
    estimate.point + normal * estimate.standard_error
}

fn undominated(points: &[Vec<f64>], better: &[Better]) -> Vec<bool> {
    points.iter().map(|point| !points.iter().any(|other| dominates(other, point, better))).collect()
}

/// At least as good in everything and better in something.
fn dominates(one: &[f64], other: &[f64], better: &[Better]) -> bool {
    let mut some = false;
    for ((one, other), better) in one.iter().zip(other).zip(better) {
        let (better, worse) = match better {
            Better::Lower => (one < other, one > other),
            Better::Higher => (one > other, one < other),
        };
        if worse {
            return false;
        }
        some |= better;
    }
    some
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::confidence::from_error;

    #[test]
    fn two_that_can_not_be_told_apart_are_each_on_the_front_in_half_of_the_draws() {
        let alike = || vec![from_error(1.0, 0.1, 9.0, 0.95)];
        let standings = front(&[alike(), alike()], &[Better::Lower], 3);
        assert!(
            standings.iter().all(|it| it.on_front && (it.probability - 0.5).abs() < 0.05),
            "{standings:?}"
        );
    }

    #[test]
    fn clear_dominance_is_certain() {
        let at = |value| vec![from_error(value, 0.001, 9.0, 0.95)];
        assert!(dominance(&at(1.0), &at(2.0), &[Better::Lower], 1) > 0.999);
        assert!(dominance(&at(1.0), &at(2.0), &[Better::Higher], 1) < 0.001);
    }
}
