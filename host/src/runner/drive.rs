//! What both ways to drive an engine share: idle power, windows to figures, waiting with progress.

use std::{
    thread,
    time::{Duration, Instant},
};

use llem_core::{
    backend::Drive,
    energy::{
        Baseline, Baselines, Instrument, Mode, Request, Scope, Series, Settings, Window, baseline,
        measure as energy, total,
    },
    event::Phase,
    latency::{self, RequestLog, window_metrics},
    record::{EngineReport, Measured, WindowRecord},
    study::Baseline as Wanted,
};
use llem_meter::now_ns;

use super::{engine::Engine, failure::Fault, offline, server, trial::Attempt};

/// How often a waiting runner looks: often enough for people, too seldom to cost power.
const LOOK: Duration = Duration::from_millis(250);
/// Idle power is observed for this long at least, because its stationarity is tested over 20 s.
const BASELINE_MIN: Duration = Duration::from_secs(21);
const BASELINE_MAX: Duration = Duration::from_mins(1);

/// Measures a trial whose engine is ready.
pub(super) fn measure(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    report: &mut EngineReport,
    load_seconds: f64,
) -> Result<Measured, Fault> {
    match engine.subject().drive.clone() {
        Drive::Http { .. } => server::measure(attempt, engine, load_seconds),
        Drive::Batch { .. } => offline::measure(attempt, engine, report),
    }
}

/// Idle power with the model loaded, of the devices that have a real instrument.
pub(super) fn context_baseline(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
) -> Result<Vec<Baseline>, Fault> {
    if attempt.trial.measure.baseline == Wanted::None || attempt.bench.is_estimate {
        return Ok(Vec::new());
    }
    attempt.phase(Phase::Baseline);
    let begin_ns = now_ns();
    let started = Instant::now();
    loop {
        wait(attempt, engine, Phase::Baseline, Duration::from_secs(1), &mut |_, _| ())?;
        let elapsed = started.elapsed();
        if elapsed < BASELINE_MIN {
            continue;
        }
        let (baselines, problems) =
            observe(&attempt.recording.snapshot(), Window { begin_ns, end_ns: now_ns() });
        let settled = baselines.iter().all(|it| it.settled);
        if settled || elapsed >= BASELINE_MAX {
            attempt.warnings.extend(problems);
            for it in baselines.iter().filter(|it| !it.settled) {
                let why = it.unsettled.join(", ");
                attempt
                    .warnings
                    .push(format!("idle power of `{}` had not settled: {why}", it.device));
            }
            return Ok(baselines);
        }
    }
}

fn observe(series: &[Series], window: Window) -> (Vec<Baseline>, Vec<String>) {
    let mut baselines = Vec::new();
    let mut problems = Vec::new();
    for series in series.iter().filter(|it| it.device.instrument != Instrument::CpuTime) {
        match baseline(series, window) {
            Ok(it) => baselines.push(it),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (baselines, problems)
}

/// Waits, tells progress, and fails where the engine ends or the user stops.
pub(super) fn wait(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    phase: Phase,
    length: Duration,
    look: &mut dyn FnMut(&mut Attempt<'_>, f64),
) -> Result<(), Fault> {
    let started = Instant::now();
    loop {
        attempt.check(phase)?;
        engine.check_alive(phase)?;
        let left = length.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        look(attempt, started.elapsed().as_secs_f64() / length.as_secs_f64());
        thread::sleep(left.min(LOOK));
    }
}

/// A window that was driven, before its figures are computed.
pub(super) struct Driven {
    pub(super) request: Request,
    pub(super) host_cpu_seconds: Option<f64>,
}

/// The figures of windows, from one recording and one request log.
pub(super) fn windows(
    attempt: &mut Attempt<'_>,
    driven: &[Driven],
    log: &RequestLog,
    baselines: &[Baseline],
) -> Vec<WindowRecord> {
    let last = driven.iter().map(|it| it.request.end_ns).max().unwrap_or_default();
    let series = attempt.recording.snapshot_covering(last);
    let mut records = Vec::new();
    for (number, window) in (0_u64..).zip(driven) {
        let mut measurement = energy(&series, window.request, &Settings::default());
        for reading in &mut measurement.readings {
            let before = baselines.iter().find(|it| it.device == reading.device).cloned();
            let baselines = Baselines { context_before: before, ..Baselines::default() };
            *reading = reading.clone().above(&baselines);
        }
        let span = latency::Window {
            from_ns: measurement.window.begin_ns,
            to_ns: measurement.window.end_ns,
        };
        let metrics = window_metrics(
            log,
            span,
            attempt.trial.slo.as_ref(),
            attempt.trial.seed.wrapping_add(number),
        );
        attempt.warnings.extend(metrics.client.warnings.iter().cloned());
        let scopes = [Scope::GpuBoard, Scope::CpuPackage, Scope::Dram];
        records.push(WindowRecord {
            begin_ns: measurement.window.begin_ns,
            end_ns: measurement.window.end_ns,
            totals: scopes.into_iter().filter_map(|it| total(&measurement.readings, it)).collect(),
            energy: measurement.readings,
            metrics,
            server: Vec::new(),
            host_cpu_seconds: window.host_cpu_seconds,
        });
    }
    records
}

/// Processor time that this process has used.
pub(super) fn host_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A request for the energy of a window.
pub(super) fn request(begin_ns: u64, end_ns: u64, mode: Mode) -> Request {
    Request { begin_ns, end_ns, mode }
}
