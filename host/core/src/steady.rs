//! When a load has become steady: by each device's power and temperature, and by a series of values.
//!
//! It looks at data of one device at a time, so that an imbalance of two devices is no unrest, and it
//! never decides for how long to wait: the caller has the cap and records whether it was met.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    energy::Series,
    units::{Seconds, length},
};

/// What counts as steady.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Criterion {
    /// How far back to look.
    pub span_seconds: f64,
    /// Length of the stretches whose mean powers are compared.
    pub stretch_seconds: f64,
    /// Largest slope of mean power, relative to it, per second.
    pub slope_per_second: f64,
    /// Largest range of temperature in degrees Celsius.
    pub temperature_range_celsius: u32,
}

impl Default for Criterion {
    /// Thirty seconds in stretches of five, 0.1 % per second, and one degree.
    fn default() -> Self {
        Self {
            span_seconds: 30.0,
            stretch_seconds: 5.0,
            slope_per_second: 0.001,
            temperature_range_celsius: 1,
        }
    }
}

/// How steady one device is.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Steadiness {
    /// The device.
    pub device: String,
    /// Whether it meets the criterion.
    pub steady: bool,
    /// Slope of mean power, relative to it, per second; absent while there is too little data.
    pub slope_per_second: Option<f64>,
    /// Range of temperature in degrees Celsius; absent where it is not known, and then not required.
    pub temperature_range_celsius: Option<u32>,
}

/// Judges one device by what it did up to `now_ns`.
pub fn steadiness(series: &Series, now_ns: u64, criterion: &Criterion) -> Steadiness {
    let slope = slope(series, now_ns, criterion);
    let range = temperature_range(series, now_ns, criterion);
    let calm = slope.is_some_and(|slope| slope.abs() <= criterion.slope_per_second);
    let even = range.is_none_or(|range| range <= criterion.temperature_range_celsius);
    Steadiness {
        device: series.device.id.clone(),
        steady: calm && even,
        slope_per_second: slope,
        temperature_range_celsius: range,
    }
}

/// Slope of the stretches' mean powers, over their mean.
fn slope(series: &Series, now_ns: u64, criterion: &Criterion) -> Option<f64> {
    let ticks = &series.ticks;
    let age = |index: usize| Seconds::between(ticks.mid_ns(index), now_ns).get();
    let mut edges = Vec::new();
    let mut wanted = criterion.span_seconds;
    // One publication near each edge; a missing one means that the recording is too short or broken.
    while wanted > -criterion.stretch_seconds / 2.0 {
        let index = (0..ticks.len()).rev().find(|&index| age(index) >= wanted)?;
        if age(index) - wanted > criterion.stretch_seconds / 2.0 {
            return None;
        }
        edges.push(index);
        wanted -= criterion.stretch_seconds;
    }
    let unit = series.calibration.joules_per_count;
    let powers: Vec<f64> = edges
        .windows(2)
        .map(|pair| ticks.energy(pair[0], pair[1], unit).get() / (age(pair[0]) - age(pair[1])))
        .collect();
    if powers.len() < 3 {
        return None;
    }
    let mean = powers.iter().sum::<f64>() / length(powers.len());
    let centre = (length(powers.len()) - 1.0) / 2.0;
    let places = || powers.iter().zip(0_u32..).map(|(p, n)| (f64::from(n) - centre, p));
    let cross: f64 = places().map(|(n, p)| n * (p - mean)).sum();
    let square: f64 = places().map(|(n, _)| n * n).sum();
    (mean > 0.0).then(|| cross / square / criterion.stretch_seconds / mean)
}

fn temperature_range(series: &Series, now_ns: u64, criterion: &Criterion) -> Option<u32> {
    let lane = &series.lane;
    let rows = lane.at_ns.iter().zip(&lane.temperature_celsius);
    let recent = rows.filter(|(ns, _)| {
        let age = Seconds::between(**ns, now_ns).get();
        (0.0..=criterion.span_seconds).contains(&age)
    });
    let values: Vec<u32> = recent.filter_map(|(_, celsius)| *celsius).collect();
    Some(values.iter().max()? - values.iter().min()?)
}

/// How many values at the begin of a series belong to its warm-up: the truncation that gives the mean
/// of the rest the least standard error (MSER, White 1997), or nothing where more than half would go.
///
/// ```
/// use llem_core::steady::warm_up;
/// let ramp = [1.0, 4.0, 8.0, 10.0, 10.1, 9.9, 10.0, 10.1, 9.9, 10.0, 10.1, 9.9];
/// assert_eq!(warm_up(&ramp), Some(3));
/// ```
pub fn warm_up(values: &[f64]) -> Option<usize> {
    let error = |cut: usize| {
        let rest = &values[cut..];
        let mean = rest.iter().sum::<f64>() / length(rest.len());
        let squares: f64 = rest.iter().map(|v| (v - mean).powi(2)).sum();
        squares / length(rest.len()).powi(2)
    };
    let longest = values.len().checked_sub(5)?;
    let best = (0..=longest).min_by(|&a, &b| error(a).total_cmp(&error(b)))?;
    (best <= values.len() / 2).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::{Calibration, Lane, Ticks};

    /// Ten publications a second for 40 s of a power that grows by `growth` per second, relative.
    fn series(growth: f64, celsius: impl Fn(u64) -> u32) -> Series {
        let at = |n: u64| n * 100_000_000;
        let millijoules = |n: u64| {
            let t = f64::from(u32::try_from(n).expect("few")) / 10.0;
            rounded(1e3 * (300.0 * t + 150.0 * growth * t * t))
        };
        let numbers = || 0..400_u64;
        Series {
            calibration: Calibration { joules_per_count: 1e-3, ..Calibration::default() },
            ticks: Ticks {
                lo_ns: numbers().map(at).collect(),
                hi_ns: numbers().map(at).collect(),
                counts: numbers().map(millijoules).collect(),
            },
            lane: Lane {
                at_ns: numbers().map(at).collect(),
                temperature_celsius: numbers().map(|n| Some(celsius(n))).collect(),
                ..Lane::default()
            },
            ..Series::default()
        }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive test value"
    )]
    fn rounded(value: f64) -> u64 {
        value.round() as u64
    }

    fn judged(series: &Series) -> Steadiness {
        steadiness(series, 39_950_000_000, &Criterion::default())
    }

    #[test]
    fn constant_power_at_constant_temperature_is_steady() {
        let found = judged(&series(0.0, |_| 60));
        assert!(found.steady, "{found:?}");
    }

    #[test]
    fn a_slope_or_a_warming_chip_is_not() {
        let growing = judged(&series(0.01, |_| 60));
        assert!(!growing.steady && growing.slope_per_second.expect("enough data") > 0.005);
        let warming = judged(&series(0.0, |n| 40 + u32::try_from(n / 50).expect("small")));
        assert!(!warming.steady && warming.temperature_range_celsius > Some(1));
    }

    #[test]
    fn a_short_recording_is_never_steady() {
        let found = steadiness(&series(0.0, |_| 60), 10_000_000_000, &Criterion::default());
        assert!(!found.steady && found.slope_per_second.is_none());
    }

    #[test]
    fn a_series_that_never_settles_has_no_warm_up() {
        let rising: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(warm_up(&rising), None);
        assert_eq!(warm_up(&[1.0]), None);
    }
}
