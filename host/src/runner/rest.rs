//! Idle time between trials, so that one does not warm the next: as long as the study says, or until
//! power and temperature have settled.

use std::{
    thread,
    time::{Duration, Instant},
};

use llem_core::{
    energy::Scope,
    event::{Event, Phase},
    record::TrialId,
    steady::{Criterion, steadiness},
    study::{Baseline, MeasureSettings, Rest},
};
use llem_meter::now_ns;

use super::{
    drive::is_measured,
    trial::{Bench, Emit},
};

/// A GPU that has not settled by then is taken as it is; its baseline tells how much it still cools.
const LONGEST: Duration = Duration::from_mins(1);
/// Processor packages settle within seconds and are never quite calm, so they are not waited for as long.
const LONGEST_OF_PROCESSORS: Duration = Duration::from_secs(15);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Ten seconds in which mean power changes by less than 0.2 % a second, and a degree at most.
const SETTLED: Criterion = Criterion {
    span_seconds: 10.0,
    stretch_seconds: 2.5,
    slope_per_second: 0.002,
    temperature_range_celsius: 1,
};

/// Rests after a trial whose engine saw these GPUs.
pub(super) fn rest(
    measure: &MeasureSettings,
    bench: &Bench<'_>,
    gpus: &[String],
    trial: TrialId,
    emit: Emit<'_>,
) {
    match measure.rest {
        Rest::Duration(Duration::ZERO) => (),
        // Without an instrument that sees idle power there is nothing to wait for, and the next trial waits by itself
        // where it observes idle power.
        Rest::Auto if bench.is_estimate || measure.baseline != Baseline::None => (),
        Rest::Duration(length) => {
            emit(Event::PhaseStarted { trial, phase: Phase::Rest });
            let until = Instant::now() + length;
            while Instant::now() < until && !bench.cancel.is_wanted() {
                thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
        }
        Rest::Auto => {
            emit(Event::PhaseStarted { trial, phase: Phase::Rest });
            until_settled(bench, gpus);
        }
    }
}

fn until_settled(bench: &Bench<'_>, gpus: &[String]) {
    let recording = bench.instruments.start_with(gpus);
    let started = Instant::now();
    while started.elapsed() < LONGEST && !bench.cancel.is_wanted() {
        thread::sleep(LOOK);
        let series = recording.snapshot();
        let is_calm = series.iter().filter(|it| is_measured(it)).all(|it| {
            let hurried = it.device.scope != Scope::GpuBoard;
            steadiness(it, now_ns(), &SETTLED).steady
                || (hurried && started.elapsed() >= LONGEST_OF_PROCESSORS)
        });
        if is_calm {
            break;
        }
    }
}
