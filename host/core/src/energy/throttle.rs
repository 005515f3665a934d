//! How much of a window the power limit or the thermal limit held the clocks down.
//!
//! It uses the driver's violation counters, never a count of observations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnergyReading, Flag, Series, Verdict, Window};
use crate::units::{Seconds, whole};

/// Share of a window from which a limit is worth a flag.
const NOTABLE: f64 = 0.01;

/// Shares of a window, each between 0 and 1, absent where the driver does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Throttle {
    /// Time under the power limit.
    pub power_fraction: Option<f64>,
    /// Time under the thermal limit.
    pub thermal_fraction: Option<f64>,
}

/// Shares of the window in which limits held the clocks down.
pub fn throttle(series: &Series, window: Window) -> Throttle {
    let slow = &series.slow;
    let share = |column: &[Option<u64>]| fraction(&slow.at_ns, column, window);
    Throttle {
        power_fraction: share(&slow.power_violation_ns),
        thermal_fraction: share(&slow.thermal_violation_ns),
    }
}

/// Flags limits that mattered; a thermal one makes the window suspect.
pub(super) fn flag(reading: &mut EnergyReading, series: &Series) {
    let throttle = throttle(series, reading.window);
    reading.throttle = throttle;
    if throttle.power_fraction.is_some_and(|share| share > NOTABLE) {
        reading.flag(Flag::PowerLimited);
    }
    if throttle.thermal_fraction.is_some_and(|share| share > NOTABLE) {
        reading.flag(Flag::ThermallyLimited);
        reading.verdict = reading.verdict.max(Verdict::Suspect);
    }
}

fn fraction(at_ns: &[u64], column: &[Option<u64>], window: Window) -> Option<f64> {
    let at = |ns: u64| interpolate(at_ns, column, ns);
    let held = (at(window.end_ns)? - at(window.begin_ns)?) / 1e9;
    Some((held / window.duration().get()).clamp(0.0, 1.0))
}

/// A counter's value in nanoseconds at a time between two of its rows.
fn interpolate(at_ns: &[u64], column: &[Option<u64>], ns: u64) -> Option<f64> {
    let after = at_ns.partition_point(|&at| at < ns);
    let before = after.saturating_sub(1);
    let after = after.min(at_ns.len().checked_sub(1)?);
    let (low, high) = (whole(column[before]?), whole(column[after]?));
    let span = Seconds::between(at_ns[before], at_ns[after]).get();
    let offset = Seconds::between(at_ns[before], ns).get();
    // Rows are a second apart, so a time just outside the recording takes the nearest row's value.
    let share = if span > 0.0 { (offset / span).clamp(0.0, 1.0) } else { 0.0 };
    (span <= 10.0).then_some(low + (high - low) * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::Slow;

    #[test]
    fn a_fraction_is_counted_time_over_the_windows_length() {
        let slow = Slow {
            at_ns: vec![0, 1_000_000_000, 2_000_000_000],
            power_violation_ns: vec![Some(0), Some(500_000_000), Some(500_000_000)],
            thermal_violation_ns: vec![None; 3],
            ..Slow::default()
        };
        let series = Series { slow, ..Series::default() };
        let window = Window { begin_ns: 500_000_000, end_ns: 1_500_000_000 };
        let throttle = throttle(&series, window);
        assert_eq!(throttle.power_fraction, Some(0.25));
        assert_eq!(throttle.thermal_fraction, None);
    }
}
