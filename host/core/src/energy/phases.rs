//! Attribution of a window's energy to prefill, decode and requests.
//!
//! The energy between publications of the counter half a second apart, above idle, is explained by the work that the
//! engine did in that time: non-negative least squares over all intervals, then shares of each interval
//! in proportion to the fit, so that the sum is exactly what was measured. It is a statistical
//! attribution with an interval and a held-out error, not a measurement, and it is refused where the
//! held-out half of the data is not explained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Series, Window,
    nnls::{Products, Row, WIDTH, predict},
    ticks::{Curve, MARGIN},
    work::{NAMES, PREFILL, Step, Work, between},
};
use crate::units::{Joules, Watts, length};

/// Least length of an interval whose energy is explained, in seconds. A publication is up to 25 ms from the work that it
/// tells of, and a client sees tokens some milliseconds late; over this length neither matters.
const SPAN: f64 = 0.45;
/// Length of the blocks by which data are split and resampled, in seconds.
const BLOCK: f64 = 2.0;
/// Fewest blocks that can be split into halves.
const FEWEST_BLOCKS: usize = 6;
/// Explained share of the held-out half's variance from which phases are published.
const EXPLAINED: f64 = 0.8;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 200;

/// Where the steps come from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepSource {
    /// The engine told its steps.
    Engine,
    /// They were inferred from when each request's tokens arrived.
    RequestLog,
}

/// A window's energy by phase and request.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Attribution {
    /// The interval that it holds for: from the first to the last publication in the window.
    pub window: Window,
    /// Where the steps come from.
    pub source: StepSource,
    /// Energy in the window.
    pub energy_joules: Joules,
    /// Energy at idle power with the engine loaded.
    pub static_joules: Joules,
    /// Energy above idle in intervals without any work.
    pub unattributed_joules: Joules,
    /// Energy above idle of prefill; absent where the fit explains too little.
    pub prefill: Option<PhaseShare>,
    /// Energy above idle of decode; absent where the fit explains too little.
    pub decode: Option<PhaseShare>,
    /// Why phases are absent.
    pub reason: Option<String>,
    /// Energy of one unit of each kind of work.
    pub coefficients: Vec<Coefficient>,
    /// Explained share of the variance of the half that was not fitted.
    pub held_out_r_squared: f64,
    /// Root mean square error of that half's intervals, relative to their mean above idle.
    pub held_out_relative_error: f64,
    /// Sum of all parts less the energy, relative to it.
    pub closure: f64,
    /// Each request's part, in the order of their places; left out of records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestEnergy>,
}

/// A phase's energy above idle with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PhaseShare {
    /// The energy.
    pub energy_joules: Joules,
    /// Its interval from the fit's uncertainty alone.
    pub interval_joules: [Joules; 2],
}

/// Energy of one unit of a kind of work.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Coefficient {
    /// The kind of work.
    pub name: String,
    /// Energy of one unit.
    pub energy_joules: Joules,
    /// Its 95 % bootstrap interval.
    pub interval_joules: [Joules; 2],
}

/// One request's part of a window's energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct RequestEnergy {
    /// Energy above idle.
    pub dynamic_joules: Joules,
    /// Idle energy while it was being worked on, shared evenly with the others.
    pub static_joules: Joules,
}

/// Why nothing was attributed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AttributionError {
    /// Too little data.
    #[error(
        "attribution needs at least {FEWEST_BLOCKS} blocks of 2 s with publications, found {found}"
    )]
    TooShort {
        /// How many there were.
        found: usize,
    },
    /// The counter was faulty.
    #[error("the counter went back or stood still in the window")]
    Faulty,
    /// There is nothing to explain.
    #[error("the device's energy does not vary, so nothing can be attributed")]
    NoSignal,
    /// No step lies in the window.
    #[error("no step of the engine lies in the window")]
    NoWork,
}

struct Interval {
    block: usize,
    seconds: f64,
    /// Energy above idle.
    dynamic: f64,
    row: Row,
    works: Vec<Work>,
}

