//! Idle power: its mean, whether it had settled, and what a window's energy is above it.
//!
//! Net energies may be negative and are never raised to zero: a floor would bias them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    EnergyReading, Flag, Series, Verdict, Window,
    check::{IMPLAUSIBLY_LOW, rows},
    regression::{line, quantile_95},
    ticks::Curve,
};
use crate::units::{Joules, Seconds, Watts, length};

/// Stretch over which a baseline must be stationary.
const SETTLED_SPAN: f64 = 20.0;
/// Largest slope of a settled baseline, relative to its mean, per second.
const SLOPE: f64 = 0.0005;
/// Largest slope that its confidence interval may include.
const SLOPE_BOUND: f64 = 0.001;
/// Largest relative difference of the two halves' means.
const HALVES: f64 = 0.005;
/// How many batches the mean's standard error is taken from.
const BATCHES: usize = 10;

/// Idle power of one device.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Baseline {
    /// The device.
    pub device: String,
    /// The interval that it was observed over.
    pub window: Window,
    /// Mean power.
    pub mean_power_watts: Watts,
    /// Standard error of the mean, from batch means.
    pub standard_error_watts: Watts,
    /// Slope of the power over the last twenty seconds, in watts per second.
    pub slope_watts_per_second: f64,
    /// 95 % interval of the slope, with autocorrelation allowed for (Newey-West, lag 10).
    pub slope_interval_watts_per_second: [f64; 2],
    /// Difference of the two halves' means, relative to the mean.
    pub halves_difference: f64,
    /// Mean temperature.
    pub mean_temperature_celsius: Option<f64>,
    /// Whether the power was stationary and the device idle.
    pub settled: bool,
    /// Why it counts as unsettled.
    pub unsettled: Vec<String>,
}

/// Why there is no baseline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BaselineError {
    /// Too few publications.
    #[error("a baseline of `{device}` needs at least 20 publications, found {found}")]
    TooShort {
        /// The device.
        device: String,
        /// How many there were.
        found: usize,
    },
    /// The counter said that there is none.
    #[error("`{device}` had no power during the baseline")]
    NoPower {
        /// The device.
        device: String,
    },
    /// The counter was faulty.
    #[error("the counter of `{device}` went back or stood still during the baseline")]
    Faulty {
        /// The device.
        device: String,
    },
}

/// Observes idle power over an interval in which the device has nothing to do.
pub fn baseline(series: &Series, window: Window) -> Result<Baseline, BaselineError> {
    let curve = Curve::around(series, window, 0.0);
    let device = series.device.id.clone();
    if curve.len() < 21 {
        return Err(BaselineError::TooShort { device, found: curve.len() });
    }
    let last = curve.len() - 1;
    if curve.sound(0, last).is_err() {
        return Err(BaselineError::Faulty { device });
    }
    let mean = curve.power(0, last);
    if !(mean > 0.0 && mean.is_finite()) {
        return Err(BaselineError::NoPower { device });
    }
    let start = curve.time.partition_point(|&t| t < curve.time[last] - SETTLED_SPAN).min(last - 20);
    let time: Vec<f64> =
        (start..last).map(|i| f64::midpoint(curve.time[i], curve.time[i + 1])).collect();
    let power: Vec<f64> = (start..last).map(|i| curve.power(i, i + 1)).collect();
    let fit = line(&time, &power, 10);
    let reach = quantile_95(time.len() - 2) * fit.slope_error;
    let middle = usize::midpoint(start, last);
    let halves = (curve.power(middle, last) - curve.power(start, middle)) / mean;
    let mut baseline = Baseline {
        device,
        window,
        mean_power_watts: Watts::new(mean),
        standard_error_watts: Watts::new(batch_error(&curve)),
        slope_watts_per_second: fit.slope,
        slope_interval_watts_per_second: [fit.slope - reach, fit.slope + reach],
        halves_difference: halves,
        mean_temperature_celsius: mean_temperature(series, window),
        settled: true,
        unsettled: Vec::new(),
    };
    baseline.unsettled = unrest(&baseline, series, curve.time[last] - curve.time[start]);
    baseline.settled = baseline.unsettled.is_empty();
    Ok(baseline)
}

fn unrest(baseline: &Baseline, series: &Series, span: f64) -> Vec<String> {
    let mean = baseline.mean_power_watts.get();
    let steep =
        baseline.slope_interval_watts_per_second.iter().map(|s| s.abs()).fold(0.0, f64::max);
    let lane = &series.lane;
    let rows_in = rows(&lane.at_ns, baseline.window, 0.0);
    let foreign = rows(&series.slow.at_ns, baseline.window, 0.0);
    let busy =
        lane.utilization_percent[rows_in.clone()].iter().flatten().filter(|&&u| u > 0).count();
    let constant = |column: &[Option<u32>]| steady_share(&column[rows_in.clone()]) >= 0.95;
    let tests = [
        (span < SETTLED_SPAN - 0.5, format!("it covers {span:.1} s, not 20 s")),
        (
            baseline.slope_watts_per_second.abs() > SLOPE * mean || steep > SLOPE_BOUND * mean,
            format!("its power drifts by {:.3} W/s", baseline.slope_watts_per_second),
        ),
        (
            baseline.halves_difference.abs() > HALVES,
            format!("its halves differ by {:.2} %", 100.0 * baseline.halves_difference),
        ),
        (length(busy) > 0.05 * length(rows_in.len()), "the device was in use".to_owned()),
        (!constant(&lane.sm_clock_megahertz), "the clock changed".to_owned()),
        (!constant(&lane.performance_state), "the performance state changed".to_owned()),
        (
            series.slow.foreign_processes[foreign].iter().flatten().any(|&count| count > 0),
            "a foreign process used the device".to_owned(),
        ),
    ];
    tests.into_iter().filter(|(failed, _)| *failed).map(|(_, why)| why).collect()
}

