//! Judgement: do the instruments agree, and is the figure plausible?
//!
//! A check never changes a figure; it says whether the figure may be ranked, and why not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    EnergyReading, Flag, IncidentKind, Method, Mode, Series, Window, power,
    ticks::{Curve, Estimate},
};
use crate::units::{Joules, Seconds, Watts, length};

/// Largest disagreement of counter and samples that is no finding, relative.
const AGREEMENT: f64 = 0.01;
/// Disagreement from which one of the two must be wrong, relative.
const SUSPECT: f64 = 0.05;
/// Window from which a suspicious disagreement needs no comparison with its uncertainty.
const LONG_WINDOW: f64 = 10.0;
/// Share of the power limit above which a mean over a second is implausible.
const OVER_LIMIT: f64 = 1.15;
/// Share of another reading of the same window below which a mean is implausible.
pub(super) const IMPLAUSIBLY_LOW: f64 = 0.3;

/// Why an estimator cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unusable {
    #[error("the counter went back in the window: the device or its driver was reset")]
    Decreased,
    #[error("the counter stood still for more than five of its periods")]
    Stuck,
    #[error("the window holds fewer than two publications of the counter")]
    NoTicks,
    #[error("the recording has too few idle publications before or after the window")]
    NoGuard,
    #[error("the recorded power values do not cover the window")]
    NotCovered,
}

/// Whether a figure may be ranked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    #[default]
    Valid,
    /// It is published with what speaks against it, and is not ranked.
    Suspect,
    /// It is no figure.
    Invalid,
}

/// The same window by other instruments.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Checks {
    /// Energy by the counter, also where it could not be used for the figure.
    pub counter_joules: Option<Joules>,
    /// Energy by the driver's samples.
    pub samples_joules: Option<Joules>,
    /// (counter - samples) / counter.
    pub samples_discrepancy: Option<f64>,
    /// Energy by the driver's averaged power.
    pub average_joules: Option<Joules>,
    /// (counter - average) / counter.
    pub average_discrepancy: Option<f64>,
    /// Energy by the driver's instant power; stored, and never judged.
    pub instant_joules: Option<Joules>,
    /// Highest temperature of the chip in the window.
    pub highest_temperature_celsius: Option<u32>,
}

/// Compares the estimate with the other instruments and flags what differs.
pub(super) fn cross_check(reading: &mut EnergyReading, series: &Series, mode: Mode) {
    let Some(energy) = reading.energy_joules.map(Joules::get) else { return };
    let window = reading.window;
    let samples = power::samples(series, window).ok();
    let average = power::average(series, window, mode).ok();
    let relative = |other: &Estimate| (energy - other.joules) / energy;
    let checks = &mut reading.checks;
    checks.samples_joules = samples.as_ref().map(|s| Joules::new(s.joules));
    checks.average_joules = average.as_ref().map(|a| Joules::new(a.joules));
    checks.instant_joules = power::instant(series, window).map(Joules::new);
    if !matches!(reading.method, Some(Method::Samples | Method::AveragePower)) {
        checks.counter_joules = Some(Joules::new(energy));
        checks.samples_discrepancy = samples.as_ref().map(relative);
        checks.average_discrepancy = average.as_ref().map(relative);
    }
    let by_counter = reading.checks.counter_joules.is_some();
    match samples.or(average) {
        Some(other) if by_counter => judge(reading, &other),
        _ => reading.flag(Flag::NotCrossChecked),
    }
    let instant = reading.checks.instant_joules.map(Joules::get);
    if instant.is_some_and(|instant| instant < IMPLAUSIBLY_LOW * energy) {
        reading.flag(Flag::InstantImplausible);
    }
}

fn judge(reading: &mut EnergyReading, other: &Estimate) {
    let energy = reading.energy_joules.map_or(0.0, Joules::get);
    let difference = (energy - other.joules).abs();
    let own = reading.uncertainty.as_ref().map_or(0.0, |u| u.compare_joules.get());
    let theirs =
        other.components.iter().map(|c| c.standard_joules.get().powi(2)).sum::<f64>().sqrt();
    let u = own.hypot(theirs);
    let long = reading.window.duration().get() >= LONG_WINDOW;
    if difference > SUSPECT * energy && (long || difference > 3.0 * u) {
        reading.flag(Flag::InstrumentSuspect);
        reading.verdict = reading.verdict.max(Verdict::Suspect);
    } else if difference > (AGREEMENT * energy).max(2.0 * u) {
        reading.flag(Flag::InstrumentDiscrepancy);
    }
}