/// Attributes the energy of one device in a window; `idle` is its power with the engine loaded.
///
/// `seed` makes the bootstrap reproducible.
pub fn attribute(
    series: &Series,
    window: Window,
    idle: Watts,
    (steps, source): (&[Step], StepSource),
    seed: u64,
) -> Result<Attribution, AttributionError> {
    let (bounds, intervals) = intervals(series, window, idle, steps)?;
    if intervals.iter().all(|interval| interval.works.is_empty()) {
        return Err(AttributionError::NoWork);
    }
    let blocks = blocks(&intervals);
    if blocks.len() < FEWEST_BLOCKS {
        return Err(AttributionError::TooShort { found: blocks.len() });
    }
    let (r_squared, relative_error) = held_out(&intervals, &blocks);
    if !(r_squared.is_finite() && relative_error.is_finite()) {
        return Err(AttributionError::NoSignal);
    }
    let fitted = sum(blocks.iter()).solve();
    let resampled = resample(&blocks, seed);
    let energy = idle.get() * intervals.iter().map(|i| i.seconds).sum::<f64>()
        + intervals.iter().map(|i| i.dynamic).sum::<f64>();
    let explained = r_squared >= EXPLAINED;
    let phase = |prefill: bool| {
        explained.then(|| PhaseShare {
            energy_joules: Joules::new(phase_energy(&intervals, &fitted, prefill)),
            interval_joules: central(
                resampled.iter().map(|c| phase_energy(&intervals, c, prefill)).collect(),
            ),
        })
    };
    let mut attribution = Attribution {
        window: bounds,
        source,
        energy_joules: Joules::new(energy),
        static_joules: idle * bounds.duration(),
        unattributed_joules: Joules::ZERO,
        prefill: phase(true),
        decode: phase(false),
        reason: (!explained)
            .then(|| format!("the fit explains {r_squared:.2} of the held-out half, not 0.80")),
        coefficients: coefficients(&fitted, &resampled),
        held_out_r_squared: r_squared,
        held_out_relative_error: relative_error,
        closure: 0.0,
        requests: Vec::new(),
    };
    share_out(&mut attribution, &intervals, &fitted, idle);
    Ok(attribution)
}

fn intervals(
    series: &Series,
    window: Window,
    idle: Watts,
    steps: &[Step],
) -> Result<(Window, Vec<Interval>), AttributionError> {
    let curve = Curve::around(series, window, MARGIN);
    let end = curve.seconds(window.end_ns);
    let first = curve.time.partition_point(|&t| t < 0.0);
    let last = curve.time.partition_point(|&t| t <= end);
    if last < first + 2 {
        return Err(AttributionError::TooShort { found: 0 });
    }
    curve.sound(first, last - 1).map_err(|_| AttributionError::Faulty)?;
    let edges = edges(&curve.time[first..last]);
    let times: Vec<u64> = edges.iter().map(|i| curve.at_ns(first + i)).collect();
    let intervals = between(&times, steps).into_iter().enumerate().map(|(n, works)| {
        let (from, to) = (first + edges[n], first + edges[n + 1]);
        let seconds = curve.time[to] - curve.time[from];
        let mut row = Row::default();
        for work in &works {
            for (sum, x) in row.iter_mut().zip(work.row) {
                *sum += x;
            }
        }
        let energy = curve.energy[to] - curve.energy[from];
        let block = block_of(curve.time[from] - curve.time[first]);
        Interval { block, seconds, dynamic: energy - idle.get() * seconds, row, works }
    });
    let bounds = Window { begin_ns: times[0], end_ns: times[times.len() - 1] };
    Ok((bounds, intervals.collect()))
}

/// The publications between which energy is explained: [`SPAN`] apart, the last one included.
fn edges(seconds: &[f64]) -> Vec<usize> {
    let mut edges = vec![0];
    let mut since = 0;
    for (i, at) in seconds.iter().enumerate().skip(1) {
        if at - seconds[since] >= SPAN {
            edges.push(i);
            since = i;
        }
    }
    match edges.as_mut_slice() {
        // What is left over joins the interval before it.
        [_, .., end] => *end = seconds.len() - 1,
        _ => edges.push(seconds.len() - 1),
    }
    edges
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "windows begin at zero and last hours at most"
)]
fn block_of(seconds: f64) -> usize {
    (seconds / BLOCK) as usize
}

fn blocks(intervals: &[Interval]) -> Vec<Products> {
    let mut blocks: Vec<Products> = Vec::new();
    for interval in intervals {
        blocks.resize(blocks.len().max(interval.block + 1), Products::default());
        blocks[interval.block].add(&interval.row, interval.dynamic);
    }
    blocks
}

