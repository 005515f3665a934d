//! What an engine says of itself while it serves: readings of its metrics page, and what they come to in a window.
//!
//! Fetches nothing and knows no engine's series: the plugin said what each target means.

mod held;
mod timeline;

pub use held::{Held, held};
pub use timeline::{Interval, timeline};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{backend::SeriesKind, latency::Window, units::whole};

/// One reading of a metrics page.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Reading {
    /// When the request was sent, nanoseconds.
    pub asked_ns: u64,
    /// When the answer was there, nanoseconds.
    pub at_ns: u64,
    /// Values by target; absent where the page lacks the series.
    pub values: BTreeMap<String, f64>,
}

impl Reading {
    /// The best single estimate of when the values held: the middle of the exchange.
    pub fn mid_ns(&self) -> u64 {
        self.asked_ns.midpoint(self.at_ns)
    }
}

/// What a target means.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Target {
    /// Its name in results: `requests_running`.
    pub name: String,
    /// Its kind.
    pub kind: SeriesKind,
    /// Its unit, where it has one.
    pub unit: Option<String>,
}

/// What one target came to in a window. Counters and histograms are taken between the window's edges, read there or
/// interpolated between the nearest readings.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ServerFigure {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// Gauges: the mean over time. Histograms: the mean of the observations that the window added.
    pub mean: Option<f64>,
    /// Gauges: the least reading.
    pub least: Option<f64>,
    /// Gauges: the greatest reading.
    pub most: Option<f64>,
    /// Counters: how much was added. Histograms: observations that were added.
    pub increase: Option<f64>,
    /// Counters: the increase over the window's seconds.
    pub increase_per_second: Option<f64>,
    /// Why there is no value.
    pub missing: Option<String>,
}

/// Names of the two series that a histogram is read by.
pub fn histogram_parts(name: &str) -> [String; 2] {
    [format!("{name}_sum"), format!("{name}_count")]
}

/// What each target came to in a window.
pub fn figures(readings: &[Reading], targets: &[Target], window: Window) -> Vec<ServerFigure> {
    targets.iter().map(|target| figure(readings, target, window)).collect()
}

/// A target's values by the time at which they held.
struct Curve(Vec<(f64, f64)>);

impl Curve {
    fn of(readings: &[Reading], name: &str, window: Window) -> Self {
        let at = |ns: u64| signed(window.from_ns, ns);
        let points =
            readings.iter().filter_map(|it| Some((at(it.mid_ns()), *it.values.get(name)?)));
        Self(points.filter(|(_, value)| value.is_finite()).collect())
    }

    /// The value at a time, interpolated; none outside the readings.
    fn at(&self, time: f64) -> Option<f64> {
        let right = self.0.iter().position(|(at, _)| *at >= time)?;
        let (right_at, right_value) = self.0[right];
        let Some(left) = right.checked_sub(1) else {
            return (right_at <= time).then_some(right_value);
        };
        let (left_at, left_value) = self.0[left];
        let share = (time - left_at) / (right_at - left_at);
        Some(left_value + share * (right_value - left_value))
    }

    /// The points of a window, its edges among them.
    fn within(&self, length: f64) -> Option<Vec<(f64, f64)>> {
        let edges = ((0.0, self.at(0.0)?), (length, self.at(length)?));
        let inner = self.0.iter().copied().filter(|(at, _)| 0.0 < *at && *at < length);
        Some(std::iter::once(edges.0).chain(inner).chain(std::iter::once(edges.1)).collect())
    }

    /// What a counter added in a window; a restart shows in a value that falls.
    fn increase(&self, length: f64) -> Result<f64, &'static str> {
        let points = self.within(length).ok_or(NOT_COVERED)?;
        if points.windows(2).any(|pair| pair[1].1 < pair[0].1) {
            return Err("the counter went back within the window");
        }
        Ok(points[points.len() - 1].1 - points[0].1)
    }
}

const NOT_COVERED: &str = "no readings around the window's edges";
const NO_SERIES: &str = "the page lacks the series";

