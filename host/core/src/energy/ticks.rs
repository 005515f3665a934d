//! The counter as a curve of energy over time, and the two estimators that need nothing else:
//! tick-bounded windows and guard-banded windows.
//!
//! Nothing is corrected here: a curve that cannot be used is refused with the reason.

use super::{
    Component, Flag, Instrument, Method, Series, Window,
    budget::{LAG_HALF_WIDTH, rectangular},
    check::Unusable,
    clockwork::place,
};
use crate::units::{Seconds, length};

/// Fewest publications of a window that is not called short.
const FULL_WINDOW_TICKS: usize = 50;
/// Period assumed where there is nothing to take it from.
const DEFAULT_PERIOD: f64 = 0.1;
/// Badly placed publications that are passed over at a window's edge.
const MOST_SKIPPED: usize = 3;
/// Fewest publications of a guard.
const FEWEST_IDLE: usize = 5;
/// How far around a window publications help to place each other, in seconds.
pub(super) const MARGIN: f64 = 2.5;

/// An energy with what led to it, before it is judged.
pub(super) struct Estimate {
    pub(super) method: Method,
    pub(super) joules: f64,
    pub(super) window: Window,
    pub(super) ticks: usize,
    pub(super) components: Vec<Component>,
    pub(super) flags: Vec<Flag>,
}

/// The publications near a window: seconds from its begin, joules from the first, time uncertainties.
pub(super) struct Curve<'a> {
    series: &'a Series,
    origin_ns: u64,
    pub(super) time: Vec<f64>,
    pub(super) energy: Vec<f64>,
    standard: Vec<f64>,
    /// Latest time by which each was certainly published, and earliest.
    bounds: Vec<(f64, f64)>,
    pub(super) period: f64,
}

