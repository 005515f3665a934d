//! The work before the first window: until power and speed settle, or as much as the study says.

use std::time::{Duration, Instant};

use llem_core::{
    energy::Series,
    event::Phase,
    record::WarmupReport,
    steady::{Criterion, Steadiness, steadiness},
    study::Warmup,
};
use llem_load::http::Control;
use llem_meter::now_ns;

use super::{
    drive::{is_measured, wait},
    engine::Engine,
    failure::Fault,
    offline::{Worker, round_of},
    server::Speed,
    trial::Attempt,
};

/// A warm-up that does not settle ends here, and the record says that it did not.
const LONGEST: Duration = Duration::from_mins(10);
/// Speed is compared between stretches of this length.
const STRETCH: Duration = Duration::from_secs(5);
/// Largest relative difference of two stretches of a settled speed.
const TOLERANCE: f64 = 0.05;

/// Warms a server up under its traffic.
pub(super) fn of_server(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    control: &Control,
) -> Result<WarmupReport, Fault> {
    let started = Instant::now();
    let mut speed = Speed::new(control);
    let mut step = |attempt: &mut Attempt<'_>, engine: &mut Engine, length| {
        wait(attempt, engine, Phase::Warmup, length, &mut |attempt, _| {
            attempt.progress(speed.tokens_per_second(control), None);
        })
    };
    let settled = match attempt.trial.measure.warmup {
        Warmup::Duration(length) => {
            step(attempt, engine, length)?;
            None
        }
        Warmup::Requests(wanted) => {
            while control.progress().completed < u64::from(wanted.get()) {
                step(attempt, engine, Duration::from_millis(20))?;
                no_answers(control)?;
            }
            None
        }
        Warmup::Steady => {
            let mut settling = Settling::default();
            loop {
                let before = control.progress().output_tokens;
                let stretch = Instant::now();
                step(attempt, engine, STRETCH)?;
                no_answers(control)?;
                let tokens = control.progress().output_tokens - before;
                let tokens = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX));
                let is_even = settling.add(tokens / stretch.elapsed().as_secs_f64());
                if is_even && are_steady(&steady(attempt, started)) {
                    break Some(true);
                }
                if started.elapsed() >= LONGEST {
                    break Some(false);
                }
            }
        }
    };
    Ok(finish(attempt, started, settled))
}

/// Warms a worker up with batches like those of the window, none of which has a prompt that the worker has seen or that
/// the window has: from an engine that caches prefixes they would come for nothing.
pub(super) fn of_worker(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    worker: &mut Worker,
    batch_size: Option<u32>,
) -> Result<WarmupReport, Fault> {
    let started = Instant::now();
    let mut settling = Settling::default();
    let mut requests = 0;
    let mut settled = None;
    let (workload, count) = (&attempt.trial.workload, attempt.trial.settings.requests);
    'warmup: for round in 1.. {
        for batch in round_of(workload, count, round, batch_size)? {
            let begun = Instant::now();
            worker.generate(attempt, engine, &batch, Phase::Warmup, 0.0)?;
            requests += batch.size;
            let tokens = f64::from(batch.size) * f64::from(batch.max_tokens);
            let is_even = settling.add(tokens / begun.elapsed().as_secs_f64());
            let is_done = match attempt.trial.measure.warmup {
                Warmup::Duration(length) => started.elapsed() >= length,
                Warmup::Requests(wanted) => requests >= wanted.get(),
                Warmup::Steady => {
                    let is_settled = is_even && are_steady(&steady(attempt, started));
                    settled = Some(is_settled);
                    is_settled || started.elapsed() >= LONGEST
                }
            };
            if is_done {
                break 'warmup;
            }
        }
    }
    Ok(finish(attempt, started, settled))
}

fn finish(attempt: &mut Attempt<'_>, started: Instant, settled: Option<bool>) -> WarmupReport {
    let devices = steady(attempt, started);
    if settled == Some(false) {
        let unrest = devices.iter().filter(|it| !it.steady).map(unrest);
        let unrest: Vec<String> = std::iter::once(String::new()).chain(unrest).collect();
        attempt.warnings.push(format!(
            "the warm-up had not settled after {} s{}",
            LONGEST.as_secs(),
            unrest.join("; ")
        ));
    }
    WarmupReport { seconds: started.elapsed().as_secs_f64(), settled, devices }
}

fn unrest(device: &Steadiness) -> String {
    let slope = device.slope_per_second.map_or_else(
        || "power unknown".to_owned(),
        |slope| format!("power changes by {:.2} % a second", 100.0 * slope),
    );
    let range = device.temperature_range_celsius;
    let range = range.map_or_else(String::new, |it| format!(", temperature over {it} degrees"));
    format!("`{}`: {slope}{range}", device.device)
}

/// How steady each measured device has been under this warm-up, and under nothing before it.
fn steady(attempt: &Attempt<'_>, started: Instant) -> Vec<Steadiness> {
    let criterion = Criterion::default();
    let now = now_ns();
    let judge = |series: &Series| {
        let mut found = steadiness(series, now, &criterion);
        found.steady &= started.elapsed().as_secs_f64() >= criterion.span_seconds;
        found
    };
    attempt.recording.snapshot().iter().filter(|it| is_measured(it)).map(judge).collect()
}

/// Devices whose energy is only estimated have no say.
fn are_steady(devices: &[Steadiness]) -> bool {
    devices.iter().all(|it| it.steady)
}

/// A server that refuses everything never warms up.
fn no_answers(control: &Control) -> Result<(), Fault> {
    let progress = control.progress();
    if progress.completed == 0 && progress.output_tokens == 0 && progress.failed >= 20 {
        return Err(Fault::new(
            Phase::Warmup,
            "no-output",
            "the engine answered none of the first requests",
        ));
    }
    Ok(())
}

/// Whether a speed has settled: three stretches in a row that differ little.
#[derive(Debug, Default)]
struct Settling {
    speeds: Vec<f64>,
}

impl Settling {
    fn add(&mut self, speed: f64) -> bool {
        self.speeds.push(speed);
        let Some(last) = self.speeds.last_chunk::<3>() else { return false };
        let (low, high) = (
            last.iter().copied().fold(f64::INFINITY, f64::min),
            last.iter().copied().fold(0.0, f64::max),
        );
        low > 0.0 && high / low <= 1.0 + TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_settles_when_three_stretches_agree() {
        let mut settling = Settling::default();
        let speeds = [0.0, 50.0, 90.0, 100.0, 101.0, 99.0];
        let settled: Vec<bool> = speeds.into_iter().map(|it| settling.add(it)).collect();
        assert_eq!(settled, [false, false, false, false, false, true]);
    }
}
