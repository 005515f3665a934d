//! The counter as a curve of energy over time, and the two estimators that need nothing else:
//! tick-bounded windows and guard-banded windows.
//!
//! Nothing is corrected here: a curve that cannot be used is refused with the reason.

use super::{
    Component, Flag, Method, Series, Window,
    budget::{LAG_HALF_WIDTH, rectangular},
    check::Unusable,
};
use crate::units::{Seconds, length};

/// Fewest publications of a window that is not called short.
const FULL_WINDOW_TICKS: usize = 50;
/// Period assumed where the calibration has none.
const DEFAULT_PERIOD: f64 = 0.1;

/// An energy with what led to it, before it is judged.
pub(super) struct Estimate {
    pub(super) method: Method,
    pub(super) joules: f64,
    pub(super) window: Window,
    pub(super) ticks: usize,
    pub(super) components: Vec<Component>,
    pub(super) flags: Vec<Flag>,
}

/// The publications near a window: seconds from an origin, joules from the first, half brackets.
pub(super) struct Curve<'a> {
    series: &'a Series,
    origin_ns: u64,
    pub(super) first: usize,
    pub(super) time: Vec<f64>,
    pub(super) energy: Vec<f64>,
    pub(super) half: Vec<f64>,
    pub(super) period: f64,
}

impl<'a> Curve<'a> {
    /// The publications from `before` seconds before the window to `after` seconds after it.
    pub(super) fn around(series: &'a Series, window: Window, before: f64, after: f64) -> Self {
        let origin_ns = window.begin_ns;
        let time_of = |ns: u64| Seconds::between(origin_ns, ns).get();
        let ticks = &series.ticks;
        let end = time_of(window.end_ns) + after;
        let first = ticks.hi_ns.partition_point(|&ns| time_of(ns) < -before);
        let last = ticks.lo_ns.partition_point(|&ns| time_of(ns) <= end).max(first);
        let unit = series.calibration.joules_per_count;
        Self {
            series,
            origin_ns,
            first,
            time: (first..last).map(|i| time_of(ticks.mid_ns(i))).collect(),
            energy: (first..last).map(|i| ticks.energy(first, i, unit).get()).collect(),
            half: (first..last).map(|i| ticks.half_width(i).get()).collect(),
            period: series.calibration.period_seconds.map_or(DEFAULT_PERIOD, Seconds::get),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.time.len()
    }

    /// The monotonic time of a publication.
    pub(super) fn at_ns(&self, index: usize) -> u64 {
        self.series.ticks.mid_ns(self.first + index)
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
        if self.time[from..=to].windows(2).any(|pair| pair[1] - pair[0] > self.still()) {
            return Err(Unusable::Stuck);
        }
        Ok(())
    }

    /// How long a counter may stand still before it counts as stuck.
    pub(super) fn still(&self) -> f64 {
        (5.0 * self.period).max(0.5)
    }

    /// The component of misplaced edges: half brackets times the power there.
    pub(super) fn edges(&self, from: usize, to: usize, powers: (f64, f64)) -> Component {
        let begin = rectangular(self.half[from]) * powers.0;
        let end = rectangular(self.half[to]) * powers.1;
        Component::type_b("edge_time", begin.hypot(end))
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
        if [from, to].iter().any(|&edge| self.half[edge] > 0.25 * self.period.max(0.02)) {
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
    let to = to - 1;
    if curve.time[from] - begin > curve.still() || end - curve.time[to] > curve.still() {
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

/// Energy between a publication in the idle guard before the window and one in the guard after it,
/// less what the guards themselves took: timing errors meet idle power only.
pub(super) fn guard_banded(curve: &Curve<'_>, wanted: Window) -> Result<Estimate, Unusable> {
    let (begin, end) = (curve.seconds(wanted.begin_ns), curve.seconds(wanted.end_ns));
    let tail = end + 2.0 * curve.period;
    let certain = |i: &usize| curve.time[*i] + curve.half[*i] <= begin;
    let from = (0..curve.len()).rev().find(certain).ok_or(Unusable::NoGuard)?;
    let to = (from..curve.len())
        .find(|&i| curve.time[i] - curve.half[i] >= tail)
        .ok_or(Unusable::NoGuard)?;
    if begin - curve.time[from] > curve.still() || curve.time[to] - tail > curve.still() {
        return Err(Unusable::Stuck);
    }
    curve.sound(from, to)?;
    let guard = guard_length(curve.period);
    let first = curve.time.partition_point(|&t| t < begin - guard - curve.period);
    let last = curve.time.partition_point(|&t| t <= tail + guard + curve.period) - 1;
    let (before, after) = (slope(curve, first, from)?, slope(curve, to, last)?);
    let (lead, trail) = (begin - curve.time[from], curve.time[to] - end);
    let joules = curve.energy[to] - curve.energy[from] - before.0 * lead - after.0 * trail;
    let mut estimate = curve.estimate(Method::CounterGuard, joules, from, to);
    estimate.window = wanted;
    estimate.components.push(curve.edges(from, to, (before.0, after.0)));
    estimate
        .components
        .push(Component::type_a("guard_power", (before.1 * lead).hypot(after.1 * trail)));
    let lag = rectangular(LAG_HALF_WIDTH) * (after.0 - before.0);
    estimate.components.push(Component::type_b("publication_lag", lag));
    Ok(estimate)
}

/// How long the device must be idle on each side of an isolated window.
pub(super) fn guard_length(period: f64) -> f64 {
    (10.0 * period).max(1.0)
}

/// Mean power over a guard and its standard error.
fn slope(curve: &Curve<'_>, from: usize, to: usize) -> Result<(f64, f64), Unusable> {
    if to < from + 4 {
        return Err(Unusable::NoGuard);
    }
    curve.sound(from, to)?;
    let mean = curve.power(from, to);
    let squares: f64 = (from..to).map(|i| (curve.power(i, i + 1) - mean).powi(2)).sum();
    let count = length(to - from);
    Ok((mean, (squares / (count - 1.0) / count).sqrt()))
}
