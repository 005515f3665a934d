//! Power, temperature and clocks of trials over time, thinned to what a chart can show.

use llem_core::{
    energy::Series,
    record::{Outcome, Record},
    units::{Seconds, Watts},
};
use serde::Serialize;

use super::{Options, data::rounded};
use crate::results::{ResultSet, Trial};

/// The most points of a line.
const POINTS: usize = 240;
/// Publications to read over all trials: bounds the time and the file.
const BUDGET: usize = 400_000;

/// One trial as its meters saw it.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    experiment: usize,
    repeat: u32,
    failed: bool,
    windows: Vec<[f64; 2]>,
    devices: Vec<Device>,
}

#[derive(Debug, Serialize)]
struct Device {
    name: String,
    seconds: Vec<f64>,
    power: Vec<Option<f64>>,
    temperature: Vec<Option<u32>>,
    clock: Vec<Option<u32>>,
}

/// The traces of as many trials as the budget allows: those that were asked for, then the first repeat of each
/// experiment, then the others. Says what was left out.
pub(super) fn of(
    results: &ResultSet,
    trials: &[Trial<'_>],
    options: &Options,
) -> (Vec<Trace>, Option<String>) {
    let asked = |it: &Trial<'_>| is_asked(it, options);
    let mut order: Vec<&Trial<'_>> = trials.iter().collect();
    order.sort_by_key(|it| (!asked(it), it.record.trial.repeat));
    let (mut read, mut left_out) = (0, 0);
    let mut unreadable = Vec::new();
    let mut traces = Vec::new();
    for trial in order {
        if read > BUDGET && !asked(trial) {
            left_out += 1;
            continue;
        }
        let series = match results.series(&trial.record.trial) {
            Ok(Some(series)) => series,
            Ok(None) => continue,
            Err(error) => {
                unreadable.push(error.to_string());
                continue;
            }
        };
        read += series.iter().map(|it| it.ticks.len()).sum::<usize>();
        traces.extend(trace(trial.index, trial.record, &series));
    }
    traces.sort_by_key(|it| (it.experiment, it.repeat));
    let left_out = (left_out > 0).then(|| {
        format!(
            "{left_out} further trials are left out to keep the page small: `llem report RESULTS --trace EXPERIMENT` \
             shows any of them."
        )
    });
    let unreadable = unreadable
        .first()
        .map(|first| format!("The series of {} trials can't be read: {first}.", unreadable.len()));
    let notes: Vec<String> = left_out.into_iter().chain(unreadable).collect();
    (traces, (!notes.is_empty()).then(|| notes.join(" ")))
}

/// Whether the user wants all of a trial's raw data in the page.
pub(super) fn is_asked(it: &Trial<'_>, options: &Options) -> bool {
    let id = &it.record.trial.experiment;
    options.traced.iter().any(|wanted| id.starts_with(wanted) || it.experiment.label == *wanted)
}

fn trace(experiment: usize, record: &Record, series: &[Series]) -> Option<Trace> {
    let start_ns = series.iter().filter_map(start).min()?;
    let windows = record.measured().map(|it| it.windows.as_slice()).unwrap_or_default();
    let at = |ns: u64| rounded(Seconds::between(start_ns, ns).get());
    Some(Trace {
        experiment,
        repeat: record.trial.repeat,
        failed: matches!(record.outcome, Outcome::Failed(_)),
        windows: windows.iter().map(|it| [at(it.begin_ns), at(it.end_ns)]).collect(),
        devices: series.iter().map(|it| device(it, start_ns)).collect(),
    })
}

fn start(series: &Series) -> Option<u64> {
    let ticks = series.ticks.lo_ns.first().copied();
    ticks.into_iter().chain(series.lane.at_ns.first().copied()).min()
}

fn device(series: &Series, start_ns: u64) -> Device {
    let (ticks, lane) = (&series.ticks, &series.lane);
    let mut device = Device {
        name: if series.device.name.is_empty() {
            series.device.id.clone()
        } else {
            series.device.name.clone()
        },
        seconds: Vec::new(),
        power: Vec::new(),
        temperature: Vec::new(),
        clock: Vec::new(),
    };
    if let Some(index) = series.device.index {
        device.name = format!("{} {index}", device.name);
    }
    let is_counted = ticks.len() > 1;
    let rows = if is_counted { ticks.len() } else { lane.at_ns.len() };
    let stride = rows.div_ceil(POINTS).max(1);
    let mut from = 0;
    for to in (stride.min(rows)..rows).step_by(stride) {
        let (at_ns, power) = if is_counted {
            let seconds = Seconds::between(ticks.mid_ns(from), ticks.mid_ns(to)).get();
            let joules = ticks.energy(from, to, series.calibration.joules_per_count).get();
            (ticks.mid_ns(to), (seconds > 0.0).then(|| joules / seconds))
        } else {
            (lane.at_ns[to], lane.average_power_watts.get(to).copied().flatten().map(Watts::get))
        };
        // The row of the lane that was read with this publication or before it.
        let row = lane.at_ns.partition_point(|it| *it <= at_ns).checked_sub(1);
        let read = |of: &[Option<u32>]| of.get(row?).copied().flatten();
        device.seconds.push(rounded(Seconds::between(start_ns, at_ns).get()));
        device.power.push(power.map(rounded));
        device.temperature.push(read(&lane.temperature_celsius));
        device.clock.push(read(&lane.sm_clock_megahertz));
        from = to;
    }
    device
}

#[cfg(test)]
mod tests {
    use llem_core::energy::{Calibration, Ticks};

    use super::*;

    #[test]
    fn a_constant_power_is_that_power_however_it_is_thinned() {
        let times: Vec<u64> = (0..1000).map(|it| 5_000_000_000 + it * 100_000_000).collect();
        let series = Series {
            calibration: Calibration { joules_per_count: 0.001, ..Calibration::default() },
            ticks: Ticks {
                lo_ns: times.clone(),
                hi_ns: times,
                counts: (0..1000).map(|it| it * 25_000).collect(),
            },
            ..Series::default()
        };
        let device = device(&series, 5_000_000_000);
        assert!(device.seconds.len() <= POINTS && device.seconds.len() > POINTS / 2);
        assert!(device.power.iter().all(|it| it.is_some_and(|it| (it - 250.0).abs() < 1e-6)));
        assert!(device.temperature.iter().all(Option::is_none));
    }
}