/// Share of the most frequent value among those present.
fn steady_share(column: &[Option<u32>]) -> f64 {
    let mut values: Vec<u32> = column.iter().flatten().copied().collect();
    values.sort_unstable();
    let most = values.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
    most.map_or(1.0, |most| length(most) / length(values.len()))
}

fn batch_error(curve: &Curve<'_>) -> f64 {
    let last = curve.len() - 1;
    let cut = |k: usize| k * last / BATCHES;
    let means: Vec<f64> = (0..BATCHES).map(|k| curve.power(cut(k), cut(k + 1))).collect();
    let mean = means.iter().sum::<f64>() / length(BATCHES);
    let squares: f64 = means.iter().map(|m| (m - mean).powi(2)).sum();
    (squares / length(BATCHES - 1) / length(BATCHES)).sqrt()
}

fn mean_temperature(series: &Series, window: Window) -> Option<f64> {
    let span = rows(&series.lane.at_ns, window, 0.0);
    let values: Vec<f64> =
        series.lane.temperature_celsius[span].iter().flatten().map(|&t| f64::from(t)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / length(values.len()))
}

/// The baselines of one device around a window.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Baselines {
    /// Without any context on the device.
    pub bare: Option<Baseline>,
    /// With the engine loaded and no requests, before the window.
    pub context_before: Option<Baseline>,
    /// The same after the window.
    pub context_after: Option<Baseline>,
}

/// Energy above a baseline.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct NetEnergy {
    /// Gross energy less the baseline's; may be negative.
    pub energy_joules: Joules,
    /// The power that was subtracted, at the window's middle.
    pub baseline_power_watts: Watts,
    /// Standard uncertainty for comparisons on the same device.
    pub compare_joules: Joules,
    /// Energy ± 2 `compare_joules`.
    pub compare_interval_joules: [Joules; 2],
    /// Change of the baseline from before to after; absent where only one was observed.
    pub drift_watts: Option<Watts>,
    /// Whether every baseline used had settled.
    pub settled: bool,
}

impl EnergyReading {
    /// Adds the net energies that the baselines of this device allow.
    #[must_use]
    pub fn above(mut self, baselines: &Baselines) -> Self {
        let context = (baselines.context_before.as_ref(), baselines.context_after.as_ref());
        self.net_context = match context {
            (Some(before), after) => net(&self, before, after),
            (None, Some(after)) => net(&self, after, None),
            (None, None) => None,
        };
        self.net_bare = baselines.bare.as_ref().and_then(|bare| net(&self, bare, None));
        let all = [&baselines.bare, &baselines.context_before, &baselines.context_after];
        let idle = all.into_iter().flatten().map(|b| b.mean_power_watts.get());
        let lowest = idle.fold(f64::INFINITY, f64::min);
        let mean = self.average_power_watts.map_or(f64::INFINITY, Watts::get);
        if mean < IMPLAUSIBLY_LOW * lowest && lowest.is_finite() {
            self.flag(Flag::BelowIdle);
            self.verdict = self.verdict.max(Verdict::Suspect);
        }
        self
    }
}

fn net(reading: &EnergyReading, before: &Baseline, after: Option<&Baseline>) -> Option<NetEnergy> {
    let gross = reading.energy_joules?;
    let duration = reading.window.duration();
    let centre = |window: Window| window.begin_ns.midpoint(window.end_ns);
    let drift = after.map(|after| after.mean_power_watts - before.mean_power_watts);
    let power = after.zip(drift).map_or(before.mean_power_watts, |(after, drift)| {
        // Idle power changes linearly from one baseline to the other.
        let whole = Seconds::between(centre(before.window), centre(after.window));
        let part = Seconds::between(centre(before.window), centre(reading.window));
        before.mean_power_watts + drift * (part / whole)
    });
    let errors = [Some(before), after].into_iter().flatten().map(|b| b.standard_error_watts.get());
    let mean_error =
        errors.map(|e| e * e).sum::<f64>().sqrt() / if after.is_some() { 2.0 } else { 1.0 };
    let drift_error = match drift {
        Some(drift) => drift.get() / 12.0_f64.sqrt(),
        // One baseline says nothing about drift; its own slope over the window bounds it.
        None => before.slope_watts_per_second * duration.get() / 12.0_f64.sqrt(),
    };
    let own = reading.uncertainty.as_ref()?.compare_joules.get();
    let u = Joules::new(own.hypot(mean_error.hypot(drift_error) * duration.get()));
    let energy = gross - power * duration;
    Some(NetEnergy {
        energy_joules: energy,
        baseline_power_watts: power,
        compare_joules: u,
        compare_interval_joules: [energy - u * 2.0, energy + u * 2.0],
        drift_watts: drift,
        settled: before.settled && after.is_none_or(|after| after.settled),
    })
}
