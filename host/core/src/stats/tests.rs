//! Simulated studies with known truth: a short version of `examples/coverage.rs`.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{Sample, confidence, paired};
use crate::{
    repeat::{Decision, coverage, decide},
    schedule,
    study::{Order, Repeats},
};

const STUDIES: u32 = 1000;

/// Log-normal values around 1.
fn values(rng: &mut ChaCha8Rng, deviation: f64, count: usize) -> Vec<f64> {
    let scale = deviation.powi(2).ln_1p().sqrt();
    let mut draw = || -> f64 { StandardNormal.sample(rng) };
    (0..count).map(|_| (scale * draw()).exp()).collect()
}

fn share(seed: u64, mut study: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hits = (0..STUDIES).filter(|_| study(&mut rng)).count();
    f64::from(u32::try_from(hits).unwrap()) / f64::from(STUDIES)
}

#[test]
fn intervals_cover_as_often_as_they_say() {
    for (count, deviation) in [(3, 0.05), (5, 0.3), (10, 0.05), (19, 0.3)] {
        let covers = share(1, |rng| {
            let sample = Sample::new(values(rng, deviation, count)).unwrap();
            confidence::of_mean(&sample, 0.95).unwrap().interval.contains(1.0)
        });
        assert!((0.93..=0.97).contains(&covers), "{count} values of {deviation}: {covers}");
    }
}

#[test]
fn adaptive_repeats_keep_their_coverage() {
    let rule = Repeats { min: 3, max: 12, half_width: Some(0.02) };
    for deviation in [0.01, 0.02, 0.03, 0.05] {
        let covers = share(2, |rng| {
            let values = values(rng, deviation, 12);
            let done = (1..=12)
                .find(|done| {
                    decide(&rule, &values[..*done], u32::try_from(*done).unwrap())
                        != Decision::Continue
                })
                .unwrap();
            let sample = Sample::new(values[..done].to_vec()).unwrap();
            confidence::of_mean(&sample, coverage(&rule)).unwrap().interval.contains(1.0)
        });
        assert!((0.925..=0.975).contains(&covers), "{deviation}: {covers}");
    }
}

#[test]
fn equals_are_found_different_as_seldom_as_the_level_says() {
    let found = share(3, |rng| {
        let blocks = values(rng, 0.3, 5);
        let (one, other) = (values(rng, 0.03, 5), values(rng, 0.03, 5));
        let pairs: Vec<(f64, f64)> = blocks
            .iter()
            .zip(one.iter().zip(&other))
            .map(|(block, (one, other))| (block * one, block * other))
            .collect();
        paired(&pairs, 0.95).unwrap().p_value < 0.05
    });
    assert!((0.03..=0.07).contains(&found), "{found}");
}

#[test]
fn a_counterbalanced_order_removes_a_linear_drift() {
    let bias = |order| {
        let schedule = schedule::plan(order, &[0; 6], 6, 1);
        let mut sums = [0.0; 6];
        for trial in &schedule.trials {
            sums[trial.experiment] += crate::units::length(trial.position);
        }
        sums.iter().fold(f64::MIN, |most, it| most.max(*it))
            - sums.iter().fold(f64::MAX, |least, it| least.min(*it))
    };
    assert!(bias(Order::Counterbalanced) <= 0.1 * bias(Order::Interleaved));
    assert!(bias(Order::Counterbalanced) <= 0.1 * bias(Order::Sequential));
}
