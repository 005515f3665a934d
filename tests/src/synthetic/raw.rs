//! Raw data of trials that never ran.

use std::{io, path::Path};

use llem_core::{
    energy::{Calibration, Device, Lane, Series, Ticks},
    latency::{Request, RequestLog, Status},
    record::Record,
    sse::TokenArrival,
};

use super::drawn;

/// Writes the series and the request log of a trial, if it has figures.
pub(super) fn write(directory: &Path, record: &Record, name: &str) -> io::Result<()> {
    llem::results::write_series(directory, &record.trial, &[series(record, name)])
        .and_then(|()| llem::results::write_requests(directory, &record.trial, &requests(record)))
        .map_err(io::Error::other)
}

/// A made-up H100 at work in the windows and idle around them.
fn series(record: &Record, name: &str) -> Series {
    let Some(window) = record.measured().and_then(|it| it.windows.first()) else {
        return Series::default();
    };
    let times: Vec<u64> =
        (0..600).map(|it| window.begin_ns - 5_000_000_000 + it * 100_000_000).collect();
    let mut counts = vec![0_u64];
    for at in &times[1..] {
        let watts = if (window.begin_ns..window.end_ns).contains(at) {
            300 + at / 100_000_000 % 40
        } else {
            70
        };
        counts.push(counts.last().expect("not empty") + watts * 100);
    }
    let rows = times.len();
    Series {
        device: Device {
            id: "GPU-0".to_owned(),
            name: name.to_owned(),
            index: Some(0),
            ..Device::default()
        },
        calibration: Calibration { joules_per_count: 0.001, ..Calibration::default() },
        ticks: Ticks { lo_ns: times.clone(), hi_ns: times.clone(), counts },
        lane: Lane {
            at_ns: times,
            average_power_watts: vec![None; rows],
            instant_power_watts: vec![None; rows],
            memory_temperature_celsius: vec![None; rows],
            memory_clock_megahertz: vec![None; rows],
            throttle_bits: vec![None; rows],
            utilization_percent: vec![None; rows],
            performance_state: vec![None; rows],
            machine_busy_seconds: vec![None; rows],
            temperature_celsius: (0..rows)
                .map(|it| Some(35 + u32::try_from(it / 40).expect("few")))
                .collect(),
            sm_clock_megahertz: (0..rows)
                .map(|it| Some(if it < 50 { 345 } else { 1980 }))
                .collect(),
        },
        ..Series::default()
    }
}

/// Requests all through the first window: 120 with 20 tokens each, some of them slow.
fn requests(record: &Record) -> RequestLog {
    let Some(window) = record.measured().and_then(|it| it.windows.first()) else {
        return RequestLog::default();
    };
    let step = (window.end_ns - window.begin_ns) / 121;
    let request = |index: u64| {
        let scheduled = window.begin_ns + 1 + index * step;
        let slow =
            1.0 + 0.9 * drawn(&[index, 1]) + f64::from(u8::from(index.is_multiple_of(40))) * 4.0;
        let at = |milliseconds: f64| {
            scheduled
                + u64::try_from(std::time::Duration::from_secs_f64(milliseconds / 1e3).as_nanos())
                    .expect("short")
        };
        let tokens: Vec<TokenArrival> = (0..20_u32)
            .map(|it| TokenArrival { at_ns: at(slow * (80.0 + 9.0 * f64::from(it))), tokens: 1 })
            .collect();
        Request {
            dispatched_ns: Some(scheduled),
            first_token_ns: tokens.first().map(|it| it.at_ns),
            last_token_ns: tokens.last().map(|it| it.at_ns),
            end_ns: tokens.last().map_or(scheduled, |it| it.at_ns),
            input_tokens: Some(64),
            output_tokens: Some(20),
            status: Status::Completed,
            tokens,
            ..Request::scheduled(index, scheduled)
        }
    };
    RequestLog {
        started_ns: window.begin_ns,
        ended_ns: window.end_ns,
        requests: (0..120).map(request).collect(),
        ..RequestLog::default()
    }
}
