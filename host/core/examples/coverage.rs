//! How often intervals cover: simulated studies with known truth.
//!
//! `cargo run --release -p llem-core --example coverage`. Each line simulates 2,000 studies; an interval of 95 % should
//! cover in 93 % to 97 % of them.

#![expect(clippy::print_stdout, reason = "prints its measurements")]

use llem_core::{
    repeat::{Decision, coverage, decide},
    schedule,
    stats::{Sample, confidence, holm, paired},
    study::{Order, Repeats},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const STUDIES: u32 = 2000;
/// Error rates are compared with 5 % more closely.
const COMPARED: u32 = 20_000;

#[derive(Clone, Copy)]
enum Noise {
    Normal(f64),
    LogNormal(f64),
    /// Normal noise, and a drift of this share over all trials.
    Drifting(f64, f64),
}

impl Noise {
    /// Values around a typical value of 1, and what their mean is without noise.
    fn draw(self, rng: &mut ChaCha8Rng, count: u32) -> Vec<f64> {
        (0..count)
            .map(|at| {
                let normal: f64 = StandardNormal.sample(rng);
                match self {
                    Self::Normal(deviation) => 1.0 + deviation * normal,
                    Self::LogNormal(deviation) => (deviation.powi(2).ln_1p().sqrt() * normal).exp(),
                    Self::Drifting(deviation, drift) => {
                        (1.0 + deviation * normal)
                            * (1.0 + drift * f64::from(at) / f64::from(count))
                    }
                }
            })
            .collect()
    }

    fn truth(self, of: u32, count: u32) -> f64 {
        match self {
            Self::Normal(_) | Self::LogNormal(_) => 1.0,
            Self::Drifting(_, drift) => {
                let logs: f64 =
                    (0..of).map(|at| (drift * f64::from(at) / f64::from(count)).ln_1p()).sum();
                (logs / f64::from(of)).exp()
            }
        }
    }

    fn name(self) -> String {
        match self {
            Self::Normal(deviation) => format!("normal, sd {:.1} %", deviation * 100.0),
            Self::LogNormal(deviation) => format!("log-normal, sd {:.0} %", deviation * 100.0),
            Self::Drifting(deviation, drift) => {
                format!("sd {:.0} %, drift {:.0} %", deviation * 100.0, drift * 100.0)
            }
        }
    }
}

fn main() {
    println!("coverage of the 95 % interval, {STUDIES} studies each");
    for noise in [
        Noise::Normal(0.02),
        Noise::Normal(0.05),
        Noise::LogNormal(0.05),
        Noise::LogNormal(0.30),
        Noise::Drifting(0.05, 0.02),
        Noise::Drifting(0.05, 0.05),
    ] {
        for count in [3, 5, 10, 30] {
            println!("  n = {count:2}, {:24} {:.1} %", noise.name(), 100.0 * fixed(noise, count));
        }
    }
    println!("with adaptive repeats until ±2 %");
    for (min, max) in [(3, 12), (5, 12), (3, 30)] {
        for noise in [
            Noise::Normal(0.005),
            Noise::Normal(0.01),
            Noise::Normal(0.02),
            Noise::Normal(0.03),
            Noise::Normal(0.05),
            Noise::LogNormal(0.05),
            Noise::LogNormal(0.30),
            Noise::Drifting(0.02, 0.02),
        ] {
            let (covers, trials) = adaptive(noise, Repeats { min, max, half_width: Some(0.02) });
            println!(
                "  {min} to {max}, {:24} {:.1} %, {trials:.1} trials",
                noise.name(),
                100.0 * covers
            );
        }
    }
    println!(
        "paired comparisons of equals at the level of 5 %, {COMPARED} studies each: false findings"
    );
    for count in [3, 5, 10, 30] {
        println!(
            "  {count:2} blocks: one comparison {:.1} %; any of ten, adjusted by Holm's method, {:.1} %",
            100.0 * false_findings(count, 1),
            100.0 * false_findings(count, 10),
        );
    }
    println!("bias of the ratio of two experiments by a linear drift of 10 % over the study");
    for order in [Order::Sequential, Order::Interleaved, Order::Shuffled, Order::Counterbalanced] {
        let (mean, worst) = drift_bias(order);
        println!("  {order:?}: mean {:.4} %, greatest {:.4} %", 100.0 * mean, 100.0 * worst);
    }
    device_seconds();
}

fn share(count: u32) -> f64 {
    f64::from(count) / f64::from(STUDIES)
}

fn fixed(noise: Noise, count: u32) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let covers = (0..STUDIES).filter(|_| {
        let sample = Sample::new(noise.draw(&mut rng, count)).expect("finite values");
        confidence::of_mean(&sample, 0.95)
            .expect("several values")
            .interval
            .contains(noise.truth(count, count))
    });
    share(u32::try_from(covers.count()).expect("few"))
}

fn adaptive(noise: Noise, rule: Repeats) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (mut covers, mut trials) = (0, 0);
    for _ in 0..STUDIES {
        let values = noise.draw(&mut rng, rule.max);
        let done = (1..=rule.max)
            .find(|done| {
                decide(&rule, &values[..usize::try_from(*done).expect("few")], *done)
                    != Decision::Continue
            })
            .expect("ends at the most");
        let sample = Sample::new(values[..usize::try_from(done).expect("few")].to_vec())
            .expect("finite values");
        let interval =
            confidence::of_mean(&sample, coverage(&rule)).expect("several values").interval;
        covers += u32::from(interval.contains(noise.truth(done, rule.max)));
        trials += done;
    }
    (share(covers), share(trials))
}