impl<'a> Curve<'a> {
    /// The publications from `margin` seconds before the window to as long after it.
    pub(super) fn around(series: &'a Series, window: Window, margin: f64) -> Self {
        let origin_ns = window.begin_ns;
        let time_of = |ns: u64| Seconds::between(origin_ns, ns).get();
        let ticks = &series.ticks;
        let end = time_of(window.end_ns) + margin;
        let first = ticks.hi_ns.partition_point(|&ns| time_of(ns) < -margin);
        let last = ticks.lo_ns.partition_point(|&ns| time_of(ns) <= end).max(first);
        let unit = series.calibration.joules_per_count;
        let bounds: Vec<(f64, f64)> =
            (first..last).map(|i| (time_of(ticks.lo_ns[i]), time_of(ticks.hi_ns[i]))).collect();
        let mids: Vec<f64> = bounds.iter().map(|b| f64::midpoint(b.0, b.1)).collect();
        let halves: Vec<f64> = bounds.iter().map(|b| (b.1 - b.0) / 2.0).collect();
        let period = series.calibration.period_seconds.map(Seconds::get);
        let placed = place(&mids, &halves, period);
        Self {
            series,
            origin_ns,
            time: placed.iter().map(|p| p.time).collect(),
            standard: placed.iter().map(|p| p.standard).collect(),
            energy: (first..last).map(|i| ticks.energy(first, i, unit).get()).collect(),
            bounds,
            period: period.unwrap_or_else(|| typical_step(&mids)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.time.len()
    }

    /// The monotonic time of a publication.
    pub(super) fn at_ns(&self, index: usize) -> u64 {
        after(self.origin_ns, self.time[index])
    }

    pub(super) fn seconds(&self, ns: u64) -> f64 {
        Seconds::between(self.origin_ns, ns).get()
    }

    /// Mean power between two publications.
    pub(super) fn power(&self, from: usize, to: usize) -> f64 {
        (self.energy[to] - self.energy[from]) / (self.time[to] - self.time[from])
    }

    /// Mean power over about `span` seconds around a publication, for timing errors.
    pub(super) fn power_near(&self, index: usize, span: f64) -> f64 {
        let centre = self.time[index];
        let from = self.time.partition_point(|&t| t < centre - span / 2.0);
        let to = self.time.partition_point(|&t| t <= centre + span / 2.0) - 1;
        match (from < to, index) {
            (true, _) => self.power(from, to),
            (false, 0) if self.len() > 1 => self.power(0, 1),
            (false, 0) => 0.0,
            (false, _) => self.power(index - 1, index),
        }
    }

    /// Refuses what no estimator may use between two publications.
    pub(super) fn sound(&self, from: usize, to: usize) -> Result<(), Unusable> {
        if self.energy[from..=to].windows(2).any(|pair| pair[1] < pair[0]) {
            return Err(Unusable::Decreased);
        }
        if (from + 1..=to).any(|i| self.stood_before(i)) {
            return Err(Unusable::Stuck);
        }
        // A counter that is read at regular times has a tick for each read, also where it stands still; processor time
        // may do so.
        if self.series.device.instrument == Instrument::CpuTime {
            return Ok(());
        }
        let mut since = from;
        for i in from..=to {
            if self.energy[i] > self.energy[since] {
                since = i;
            } else if self.time[i] - self.time[since] > self.still() {
                return Err(Unusable::Stuck);
            }
        }
        Ok(())
    }

    /// Whether the counter was seen to stand still for too long before a publication. That nobody looked is nothing of
    /// the kind: it counts on while its reader is kept from its work.
    fn stood_before(&self, index: usize) -> bool {
        let seen = match self.series.device.instrument {
            // The value before was read again and again, the last time at the lower bound.
            Instrument::Nvml => self.bounds[index].0 - self.bounds[index - 1].1,
            Instrument::RaplPerf | Instrument::RaplPowercap | Instrument::CpuTime => {
                self.time[index] - self.time[index - 1]
            }
        };
        seen > self.still()
    }

    /// How long a counter may stand still before it counts as stuck.
    pub(super) fn still(&self) -> f64 {
        (5.0 * self.period).max(0.5)
    }

    /// The component of misplaced edges: uncertainties of their times and the powers there.
    pub(super) fn edges(&self, from: usize, to: usize, powers: (f64, f64)) -> Component {
        let begin = self.standard[from] * powers.0;
        let end = self.standard[to] * powers.1;
        Component::type_b("edge_time", begin.hypot(end))
    }

    /// The first of some publications that is placed in time as well as most are, if one of the first few
    /// is; otherwise the first.
    fn well_placed(&self, mut places: impl Iterator<Item = usize> + Clone) -> usize {
        let mut sorted = self.standard.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = 1.5 * sorted[sorted.len() / 2];
        let first = places.clone().next().expect("the caller has publications");
        places.by_ref().take(MOST_SKIPPED).find(|&i| self.standard[i] <= usual).unwrap_or(first)
    }

    fn resolution(&self) -> Component {
        let unit = self.series.calibration.joules_per_count;
        Component::type_b("resolution", unit / 12.0_f64.sqrt() * 2.0_f64.sqrt())
    }

    fn estimate(&self, method: Method, joules: f64, from: usize, to: usize) -> Estimate {
        let mut flags = Vec::new();
        if to - from < FULL_WINDOW_TICKS {
            flags.push(Flag::ShortWindow);
        }
        if [from, to].iter().any(|&edge| self.standard[edge] > 0.05 * self.period) {
            flags.push(Flag::SlowReads);
        }
        let window = Window { begin_ns: self.at_ns(from), end_ns: self.at_ns(to) };
        let components = vec![self.resolution()];
        Estimate { method, joules, window, ticks: to - from, components, flags }
    }
}

/// Energy between the first publication at or after the window's begin and the last one at or before
/// its end; those two become the window.
pub(super) fn tick_bounded(curve: &Curve<'_>, wanted: Window) -> Result<Estimate, Unusable> {
    let (begin, end) = (curve.seconds(wanted.begin_ns), curve.seconds(wanted.end_ns));
    let from = curve.time.partition_point(|&t| t < begin);
    let to = curve.time.partition_point(|&t| t <= end);
    if to < from + 2 {
        return Err(Unusable::NoTicks);
    }
    let from = curve.well_placed(from..to);
    let to = curve.well_placed((from + 1..to).rev());
    let late = curve.time[from] - begin > curve.still();
    let early = end - curve.time[to] > curve.still();
    if late && (from == 0 || curve.stood_before(from))
        || early && (to + 1 == curve.len() || curve.stood_before(to + 1))
    {
        return Err(Unusable::Stuck);
    }
    curve.sound(from, to)?;
    let joules = curve.energy[to] - curve.energy[from];
    let mut estimate = curve.estimate(Method::CounterTicks, joules, from, to);
    let powers = (curve.power_near(from, 1.0), curve.power_near(to, 1.0));
    estimate.components.push(curve.edges(from, to, powers));
    let lag = rectangular(LAG_HALF_WIDTH) * (powers.1 - powers.0);
    estimate.components.push(Component::type_b("publication_lag", lag));
    Ok(estimate)
}

/// Energy between the idle guards before and after the window: each guard's publications are fitted by
/// a line that is continued to the window's edge, so timing errors meet idle power only.
pub(super) fn guard_banded(curve: &Curve<'_>, wanted: Window) -> Result<Estimate, Unusable> {
    let (begin, end) = (curve.seconds(wanted.begin_ns), curve.seconds(wanted.end_ns));
    let tail = end + 2.0 * curve.period;
    let span = guard_length(curve.period) + curve.period;
    // What may have been published after the begin, or before the tail's end, is no guard.
    let first = curve.time.partition_point(|&t| t < begin - span);
    let from = curve.bounds.partition_point(|bounds| bounds.1 <= begin);
    let to = curve.bounds.partition_point(|bounds| bounds.0 < tail);
    let last = curve.time.partition_point(|&t| t <= tail + span);
    if from < first + FEWEST_IDLE || last < to + FEWEST_IDLE {
        return Err(Unusable::NoGuard);
    }
    curve.sound(first, last - 1)?;
    let (before, after) = (curve.line(first..from, begin), curve.line(to..last, end));
    let joules = after.energy - before.energy;
    let mut estimate = curve.estimate(Method::CounterGuard, joules, from - 1, to);
    estimate.window = wanted;
    // Every publication of the guards was used, so neither their number nor one slow read matters.
    estimate.flags.clear();
    estimate.components.push(Component::type_a("guard_fit", before.standard.hypot(after.standard)));
    let lag = rectangular(LAG_HALF_WIDTH) * (after.power - before.power);
    estimate.components.push(Component::type_b("publication_lag", lag));
    Ok(estimate)
}

/// The median distance of publications.
fn typical_step(times: &[f64]) -> f64 {
    let mut steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or(DEFAULT_PERIOD)
}

/// A guard's line at a window's edge.
struct Guard {
    energy: f64,
    power: f64,
    standard: f64,
}

impl Curve<'_> {
    /// Fits a line through publications, each as certain as its time, and continues it to a time.
    fn line(&self, range: std::ops::Range<usize>, at: f64) -> Guard {
        let weight = |i: usize| self.standard[i].powi(-2);
        let total: f64 = range.clone().map(weight).sum();
        let mean = |value: &dyn Fn(usize) -> f64| {
            range.clone().map(|i| weight(i) * value(i)).sum::<f64>() / total
        };
        let (centre, middle) = (mean(&|i| self.time[i]), mean(&|i| self.energy[i]));
        let square = mean(&|i| (self.time[i] - centre).powi(2));
        let power = mean(&|i| (self.time[i] - centre) * (self.energy[i] - middle)) / square;
        let residual = |i: usize| self.energy[i] - middle - power * (self.time[i] - centre);
        let freedom = length(range.len()) - 2.0;
        // Scatter of the publications around the line, or what their times allow, whichever is more.
        let scatter = mean(&|i| residual(i).powi(2)) * length(range.len()) / freedom;
        let allowed = (power * power * length(range.len()) / total).max(scatter);
        let reach = at - centre;
        let variance = allowed / length(range.len()) * (1.0 + reach * reach / square);
        Guard { energy: middle + power * reach, power, standard: variance.sqrt() }
    }
}

/// How long the device must be idle on each side of an isolated window.
pub(super) fn guard_length(period: f64) -> f64 {
    (10.0 * period).max(1.0)
}

/// A time some seconds after, or before, another.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "windows last hours at most, so nanoseconds fit"
)]
fn after(origin_ns: u64, seconds: f64) -> u64 {
    let distance = (seconds.abs() * 1e9).round() as u64;
    if seconds < 0.0 { origin_ns.saturating_sub(distance) } else { origin_ns + distance }
}
