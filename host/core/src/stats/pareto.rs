//! Which configurations no other one beats, and how sure that is.

use std::cmp::Ordering;

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

impl Better {
    /// Makes less better.
    fn sign(self) -> f64 {
        match self {
            Self::Lower => 1.0,
            Self::Higher => -1.0,
        }
    }
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
    let signs: Vec<f64> = better.iter().map(|it| it.sign()).collect();
    let all: Vec<usize> = (0..configurations.len()).collect();
    let points = |places: &[usize], value: &mut dyn FnMut(&Estimate) -> f64| -> Vec<f64> {
        let estimates = places.iter().flat_map(|at| configurations[*at].iter().zip(&signs));
        // There is one zero only, or it would be ordered before itself.
        estimates.map(|(it, sign)| sign * value(it) + 0.0).collect()
    };
    let on_front = undominated(&points(&all, &mut |it| it.point), better.len());
    let contenders = contenders(configurations, better);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = vec![0_u32; configurations.len()];
    for _ in 0..DRAWS {
        let drawn = points(&contenders, &mut |it| draw(it, &mut rng));
        for (at, on) in contenders.iter().zip(undominated(&drawn, better.len())) {
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

/// Which points no other one dominates. Less is better in each of the `width` coordinates, which lie one after the other.
///
/// In lexicographic order a point can be dominated by an earlier one only, and then by one of the front so far: what
/// dominates a dominated point dominates what that dominates.
fn undominated(points: &[f64], width: usize) -> Vec<bool> {
    let point = |at: usize| &points[at * width..][..width];
    let count = points.len().checked_div(width).unwrap_or(0);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|one, other| {
        let pairs = point(*one).iter().zip(point(*other));
        pairs
            .map(|(one, other)| one.total_cmp(other))
            .find(|it| it.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    let mut is_on = vec![false; count];
    let mut front: Vec<usize> = Vec::new();
    let mut before: Option<usize> = None;
    for at in order {
        let own = point(at);
        is_on[at] = if let Some(alike) = before.filter(|it| point(*it) == own) {
            is_on[alike]
        } else {
            let beats = |it: &usize| point(*it).iter().zip(own).all(|(one, own)| one <= own);
            let is_new = !front.iter().any(beats);
            front.extend(is_new.then_some(at));
            is_new
        };
        before = Some(at);
    }
    is_on
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
    fn the_front_is_that_of_every_pair_compared() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for width in 1..4 {
            for count in [0, 1, 2, 40] {
                // Few values, so that many points are alike in some coordinates or in all.
                let mut value = || {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    (2.0 * normal).round() + 0.0
                };
                let points: Vec<f64> = (0..count * width).map(|_| value()).collect();
                let better = vec![Better::Lower; width];
                let all: Vec<&[f64]> = points.chunks(width).collect();
                let expected: Vec<bool> = all
                    .iter()
                    .map(|own| !all.iter().any(|other| dominates(other, own, &better)))
                    .collect();
                assert_eq!(undominated(&points, width), expected, "{points:?}");
            }
        }
    }

    #[test]
    fn clear_dominance_is_certain() {
        let at = |value| vec![from_error(value, 0.001, 9.0, 0.95)];
        assert!(dominance(&at(1.0), &at(2.0), &[Better::Lower], 1) > 0.999);
        assert!(dominance(&at(1.0), &at(2.0), &[Better::Higher], 1) < 0.001);
    }
}
