//! What both ways to drive an engine share: idle power, windows to figures, waiting with progress.

use std::{
    thread,
    time::{Duration, Instant},
};

use llem_core::{
    account::{Account, DrivenWindow, account, idle},
    backend::{Drive, Value},
    energy::{Instrument, Mode, Request, Series, Window},
    event::Phase,
    flops::NumberFormat,
    latency::RequestLog,
    record::{EngineReport, Measured, WarmupReport, WindowRecord},
    study::Baseline as Wanted,
};
use llem_meter::now_ns;

use super::{
    engine::Engine,
    failure::Fault,
    offline, server,
    trial::{Attempt, Trial},
};

/// How often a waiting runner looks: often enough for people, too seldom to cost power.
const LOOK: Duration = Duration::from_millis(250);
/// Idle power is observed for this long, because its stationarity is tested over 20 s.
const BASELINE: Duration = Duration::from_secs(21);
/// A device that has not settled by then is observed as it is, and the record says so.
const BASELINE_LONGEST: Duration = Duration::from_mins(1);

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

/// When idle power is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// With the engine loaded, before the windows.
    Before,
    /// The same after them.
    After,
}

/// Observes idle power with the model loaded; the engine goes on being watched.
pub(super) fn context_baseline(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    when: Idle,
) -> Result<(), Fault> {
    if attempt.trial.measure.baseline == Wanted::None {
        return Ok(());
    }
    let window = observe(attempt, &mut |attempt| {
        wait(attempt, engine, Phase::Baseline, Duration::from_secs(1), &mut |_, _| ())
    })?;
    match when {
        Idle::Before => attempt.basis.before = window,
        Idle::After => attempt.basis.after = window,
    }
    Ok(())
}

/// Observes idle power before an engine is started, where the study asks for it.
pub(super) fn bare_baseline(attempt: &mut Attempt<'_>) -> Result<(), Fault> {
    if attempt.trial.measure.baseline == Wanted::Bare {
        attempt.basis.bare = observe(attempt, &mut |attempt| {
            attempt.check(Phase::Baseline)?;
            thread::sleep(Duration::from_secs(1));
            Ok(())
        })?;
    }
    Ok(())
}

/// Waits, second by second, until the idle power of the last 21 s has settled, and gives that stretch;
/// none where no instrument sees idle power.
fn observe(
    attempt: &mut Attempt<'_>,
    second: &mut dyn FnMut(&mut Attempt<'_>) -> Result<(), Fault>,
) -> Result<Option<Window>, Fault> {
    if attempt.bench.is_estimate {
        return Ok(None);
    }
    attempt.phase(Phase::Baseline);
    let started = Instant::now();
    loop {
        second(attempt)?;
        attempt.progress(None, Some(share(started.elapsed(), BASELINE)));
        if started.elapsed() < BASELINE {
            continue;
        }
        let end_ns = now_ns();
        let window = Window { begin_ns: end_ns - nanoseconds(BASELINE), end_ns };
        let found = idle(&attempt.recording.snapshot(), Some(window), "", &mut Vec::new());
        if found.iter().all(|it| it.settled) || started.elapsed() >= BASELINE_LONGEST {
            return Ok(Some(window));
        }
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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

/// Computes the figures of a trial whose windows were driven. From here on nothing more is recorded of
/// it: what the figures were computed from is what is kept.
pub(super) fn conclude(
    attempt: &mut Attempt<'_>,
    load_seconds: f64,
    warmup: WarmupReport,
    log: RequestLog,
) -> Measured {
    let (series, found) = figures(attempt, &log);
    attempt.warnings.extend(found.remarks);
    attempt.series = Some(series);
    attempt.requests = Some(log);
    Measured {
        load_seconds,
        warmup,
        baselines_bare: found.bare,
        baselines: found.before,
        baselines_after: found.after,
        windows: found.windows,
        basis: Some(attempt.basis.clone()),
        search: None,
    }
}

/// The windows so far, for whoever decides by them what to do next.
pub(super) fn windows(attempt: &mut Attempt<'_>, log: &RequestLog) -> Vec<WindowRecord> {
    figures(attempt, log).1.windows
}

fn figures(attempt: &mut Attempt<'_>, log: &RequestLog) -> (Vec<Series>, Account) {
    let basis = &mut attempt.basis;
    let last = basis.windows.iter().map(|it| it.request.end_ns).max().unwrap_or_default();
    basis.model.clone_from(&attempt.trial.model.facts);
    basis.format = number_format(attempt.trial);
    basis.slo.clone_from(&attempt.trial.slo);
    basis.seed = attempt.trial.seed;
    let series = attempt.recording.snapshot_covering(last);
    let found = account(basis, &series, log, attempt.bench.settings);
    (series, found)
}

/// The format that the engine computes in: as the plan says, else as the model's configuration does.
fn number_format(trial: &Trial) -> Option<NumberFormat> {
    let planned = trial.launch.effective.iter();
    let mut planned = planned.filter_map(|(path, value)| match value {
        Value::Text(name) if is_number_format(&path.to_string()) => NumberFormat::from_name(name),
        _ => None,
    });
    let config = trial.model.config.as_ref();
    let of_model = || {
        let named = ["dtype", "torch_dtype"].into_iter().find_map(|key| config?.get(key)?.as_str());
        NumberFormat::from_name(named?)
    };
    planned.next().or_else(of_model)
}

/// Whether a parameter is called what all engines call the format that they compute in.
fn is_number_format(path: &str) -> bool {
    path.rsplit('.').next() == Some("dtype")
}

/// Devices that an instrument measures, as opposed to a model that estimates.
pub(super) fn is_measured(series: &Series) -> bool {
    series.device.instrument != Instrument::CpuTime
}

/// Processor time that this process has used.
pub(super) fn host_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A window that was driven, with the processor time that this process used in it.
pub(super) fn driven(begin_ns: u64, end_ns: u64, mode: Mode, cpu: Duration) -> DrivenWindow {
    let used = host_cpu().saturating_sub(cpu).as_secs_f64();
    DrivenWindow { request: Request { begin_ns, end_ns, mode }, host_cpu_seconds: Some(used) }
}
