//! Energy from power: the driver's samples, and its one-second average.
//!
//! Both serve to check the counter, and replace it only where there is none. Instant power is
//! integrated for the record alone: it is aliased, and nothing is judged by it.

use super::{Component, Flag, Method, Mode, Series, Window, budget::rectangular, check::Unusable};
use crate::units::{Seconds, Watts};

/// Half-width of what samples may miss, relative: the tolerance of the check against the counter.
const SAMPLES_HALF_WIDTH: f64 = 0.01;
/// Time over which recent drivers average their power.
const AVERAGE_SPAN: f64 = 1.0;
/// Longest time that one power value may stand for, in seconds.
const LONGEST_HOLD: f64 = 0.5;

use super::ticks::Estimate;

/// Sum of the driver's samples, each holding for the time up to its stamp.
pub(super) fn samples(series: &Series, window: Window) -> Result<Estimate, Unusable> {
    let points = Points::new(
        &series.samples.at_ns,
        series.samples.power_watts.iter().map(|&w| Some(w)),
        window,
    );
    let duration = window.duration().get();
    let hold = points.integral(0.0, duration)?;
    let edge = |t: f64| points.step_at(t);
    let components = vec![
        Component::type_b("sample_edges", edge(0.0).hypot(edge(duration)) / 12.0_f64.sqrt()),
        Component::type_b("sample_coverage", rectangular(SAMPLES_HALF_WIDTH * hold.joules)),
    ];
    let flags = Vec::new();
    let method = Method::Samples;
    Ok(Estimate { method, joules: hold.joules, window, ticks: hold.values, components, flags })
}

/// Sum of the averaged power, shifted by half of the averaging time; around an isolated window the
/// whole ramps are taken, and the idle halves that they contain are subtracted.
pub(super) fn average(series: &Series, window: Window, mode: Mode) -> Result<Estimate, Unusable> {
    let lane = &series.lane;
    let points = Points::new(&lane.at_ns, lane.average_power_watts.iter().copied(), window);
    let duration = window.duration().get();
    let half = AVERAGE_SPAN / 2.0;
    let ends = (points.value_at(0.0)?, points.value_at(duration + AVERAGE_SPAN + 0.2)?);
    let sum = match mode {
        Mode::Running => points.integral(half, duration + half)?,
        Mode::Isolated => points.integral(0.0, duration + AVERAGE_SPAN)?,
    };
    let (joules, edges) = match mode {
        Mode::Running => (sum.joules, half * (ends.1 - ends.0) / 3.0_f64.sqrt()),
        Mode::Isolated => (sum.joules - half * (ends.0 + ends.1), points.publication(duration)),
    };
    let components = vec![
        Component::type_b("average_edges", edges),
        Component::type_b("sample_coverage", rectangular(SAMPLES_HALF_WIDTH * joules)),
    ];
    let (method, ticks, flags) = (Method::AveragePower, sum.values, Vec::<Flag>::new());
    Ok(Estimate { method, joules, window, ticks, components, flags })
}

/// Sum of the instant power in joules, for the record only.
pub(super) fn instant(series: &Series, window: Window) -> Option<f64> {
    let lane = &series.lane;
    let points = Points::new(&lane.at_ns, lane.instant_power_watts.iter().copied(), window);
    points.integral(0.0, window.duration().get()).ok().map(|sum| sum.joules)
}

/// Power values by time, in seconds from the window's begin; each holds for the time up to it.
struct Points {
    time: Vec<f64>,
    watts: Vec<f64>,
}

struct Sum {
    joules: f64,
    values: usize,
}

impl Points {
    fn new(at_ns: &[u64], watts: impl Iterator<Item = Option<Watts>>, window: Window) -> Self {
        let time_of = |ns: u64| Seconds::between(window.begin_ns, ns).get();
        let pairs = at_ns.iter().zip(watts).filter_map(|(&ns, w)| Some((time_of(ns), w?.get())));
        let (time, watts) = pairs.unzip();
        Self { time, watts }
    }

    fn integral(&self, from: f64, to: f64) -> Result<Sum, Unusable> {
        let first = self.time.partition_point(|&t| t <= from);
        let last = self.time.partition_point(|&t| t < to);
        if first == 0 || last >= self.time.len() {
            return Err(Unusable::NotCovered);
        }
        let mut joules = 0.0;
        for k in first..=last {
            if self.time[k] - self.time[k - 1] > LONGEST_HOLD {
                return Err(Unusable::NotCovered);
            }
            let span = self.time[k].min(to) - self.time[k - 1].max(from);
            joules += self.watts[k] * span;
        }
        Ok(Sum { joules, values: last - first + 1 })
    }

    fn value_at(&self, at: f64) -> Result<f64, Unusable> {
        let index = self.time.partition_point(|&t| t < at);
        let index = index.min(self.time.len().checked_sub(1).ok_or(Unusable::NotCovered)?);
        if (self.time[index] - at).abs() > LONGEST_HOLD {
            return Err(Unusable::NotCovered);
        }
        Ok(self.watts[index])
    }

    /// Power range times step around a time: the most that a misplaced edge can cost.
    fn step_at(&self, at: f64) -> f64 {
        let index = self.time.partition_point(|&t| t < at).clamp(1, self.time.len().max(2) - 1);
        let near = &self.watts[index - 1..(index + 2).min(self.watts.len())];
        let low = near.iter().copied().fold(f64::INFINITY, f64::min);
        let high = near.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (high - low) * (self.time[index] - self.time[index - 1])
    }

    /// What half a publication of the average leaves open, from the largest step of the ramps.
    fn publication(&self, duration: f64) -> f64 {
        self.step_at(AVERAGE_SPAN / 2.0).hypot(self.step_at(duration + AVERAGE_SPAN / 2.0))
    }
}