/// Share of studies that find any difference of `others` experiments from one that they equal.
fn false_findings(count: u32, others: u32) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let found = (0..COMPARED).filter(|_| {
        // Blocks differ by far more than the experiments that are compared.
        let blocks = Noise::LogNormal(0.2).draw(&mut rng, count);
        let reference = Noise::LogNormal(0.03).draw(&mut rng, count);
        let p_values: Vec<f64> = (0..others)
            .map(|_| {
                let other = Noise::LogNormal(0.03).draw(&mut rng, count);
                let pairs: Vec<(f64, f64)> = blocks
                    .iter()
                    .zip(reference.iter().zip(&other))
                    .map(|(block, (one, other))| (block * one, block * other))
                    .collect();
                paired(&pairs, 0.95).expect("several blocks").p_value
            })
            .collect();
        holm(&p_values).iter().any(|it| *it < 0.05)
    });
    f64::from(u32::try_from(found.count()).expect("few")) / f64::from(COMPARED)
}

/// Mean and greatest error of the ratios of all pairs of eight experiments that are in truth equal.
fn drift_bias(order: Order) -> (f64, f64) {
    let (experiments, repeats) = (8_usize, 8);
    let schedule = schedule::plan(order, &vec![0; experiments], repeats, 5);
    let mut logs = vec![0.0; experiments];
    let all = f64::from(u32::try_from(schedule.trials.len()).expect("few"));
    for trial in &schedule.trials {
        let place = f64::from(u32::try_from(trial.position).expect("few"));
        logs[trial.experiment] += (0.1 * place / all).ln_1p() / f64::from(repeats);
    }
    let errors: Vec<f64> = (0..experiments)
        .flat_map(|one| (one + 1..experiments).map(move |other| (one, other)))
        .map(|(one, other)| (logs[one] - logs[other]).exp_m1().abs())
        .collect();
    let count = f64::from(u32::try_from(errors.len()).expect("few"));
    (errors.iter().sum::<f64>() / count, errors.iter().copied().fold(0.0, f64::max))
}

/// Publications of the energy counter while a model was served, and when each concurrency began and ended.
const SERVING: &str = include_str!("../../../tests/fixtures/h100/serving.csv");
const EVENTS: &str = include_str!("../../../tests/fixtures/h100/serving_events.csv");

/// Seconds of a device that an experiment costs until its interval is within ±2 %, and what three runs of the
/// predecessor's defaults cost; then those of the recorded study, five loads on one engine. The noise is that of 2 s
/// windows of the recording.
fn device_seconds() {
    const LOAD: f64 = 40.0;
    const MEASURE: f64 = 10.0;
    const WARMUP: f64 = 5.0;
    // Load, 30 s of baseline, a floor of 60 s and the same measurement, three times.
    let before = 3.0 * (LOAD + 30.0 + 60.0 + MEASURE);
    println!(
        "device seconds until ±2 % (load {LOAD} s, warm-up {WARMUP} s, measurement {MEASURE} s); before: {before} s"
    );
    let noises = recorded_noise();
    let (mut all, mut measured) = (LOAD, 0.0);
    for (concurrency, noise) in &noises {
        let rule = Repeats { min: 3, max: 12, half_width: Some(0.02) };
        let (_, trials) = adaptive(Noise::LogNormal(*noise), rule);
        all += trials * (WARMUP + MEASURE);
        measured += before;
        let alone = trials * (LOAD + WARMUP + MEASURE);
        let shared = LOAD + trials * (WARMUP + MEASURE);
        println!(
            "  concurrency {concurrency:3}, noise {:.2} %: {trials:.1} trials, {alone:.0} s ({:.1} times fewer), \
             {shared:.0} s where they share an engine ({:.1} times fewer)",
            100.0 * noise,
            before / alone,
            before / shared,
        );
    }
    println!(
        "  the study of all {}: {all:.0} s, before {measured:.0} s ({:.1} times fewer)",
        noises.len(),
        measured / all
    );
}

/// Coefficient of variation of the energy of 2 s windows at each concurrency.
fn recorded_noise() -> Vec<(u32, f64)> {
    let numbers = |line: &str| -> Vec<f64> {
        line.split(',').map(|cell| cell.parse().unwrap_or(f64::NAN)).collect()
    };
    let counter: Vec<(f64, f64)> = SERVING
        .lines()
        .skip(1)
        .map(numbers)
        .map(|row| (f64::midpoint(row[0], row[1]), row[2]))
        .collect();
    let at = |time: f64| {
        let next = counter.iter().position(|(it, _)| *it > time).expect("within the recording");
        let ((before, low), (after, high)) = (counter[next - 1], counter[next]);
        low + (high - low) * (time - before) / (after - before)
    };
    let mut noise = Vec::new();
    for pair in EVENTS.lines().skip(1).collect::<Vec<_>>().chunks(2) {
        let begin = numbers(pair[0])[2] + 1.0;
        let energies: Vec<f64> = (0..3)
            .map(f64::from)
            .map(|it| at(begin + 2.0 * (it + 1.0)) - at(begin + 2.0 * it))
            .collect();
        let sample = Sample::new(energies).expect("finite energies");
        let deviation = sample.standard_deviation().expect("three windows") / sample.mean();
        let concurrency =
            pair[0].split(',').next().and_then(|it| it.parse().ok()).expect("a number");
        noise.push((concurrency, deviation));
    }
    noise
}
