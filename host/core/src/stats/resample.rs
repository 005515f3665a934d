//! The bootstrap.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::{
    confidence::Interval,
    sample::{mean, quantile},
};
use crate::units::length;

const DRAWS: usize = 4000;
/// Drawn once; the same sample has the same interval everywhere.
const SEED: u64 = 0x6c6c_656d;

/// Values drawn from values, with replacement, into a buffer of any length.
pub(super) fn draw(rng: &mut ChaCha8Rng, values: &[f64], into: &mut [f64]) {
    for place in into {
        *place = values[rng.random_range(0..values.len())];
    }
}

/// Bias-corrected and accelerated interval of a statistic (Efron 1987), with the tails widened as Student's t is wider
/// than the normal and as the bootstrap's variance is too small by (n − 1)/n (Hesterberg 2015).
pub(super) fn bca(values: &[f64], statistic: impl Fn(&[f64]) -> f64, coverage: f64) -> Interval {
    let point = statistic(values);
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut resample = values.to_vec();
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            draw(&mut rng, values, &mut resample);
            statistic(&resample)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    if draws[0].total_cmp(&draws[DRAWS - 1]).is_eq() {
        return Interval { low: point, high: point, coverage };
    }
    let normal = Normal::standard();
    let (less, equal) = draws.iter().fold((0, 0), |(less, equal), it| match it.total_cmp(&point) {
        std::cmp::Ordering::Less => (less + 1, equal),
        std::cmp::Ordering::Equal => (less, equal + 1),
        std::cmp::Ordering::Greater => (less, equal),
    });
    let below = length(less) + length(equal) / 2.0;
    let bias = normal.inverse_cdf((below / length(DRAWS)).clamp(1e-6, 1.0 - 1e-6));
    let acceleration = acceleration(values, statistic);
    let count = length(values.len());
    let t = StudentsT::new(0.0, 1.0, count - 1.0).expect("at least two values");
    let wide = t.inverse_cdf(0.5 + coverage / 2.0) * (count / (count - 1.0)).sqrt();
    let end = |z: f64| {
        let shifted = bias + z;
        quantile(&draws, normal.cdf(bias + shifted / (1.0 - acceleration * shifted)))
    };
    Interval { low: end(-wide), high: end(wide), coverage }
}

/// From the skewness of the statistic's jackknife values.
fn acceleration(values: &[f64], statistic: impl Fn(&[f64]) -> f64) -> f64 {
    let left_out: Vec<f64> = (0..values.len())
        .map(|at| {
            let mut rest = values.to_vec();
            rest.swap_remove(at);
            statistic(&rest)
        })
        .collect();
    let middle = mean(&left_out);
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in &left_out {
        let distance = middle - value;
        squares += distance.powi(2);
        cubes += distance.powi(3);
    }
    if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_skewed_sample_is_skewed() {
        let values: Vec<f64> = (0..40).map(|it| f64::from(it * it)).collect();
        let interval = bca(&values, mean, 0.95);
        let point = mean(&values);
        assert!(interval.high - point > point - interval.low, "{interval:?} around {point}");
    }
}