fn figure(readings: &[Reading], target: &Target, window: Window) -> ServerFigure {
    let length = window.seconds();
    let mut figure = ServerFigure {
        target: target.clone(),
        mean: None,
        least: None,
        most: None,
        increase: None,
        increase_per_second: None,
        missing: None,
    };
    let told = match target.kind {
        SeriesKind::Gauge => gauge(&Curve::of(readings, &target.name, window), length, &mut figure),
        SeriesKind::Counter => {
            let curve = Curve::of(readings, &target.name, window);
            known(&curve).and_then(|()| curve.increase(length)).map(|increase| {
                figure.increase = Some(increase);
                figure.increase_per_second = Some(increase / length);
            })
        }
        SeriesKind::Histogram => {
            let [sum, count] = histogram_parts(&target.name);
            let (sum, count) =
                (Curve::of(readings, &sum, window), Curve::of(readings, &count, window));
            known(&count).and_then(|()| Ok((sum.increase(length)?, count.increase(length)?))).map(
                |(sum, count)| {
                    figure.increase = Some(count);
                    figure.mean = (count > 0.0).then(|| sum / count);
                },
            )
        }
    };
    figure.missing = told.err().map(str::to_owned);
    figure
}

fn known(curve: &Curve) -> Result<(), &'static str> {
    if curve.0.is_empty() { Err(NO_SERIES) } else { Ok(()) }
}

/// The mean weights each reading with the time that it stands for, between the middles to its neighbours.
fn gauge(curve: &Curve, length: f64, figure: &mut ServerFigure) -> Result<(), &'static str> {
    known(curve)?;
    let points = curve.within(length).ok_or(NOT_COVERED)?;
    let area: f64 =
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * pair[0].1.midpoint(pair[1].1)).sum();
    figure.mean = Some(area / length);
    figure.least = points.iter().map(|(_, value)| *value).reduce(f64::min);
    figure.most = points.iter().map(|(_, value)| *value).reduce(f64::max);
    Ok(())
}

/// Seconds from one time to another, negative backwards.
fn signed(from_ns: u64, to_ns: u64) -> f64 {
    let distance = whole(from_ns.abs_diff(to_ns)) / 1e9;
    if to_ns < from_ns { -distance } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn reading(second: u64, values: &[(&str, f64)]) -> Reading {
        let at_ns = second * SECOND;
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Reading { asked_ns: at_ns, at_ns, values }
    }

    fn figure_of(readings: &[Reading], name: &str, kind: SeriesKind) -> ServerFigure {
        let target = Target { name: name.to_owned(), kind, unit: None };
        let window = Window { from_ns: 10 * SECOND, to_ns: 14 * SECOND };
        figures(readings, &[target], window).remove(0)
    }

    #[test]
    fn a_gauge_is_weighted_by_time_and_a_counter_is_taken_between_the_edges() {
        let readings: Vec<Reading> =
            [(9, 0.0, 0.0), (11, 4.0, 200.0), (13, 4.0, 400.0), (15, 0.0, 600.0)]
                .map(|(at, running, tokens)| {
                    reading(at, &[("running", running), ("tokens", tokens)])
                })
                .into();
        let running = figure_of(&readings, "running", SeriesKind::Gauge);
        // Trapezoids of 2 to 4, 4 to 4 and 4 to 2.
        assert_eq!((running.mean, running.least, running.most), (Some(3.5), Some(2.0), Some(4.0)));
        let tokens = figure_of(&readings, "tokens", SeriesKind::Counter);
        assert_eq!((tokens.increase, tokens.increase_per_second), (Some(400.0), Some(100.0)));
    }

    #[test]
    fn a_histogram_gives_the_mean_of_what_the_window_added() {
        let readings = [
            reading(10, &[("queue_sum", 5.0), ("queue_count", 10.0)]),
            reading(14, &[("queue_sum", 8.0), ("queue_count", 16.0)]),
        ];
        let queue = figure_of(&readings, "queue", SeriesKind::Histogram);
        assert_eq!((queue.mean, queue.increase), (Some(0.5), Some(6.0)));
    }

    #[test]
    fn what_is_missing_has_a_reason_and_no_value() {
        let covered = [reading(10, &[("a", 5.0)]), reading(14, &[("a", 1.0)])];
        let cases = [
            (figure_of(&covered, "b", SeriesKind::Gauge), NO_SERIES),
            (figure_of(&covered[..1], "a", SeriesKind::Gauge), NOT_COVERED),
            (
                figure_of(&covered, "a", SeriesKind::Counter),
                "the counter went back within the window",
            ),
        ];
        for (figure, reason) in cases {
            assert_eq!(figure.missing.as_deref(), Some(reason));
            assert_eq!((figure.mean, figure.increase), (None, None));
        }
    }
}