fn sum<'a>(blocks: impl Iterator<Item = &'a Products>) -> Products {
    let mut all = Products::default();
    blocks.for_each(|block| all.merge(block));
    all
}

/// Fits the even blocks and tests on the odd ones.
fn held_out(intervals: &[Interval], blocks: &[Products]) -> (f64, f64) {
    let fitted = sum(blocks.iter().step_by(2)).solve();
    let odd: Vec<&Interval> = intervals.iter().filter(|i| i.block % 2 == 1).collect();
    let mean = odd.iter().map(|i| i.dynamic).sum::<f64>() / length(odd.len());
    let spread: f64 = odd.iter().map(|i| (i.dynamic - mean).powi(2)).sum();
    let left: f64 = odd.iter().map(|i| (i.dynamic - predict(&i.row, &fitted)).powi(2)).sum();
    (1.0 - left / spread, (left / length(odd.len())).sqrt() / mean.abs())
}

fn resample(blocks: &[Products], seed: u64) -> Vec<Row> {
    let mut state = seed;
    let mut draw = || {
        // splitmix64: a full-period sequence that needs no state but a number.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let count = u64::try_from(blocks.len()).expect("usize is at most 64 bits here");
        usize::try_from((z ^ (z >> 31)) % count).expect("it is below a usize")
    };
    (0..RESAMPLES).map(|_| sum((0..blocks.len()).map(|_| &blocks[draw()])).solve()).collect()
}

/// The middle 95 % of values.
fn central(mut values: Vec<f64>) -> [Joules; 2] {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 40;
    [values[cut], values[values.len() - 1 - cut]].map(Joules::new)
}

fn coefficients(fitted: &Row, resampled: &[Row]) -> Vec<Coefficient> {
    let one = |(k, name): (usize, &&str)| Coefficient {
        name: (*name).to_owned(),
        energy_joules: Joules::new(fitted[k]),
        interval_joules: central(resampled.iter().map(|row| row[k]).collect()),
    };
    NAMES.iter().enumerate().map(one).collect()
}

/// The parts of a fitted value that are prefill's and decode's; time is shared in their proportion.
fn parts(row: &Row, coefficients: &Row) -> (f64, f64) {
    let term = |k: usize| row[k] * coefficients[k];
    let prefill: f64 = PREFILL.iter().map(|&k| term(k)).sum();
    let decode: f64 = (PREFILL.len()..WIDTH - 1).map(term).sum();
    (prefill, decode)
}

fn phase_energy(intervals: &[Interval], coefficients: &Row, prefill: bool) -> f64 {
    let one = |interval: &Interval| {
        let (first, second) = parts(&interval.row, coefficients);
        let both = first + second;
        let own = if prefill { first } else { second };
        if both > 0.0 { interval.dynamic * own / both } else { 0.0 }
    };
    intervals.iter().map(one).sum()
}

/// Gives each interval's energy to its requests in proportion to their fitted work.
fn share_out(attribution: &mut Attribution, intervals: &[Interval], fitted: &Row, idle: Watts) {
    let most = intervals.iter().flat_map(|i| &i.works).map(|work| work.request + 1).max();
    let mut requests = vec![RequestEnergy::default(); most.unwrap_or(0)];
    let (mut unattributed, mut unused) = (0.0, 0.0);
    for interval in intervals {
        let total = predict(&interval.row, fitted);
        let residence = interval.row[WIDTH - 1];
        let still = idle.get() * interval.seconds;
        if total <= 0.0 {
            unattributed += interval.dynamic;
        }
        if residence <= 0.0 {
            unused += still;
        }
        for work in &interval.works {
            let request = &mut requests[work.request];
            if total > 0.0 {
                let part = predict(&work.row, fitted) / total;
                request.dynamic_joules += Joules::new(interval.dynamic * part);
            }
            if residence > 0.0 {
                request.static_joules += Joules::new(still * work.row[WIDTH - 1] / residence);
            }
        }
    }
    let given: Joules = requests.iter().map(|r| r.dynamic_joules + r.static_joules).sum();
    let sum = given + Joules::new(unattributed + unused);
    attribution.closure = (sum - attribution.energy_joules) / attribution.energy_joules;
    attribution.unattributed_joules = Joules::new(unattributed);
    attribution.requests = requests;
}