/// Flags a mean power that the device cannot have had.
pub(super) fn plausible(reading: &mut EnergyReading, series: &Series) {
    let window = reading.window;
    if let Some(limit) = series.device.power_limit_watts {
        let curve = Curve::around(series, window, 0.0);
        let mean = reading.average_power_watts.map_or(0.0, Watts::get);
        let long = window.duration().get() >= 1.0;
        if second_means(&curve).chain(long.then_some(mean)).any(|p| p > OVER_LIMIT * limit.get()) {
            reading.flag(Flag::AboveLimit);
            reading.verdict = reading.verdict.max(Verdict::Suspect);
        }
    }
}

/// Mean power over every stretch of at least a second between publications.
fn second_means<'a>(curve: &'a Curve<'_>) -> impl Iterator<Item = f64> + 'a {
    (0..curve.len()).filter_map(|from| {
        let to = curve.time.partition_point(|&t| t < curve.time[from] + 1.0);
        (to < curve.len() && to > from).then(|| curve.power(from, to))
    })
}

/// Flags what happened to the device within the window.
pub(super) fn provenance(reading: &mut EnergyReading, series: &Series) {
    for (kind, flag) in [
        (IncidentKind::TicksMissed, Flag::TicksMissed),
        (IncidentKind::Overrun, Flag::Overrun),
        (IncidentKind::ClockStepped, Flag::ClockStepped),
        (IncidentKind::SubjectChanged, Flag::SubjectChanged),
    ] {
        if happened(series, kind, reading.window) {
            reading.flag(flag);
        }
    }
    let rows = rows(&series.slow.at_ns, reading.window, 1.1);
    if series.slow.foreign_processes[rows].iter().flatten().any(|&count| count > 0) {
        reading.flag(Flag::ForeignProcess);
        reading.verdict = reading.verdict.max(Verdict::Suspect);
    }
    let device = &series.device;
    if device.default_power_limit_watts.is_some_and(|d| device.power_limit_watts != Some(d)) {
        reading.flag(Flag::LimitNotDefault);
    }
    if device.facts.get("mig_mode").is_some_and(|mode| mode == "enabled") {
        reading.flag(Flag::MigParent);
    }
    let missing = |name: &str| series.calibration.support.get(name) == Some(&false);
    if ["samples", "average", "violations"].iter().any(|name| missing(name)) {
        reading.flag(Flag::PartialSupport);
    }
    let span = rows_of_lane(series, reading.window);
    let hottest = series.lane.temperature_celsius[span].iter().flatten().max().copied();
    reading.checks.highest_temperature_celsius = hottest;
}

/// Whether an incident of this kind lies in the window, or so soon after it that the fault itself may.
pub(super) fn happened(series: &Series, kind: IncidentKind, window: Window) -> bool {
    series.incidents.iter().any(|incident| {
        incident.kind == kind
            && Seconds::between(window.begin_ns, incident.at_ns).get() >= 0.0
            && Seconds::between(window.end_ns, incident.at_ns).get() <= 0.5
    })
}

/// Whether the device was lost by a window's end, or so soon after it that the loss may lie in it.
pub(super) fn is_lost(series: &Series, window: Window) -> bool {
    series.incidents.iter().any(|incident| {
        incident.kind == IncidentKind::DeviceLost
            && Seconds::between(window.end_ns, incident.at_ns).get() <= 0.5
    })
}

/// Flags a device that was busy in the guards around an isolated window.
pub(super) fn guards(reading: &mut EnergyReading, series: &Series, guard: f64) {
    let busy = |from: f64, to: f64| {
        let lane = &series.lane;
        let time = |ns: u64| Seconds::between(reading.window.begin_ns, ns).get();
        let first = lane.at_ns.partition_point(|&ns| time(ns) < from);
        let last = lane.at_ns.partition_point(|&ns| time(ns) <= to);
        let values = lane.utilization_percent[first..last.max(first)].iter().flatten();
        let (sum, count) = values.fold((0.0, 0_usize), |(s, n), &u| (s + f64::from(u), n + 1));
        count > 0 && sum / length(count) > 2.0
    };
    let end = reading.window.duration().get();
    // The driver's utilisation covers up to a second, so the first second after the end says nothing.
    if busy(-guard, 0.0) || busy(end + 1.0, end + 1.0 + guard) {
        reading.flag(Flag::GuardBusy);
    }
}

fn rows_of_lane(series: &Series, window: Window) -> std::ops::Range<usize> {
    rows(&series.lane.at_ns, window, 0.0)
}

/// The rows of a table from `margin` seconds before the window to as long after it.
pub(super) fn rows(at_ns: &[u64], window: Window, margin: f64) -> std::ops::Range<usize> {
    let first = at_ns.partition_point(|&ns| Seconds::between(window.begin_ns, ns).get() < -margin);
    let last = at_ns.partition_point(|&ns| Seconds::between(window.end_ns, ns).get() <= margin);
    first..last.max(first)
}
