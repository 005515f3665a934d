//! How often intervals cover: simulated studies with known truth.
//!
//! `cargo run --release -p llem-core --example coverage`. Each line simulates 2,000 studies; an interval of 95 % should
//! cover in 93 % to 97 % of them.

#![expect(clippy::print_stdout, reason = "prints its measurements")]

use indexmap::IndexMap;
use llem_core::{
    journal,
    record::{Record, figure},
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

/// A study on a real H100: one vLLM server, five concurrencies, three repeats of each.
const RECORDED: &str = include_str!("../../../tests/fixtures/h100/vllm-concurrency/journal.jsonl");

/// Seconds of a device that the recorded study costs until all its intervals are within ±2 %, beside three runs of the
/// predecessor's defaults. Noise is that between the recorded trials, and so is what a trial on a running engine takes.
fn device_seconds() {
    const LOAD: f64 = 40.0;
    let levels = recorded();
    let trial = levels.iter().map(|it| it.seconds).sum::<f64>() / length(levels.len());
    // Load, 30 s of baseline, a floor of 60 s and the same trial, three times.
    let before = 3.0 * (LOAD + 30.0 + 60.0 + trial);
    println!(
        "device seconds until ±2 % (load {LOAD} s, a trial {trial:.1} s); before: {before:.0} s"
    );
    let rule = Repeats { min: 3, max: 12, half_width: Some(0.02) };
    let mut trials = 0.0;
    for Level { name, noise, .. } in &levels {
        let (_, repeats) = adaptive(Noise::LogNormal(*noise), rule);
        trials += repeats;
        let (alone, shared) = (repeats * (LOAD + trial), LOAD + repeats * trial);
        println!(
            "  {name}, noise {:.2} %: {repeats:.1} trials, {alone:.0} s with an engine each ({:.1} times fewer), \
             {shared:.0} s on one engine ({:.1}); three runs are within ±2 % in {:.0} % of studies",
            100.0 * noise,
            before / alone,
            before / shared,
            100.0 * within(Noise::LogNormal(*noise), 3, 0.02),
        );
    }
    let before = before * length(levels.len());
    for (what, loads) in [
        ("one engine for all, in any order", 1.0),
        ("an engine for each level, in a grouped order", length(levels.len())),
        ("an engine for each trial", trials),
    ] {
        let seconds = loads * LOAD + trials * trial;
        println!(
            "  the study with {what}: {seconds:.0} s, before {before:.0} s ({:.1} times fewer)",
            before / seconds
        );
    }
}

/// Share of studies whose interval of so many trials is within a relative half-width.
fn within(noise: Noise, count: u32, target: f64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let narrow = (0..STUDIES).filter(|_| {
        let sample = Sample::new(noise.draw(&mut rng, count)).expect("finite values");
        let estimate = confidence::of_mean(&sample, 0.95).expect("several values");
        estimate.relative_half_width().is_some_and(|it| it <= target)
    });
    share(u32::try_from(narrow.count()).expect("few"))
}

fn length(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("few"))
}

struct Level {
    name: String,
    /// Coefficient of variation of the energy of a token between the trials.
    noise: f64,
    /// Mean length of those that found the engine running.
    seconds: f64,
}

fn recorded() -> Vec<Level> {
    let (lines, _) = journal::lines(RECORDED.as_bytes()).expect("it is whole");
    let mut levels: IndexMap<String, (Vec<f64>, Vec<f64>)> = IndexMap::new();
    for json in lines {
        // Other entries than records have no outcome.
        let Ok(record) = serde_json::from_slice::<Record>(json) else { continue };
        let Some(energy) =
            record.measured().and_then(|it| figure(it, "energy_per_output_token_joules"))
        else {
            continue;
        };
        let (energies, seconds) = levels.entry(record.trial.experiment.clone()).or_default();
        energies.push(energy);
        seconds.extend(record.engine.shared.is_some().then_some(record.duration_seconds));
    }
    let level = |(at, (energies, seconds)): (usize, (Vec<f64>, Vec<f64>))| {
        let sample = Sample::new(energies).expect("finite energies");
        let noise = sample.standard_deviation().expect("several trials") / sample.mean();
        let seconds = seconds.iter().sum::<f64>() / length(seconds.len());
        Level {
            name: format!("{} in flight", 4_u32.pow(u32::try_from(at).expect("few"))),
            noise,
            seconds,
        }
    };
    levels.into_values().enumerate().map(level).collect()
}
