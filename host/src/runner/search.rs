//! A search for a load that meets the objective: level after level on one engine, each with its own warm-up and
//! windows. Which level comes next is decided in core.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use llem_core::{
    account::DrivenWindow,
    event::Phase,
    latency::RequestLog,
    record::{Measured, SearchLevel, SearchReport, WarmupReport, WindowRecord, figure},
    search::{Outcome, Search, Step},
    study::SearchSettings,
};
use llem_load::http::{self, Control};

use super::{
    drive::{Idle, conclude, context_baseline, windows},
    engine::Engine,
    failure::Fault,
    observe::Observer,
    server::{drive, plan},
    trial::Attempt,
};

/// What was measured at one level.
struct Level {
    report: SearchLevel,
    warmup: WarmupReport,
    driven: Vec<DrivenWindow>,
}

/// Searches on a running server.
pub(super) fn measure(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    wanted: SearchSettings,
    load_seconds: f64,
) -> Result<Measured, Fault> {
    let search = search(attempt, wanted)?;
    context_baseline(attempt, engine, Idle::Before)?;
    let observer = Observer::start(engine);
    let mut levels: Vec<Level> = Vec::new();
    let mut log = RequestLog::default();
    let searched = loop {
        let seen: Vec<Outcome> = levels.iter().map(outcome).collect();
        match search.next(&seen) {
            Step::Done(found) => break Ok(found),
            Step::Try(level) => match try_level(attempt, engine, &observer, level, &mut log) {
                Ok(done) => levels.push(done),
                Err(fault) => break Err(fault),
            },
        }
    };
    let observed = observer.stop();
    let found = match searched {
        Ok(found) => found,
        Err(fault) => {
            attempt.requests = Some(log);
            return Err(fault);
        }
    };
    let report = SearchReport {
        goal: wanted.goal,
        found,
        levels: levels.iter().map(|it| it.report).collect(),
    };
    // Where nothing meets the objective, the least load is what can be told.
    let shown = found.unwrap_or(search.lowest);
    let place = report.levels.iter().position(|it| it.level.total_cmp(&shown).is_eq()).unwrap_or(0);
    let Level { warmup, driven, .. } = levels.swap_remove(place);
    if found.is_none() {
        attempt.warnings.push(format!("even the least load, {shown}, misses the objective"));
    }
    engine.inspect("end");
    context_baseline(attempt, engine, Idle::After)?;
    attempt.basis.windows = driven;
    let mut measured = conclude(attempt, load_seconds, warmup, log);
    measured.search = Some(report);
    let warnings = observed.complete(&mut measured.windows, attempt.requests.as_ref());
    attempt.warnings.extend(warnings);
    attempt.observed = observed;
    Ok(measured)
}

fn search(attempt: &Attempt<'_>, wanted: SearchSettings) -> Result<Search, Fault> {
    let bad = |message: String| Fault::new(Phase::Warmup, "bad-plan", message);
    let level = attempt.trial.traffic.as_ref().and_then(llem_core::study::Traffic::level);
    let (lowest, whole) = level
        .ok_or_else(|| bad("a search needs traffic with a rate or a concurrency".to_owned()))?;
    let SearchSettings { goal, highest, tolerance } = wanted;
    if highest <= lowest {
        return Err(bad(format!(
            "`search.highest` is {highest}, but the traffic starts at {lowest}"
        )));
    }
    let highest = if whole { highest.round() } else { highest };
    Ok(Search { goal, lowest, highest, tolerance, whole })
}

fn try_level(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    observer: &Observer,
    level: f64,
    all: &mut RequestLog,
) -> Result<Level, Fault> {
    let mut plan = plan(attempt, engine)?;
    let traffic = attempt.trial.traffic.as_ref().expect("the search has its level from it");
    plan.arrival = traffic.at_level(level).process(&attempt.trial.workload);
    // Or the engine would find the prompts of the level before in its prefix cache.
    plan.first_index = all.requests.iter().map(|it| it.index + 1).max().unwrap_or(0);
    let control = Arc::new(Control::new());
    let load = http::spawn(plan, Arc::clone(&control))
        .map_err(|it| Fault::from_error(Phase::Warmup, "load", &it))?;
    attempt.basis.windows.clear();
    let warmup = drive(attempt, engine, &control, &load, observer);
    control.drain();
    // Beyond what the engine can serve the queue never ends; who still waits has missed the objective.
    let patience = Instant::now() + attempt.trial.measure.window.max(Duration::from_secs(1));
    while warmup.is_ok() && !load.is_finished() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(20));
    }
    control.abort();
    let log = load.join().map_err(|it| Fault::from_error(Phase::Window, "load", &it));
    let (warmup, log) = (warmup?, log?);
    let driven = attempt.basis.windows.clone();
    let windows = windows(attempt, &log);
    append(all, log);
    let report = judge(attempt, level, &warmup, &windows);
    Ok(Level { report, warmup, driven })
}

/// All windows of a level are judged together.
fn judge(
    attempt: &Attempt<'_>,
    level: f64,
    warmup: &WarmupReport,
    windows: &[WindowRecord],
) -> SearchLevel {
    let verdicts = || windows.iter().filter_map(|it| it.metrics.slo);
    let count = |number: u64| u32::try_from(number).map_or(f64::INFINITY, f64::from);
    let judged = count(verdicts().map(|it| it.judged_requests).sum());
    let good = count(verdicts().map(|it| it.good_requests).sum());
    let attainment_ratio = (judged > 0.0).then(|| good / judged);
    let percentile = attempt.trial.slo.as_ref().and_then(|it| it.percentile).unwrap_or(100.0);
    let measured = Measured {
        load_seconds: 0.0,
        warmup: warmup.clone(),
        baselines_bare: Vec::new(),
        baselines: Vec::new(),
        baselines_after: Vec::new(),
        windows: windows.to_vec(),
        basis: None,
        search: None,
    };
    SearchLevel {
        level,
        is_met: attainment_ratio.is_some_and(|ratio| ratio * 100.0 >= percentile),
        attainment_ratio,
        energy_per_output_token_joules: figure(&measured, "energy_per_output_token_joules"),
        output_token_throughput_per_second: figure(&measured, "output_token_throughput_per_second"),
        begin_ns: windows.first().map_or(0, |it| it.begin_ns),
        end_ns: windows.last().map_or(0, |it| it.end_ns),
    }
}

fn outcome(level: &Level) -> Outcome {
    let SearchLevel { level, is_met, energy_per_output_token_joules: energy, .. } = level.report;
    Outcome { level, is_met, energy }
}

/// One log for all levels: their windows are told apart by time.
fn append(all: &mut RequestLog, log: RequestLog) {
    if all.requests.is_empty() {
        all.started_ns = log.started_ns;
    }
    all.ended_ns = log.ended_ns;
    all.requests.extend(log.requests);
    all.cpu.extend(log.cpu);
    all.notes.extend(log.notes);
}
