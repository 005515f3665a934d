//! Learning an energy counter's period, jitter and read cost by watching it.
//!
//! It looks for a limited time and reports what it saw; it does not decide what to do about it.

use std::time::Duration;

use llem_core::{
    energy::{Calibration, CounterState},
    units::Seconds,
};

use crate::{
    clock::Clock,
    sensor::{Fault, Sensor},
};

/// Publications after which enough is known.
const ENOUGH_TICKS: usize = 24;
/// Observation that is too short to learn a period in; a counter that moves within it is alive.
const GLANCE: Duration = Duration::from_millis(500);
/// How long a glance becomes where nothing moves, so that a busy machine is not taken for a broken counter.
const SECOND_LOOK_NS: u64 = 1_000_000_000;
/// Shortest time between the begins of two reads, so that a fast counter is not read in a tight loop.
const SHORTEST_STEP_NS: u64 = 500_000;

/// Watches a counter back to back until enough publications were seen or the time is over.
pub(crate) fn calibrate(
    clock: &impl Clock,
    sensor: &mut dyn Sensor,
    time: Duration,
) -> Calibration {
    let begin = clock.now_ns();
    let end = begin + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (mut mids, mut costs) = (Vec::new(), Vec::new());
    let mut last: Option<(u64, u64)> = None;
    let mut state = CounterState::Stuck;
    let mut now = begin;
    let second_end = if time < GLANCE { begin + SECOND_LOOK_NS } else { end };
    while now < if mids.is_empty() { second_end } else { end } && mids.len() < ENOUGH_TICKS {
        let value = sensor.counter();
        let after = clock.now_ns();
        costs.push(after - now);
        match (value, last) {
            (Err(fault), _) => {
                state = failed(fault);
                break;
            }
            (Ok(value), Some((lo, before))) if value != before => {
                mids.push(Seconds::between(begin, lo.midpoint(after)).get());
                last = Some((now, value));
            }
            (Ok(value), _) => last = Some((now, value)),
        }
        clock.sleep_until(now + SHORTEST_STEP_NS);
        now = clock.now_ns();
    }
    costs.sort_unstable();
    let cost = |share: usize| {
        let index = (costs.len() * share / 100).min(costs.len() - 1);
        Some(Seconds::between(0, costs[index]))
    };
    let grid = (mids.len() >= 3).then(|| grid(&mids));
    if grid.is_some() || (time < GLANCE && !mids.is_empty()) {
        state = CounterState::Live;
    }
    Calibration {
        counter: state,
        joules_per_count: 1e-3,
        period_seconds: grid.map(|(period, _)| Seconds::new(period)),
        tick_jitter_seconds: grid.map(|(_, jitter)| Seconds::new(jitter)),
        read_p50_seconds: cost(50),
        read_p99_seconds: cost(99),
        ticks_seen: u32::try_from(mids.len()).unwrap_or(u32::MAX),
        ..Calibration::default()
    }
}

fn failed(fault: Fault) -> CounterState {
    match fault {
        Fault::Unsupported => CounterState::Unsupported,
        Fault::Denied => CounterState::Denied,
        Fault::Lost | Fault::Code(_) => CounterState::Failed,
    }
}

/// Period and jitter of times that lie near a regular grid with holes.
fn grid(times: &[f64]) -> (f64, f64) {
    let mut steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_by(f64::total_cmp);
    let typical = steps[steps.len() / 2];
    let places: Vec<f64> = times.iter().map(|t| ((t - times[0]) / typical).round()).collect();
    let count = places.iter().map(|_| 1.0).sum::<f64>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (centre, middle) = (mean(&places), mean(times));
    let square: f64 = places.iter().map(|n| (n - centre).powi(2)).sum();
    let cross: f64 = places.iter().zip(times).map(|(n, t)| (n - centre) * (t - middle)).sum();
    let period = cross / square;
    let mut errors: Vec<f64> =
        places.iter().zip(times).map(|(n, t)| (t - middle - period * (n - centre)).abs()).collect();
    errors.sort_by(f64::total_cmp);
    // Median absolute deviation, scaled to a normal standard deviation: a slow read must not count.
    (period, 1.4826 * errors[errors.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_with_a_hole_and_an_outlier_keeps_its_period() {
        let times: Vec<f64> = (0..24)
            .filter(|&n| n != 7)
            .map(|n| 0.01 + 0.1 * f64::from(n) + if n == 12 { 0.004 } else { 0.0 })
            .collect();
        let (period, jitter) = grid(&times);
        assert!((period - 0.1).abs() < 1e-4, "{period}");
        assert!(jitter < 1e-3, "{jitter}");
    }
}
