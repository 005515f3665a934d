//! Power, load and the engine's own state on one axis of time: one row from each reading to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reading;
use crate::{
    energy::Series,
    latency::{RequestLog, Window, tokens_received},
    units::whole,
};

/// What happened from one reading of the metrics page to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Time of the reading before, nanoseconds.
    pub from_ns: u64,
    /// Time of this reading, nanoseconds.
    pub to_ns: u64,
    /// Mean power of each device by its energy counter, watts; absent where the counter does not cover the interval. A
    /// counter that publishes each 100 ms is interpolated at both ends, so a row says how power moves with load and
    /// is no measurement of energy.
    pub power_watts: BTreeMap<String, f64>,
    /// Output tokens that the client received, a second.
    pub output_tokens_per_second: f64,
    /// What the engine said at the end of the interval.
    pub values: BTreeMap<String, f64>,
}

/// Puts readings, energy counters and the request log on one axis.
pub fn timeline(readings: &[Reading], series: &[Series], log: &RequestLog) -> Vec<Interval> {
    let pairs = readings.windows(2).map(|pair| (pair[0].mid_ns(), &pair[1]));
    let rows = pairs.filter(|(from_ns, reading)| *from_ns < reading.mid_ns());
    rows.map(|(from_ns, reading)| {
        let window = Window { from_ns, to_ns: reading.mid_ns() };
        let power = series.iter().filter_map(|it| Some((it.device.id.clone(), power(it, window)?)));
        Interval {
            from_ns,
            to_ns: window.to_ns,
            power_watts: power.collect(),
            output_tokens_per_second: whole(tokens_received(log, window)) / window.seconds(),
            values: reading.values.clone(),
        }
    })
    .collect()
}

fn power(series: &Series, window: Window) -> Option<f64> {
    let joules = joules_at(series, window.to_ns)? - joules_at(series, window.from_ns)?;
    Some(joules / window.seconds())
}

/// The counter at a time since its first publication, between the publications around it.
fn joules_at(series: &Series, at_ns: u64) -> Option<f64> {
    let ticks = &series.ticks;
    let times: Vec<u64> = (0..ticks.len()).map(|it| ticks.mid_ns(it)).collect();
    let right = times.partition_point(|it| *it < at_ns);
    let left = right.checked_sub(1)?;
    let end = *times.get(right)?;
    let energy = |to| ticks.energy(0, to, series.calibration.joules_per_count).get();
    let share = whole(at_ns - times[left]) / whole((end - times[left]).max(1));
    Some(energy(left) + share * (energy(right) - energy(left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::Ticks;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn constant_power_is_found_in_every_interval_that_the_counter_covers() {
        let at_ns: Vec<u64> = (0..50).map(|it| it * SECOND / 10 + 3).collect();
        let mut series = Series::default();
        series.device.id = "gpu".to_owned();
        series.calibration.joules_per_count = 0.001;
        series.ticks = Ticks {
            lo_ns: at_ns.clone(),
            hi_ns: at_ns,
            counts: (0..50).map(|it| 7_000_000 + it * 30_000).collect(),
        };
        let reading = |at_ns| Reading { asked_ns: at_ns, at_ns, values: BTreeMap::new() };
        let readings = [1, 2, 3, 9].map(|it| reading(it * SECOND));
        let rows = timeline(&readings, &[series], &RequestLog::default());
        let powers: Vec<Option<f64>> =
            rows.iter().map(|it| it.power_watts.get("gpu").map(|it| it.round())).collect();
        assert_eq!(powers, [Some(300.0), Some(300.0), None]);
    }
}
