//! The order of a study's trials: what runs next, when an experiment has enough, when to give up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use llem_core::{
    backend::Mode,
    breaker::{Breaker, Circuit},
    event::Event,
    record::{EngineReport, FORMAT, Outcome, Record, Site, TrialId, figures},
    repeat::next_best,
    schedule,
    study::NEVER_SHARED,
};
use llem_launch::LogSummary;

use super::{
    agenda::Agenda,
    failure::{CANCELLED, Fault, TIMEOUT},
    observe::Observed,
    repeats::{Budget, Progress},
    rest::rest,
    shared::Kept,
    trial::{self, Bench, Emit, TrialResult},
};
use crate::{
    planning::Planned,
    store::{Entry, Results, ResultsError, raw_name, write_requests, write_series},
};

/// How often a pause looks whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Time before the probe of an open circuit: what a driver needs to free an engine's memory, and more.
const PAUSE: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) left: u32,
    pub(crate) interrupted: bool,
}

/// The engine that one trial may leave running for the next.
struct Sharing<'a> {
    kept: &'a mut Option<Kept>,
    keep: bool,
}

/// What is known while a study runs.
struct State<'a> {
    planned: &'a Planned,
    agenda: Agenda,
    progress: Progress<'a>,
    /// Trials of this run.
    trials: u32,
    breaker: Breaker,
    /// The engine that failed last.
    failed_engine: u64,
    started: Instant,
    /// Seconds that earlier runs of the study took.
    earlier_seconds: f64,
    /// Whether its time or its energy ended the study.
    is_spent: bool,
    finished: Finished,
}

/// Runs all trials of a plan that have no record yet.
pub(crate) fn run(
    planned: &Planned,
    results: &mut Results,
    earlier: &[Record],
    bench: &Bench<'_>,
    emit: Emit<'_>,
) -> Result<Finished, ResultsError> {
    let mut state = State::new(planned, earlier);
    emit(Event::StudyStarted {
        study: planned.study.name().to_owned(),
        results: results.path().display().to_string(),
        experiments: count(planned.expansion.experiments.len()),
        trials: count(state.agenda.left()),
        finished_before: count(earlier.len()),
    });
    let mut kept = None;
    while !bench.cancel.is_wanted() {
        let Some(place) = state.next(bench, emit) else { break };
        // Other trials may be asked for once this one is known; a kept engine that none needs is stopped.
        let next = state.agenda.first(Some(place), |_| true);
        let keep_engine =
            next.is_some_and(|next| planned.engine_key(next) == planned.engine_key(place));
        let mut engine = Sharing { kept: &mut kept, keep: keep_engine };
        let result = state.run_one(place, &mut engine, results, bench, emit)?;
        if bench.cancel.is_wanted() && is_of(&result.record, CANCELLED) {
            break;
        }
        if state.is_time_up() && is_of(&result.record, TIMEOUT) {
            // Not the trial's fault; it runs again when the study goes on with more time.
            state.end_by_budget(TIME_IS_UP, emit);
            break;
        }
        keep(results, &result)?;
        state.add(place, &result.record, emit);
        if state.agenda.left() > 0 {
            let gpus = &result.record.engine.gpus;
            rest(planned.study.measure(), bench, gpus, planned.trial_id(place), emit);
        }
    }
    if let Some(kept) = kept {
        for message in kept.stop(bench).1 {
            emit(Event::Warning { message });
        }
    }
    for message in bench.gpus.release() {
        emit(Event::Warning { message });
    }
    let mut finished = state.finished;
    finished.left = count(state.left());
    finished.interrupted = bench.cancel.is_wanted();
    if finished.interrupted && finished.left > 0 {
        let message = "interrupted; what is finished is kept, and `--resume` goes on with it";
        emit(Event::Warning { message: message.to_owned() });
    }
    emit(Event::StudyFinished {
        completed: finished.completed,
        failed: finished.failed,
        left: finished.left,
    });
    Ok(finished)
}

const TIME_IS_UP: &str = "its time is used up";

fn say_end(emit: Emit<'_>, reason: &str) {
    emit(Event::Warning { message: format!("the study ends early: {reason}") });
}

impl<'a> State<'a> {
    fn new(planned: &'a Planned, earlier: &[Record]) -> Self {
        let measure = planned.study.measure();
        let limits = planned.study.limits();
        let has_budget = limits.study.is_some() || limits.energy_joules.is_some();
        // With a budget, every experiment gets its least number before any gets more.
        let first = |trial: &schedule::Trial| !has_budget || trial.repeat < measure.repeats.min;
        let experiments = &planned.expansion.experiments;
        let mut state = Self {
            planned,
            agenda: Agenda::new(&planned.schedule.trials, experiments.len(), first),
            progress: Progress::new(measure, planned.blocks.is_some()),
            trials: 0,
            breaker: Breaker::new(limits.consecutive_failures),
            failed_engine: NEVER_SHARED,
            started: Instant::now(),
            earlier_seconds: earlier.iter().map(|it| it.duration_seconds).sum(),
            is_spent: false,
            finished: Finished::default(),
        };
        let mut places = BTreeMap::new();
        for place in 0..planned.schedule.trials.len() {
            places.insert(planned.trial_id(place), place);
        }
        for record in earlier {
            state.progress.add(record);
            if let Some(place) = places.get(&record.trial) {
                state.done(*place);
            }
        }
        state
    }

    /// Takes a trial with a record off the agenda.
    fn done(&mut self, place: usize) {
        self.agenda.finish(place);
        let experiment = self.planned.experiment(place);
        if self.progress.has_enough(&self.planned.trial_id(place).experiment) {
            self.agenda.has_enough(experiment);
        }
    }

    /// The trial to run next; none where the study is done or must end.
    fn next(&mut self, bench: &Bench<'_>, emit: Emit<'_>) -> Option<usize> {
        let next = self.agenda.next()?;
        if self.is_time_up() {
            self.end_by_budget(TIME_IS_UP, emit);
            return None;
        }
        match self.breaker.circuit() {
            Circuit::Closed | Circuit::HalfOpen => self.affordable(next, emit),
            Circuit::Open => {
                let failures = self.breaker.failures();
                let pause = PAUSE.as_secs();
                emit(Event::Warning {
                    message: format!(
                        "{failures} trials in a row failed: after {pause} s one more is tried, with another engine where there is one"
                    ),
                });
                pause_for(PAUSE, bench);
                self.breaker.probe();
                let other = |place: usize| self.planned.engine_key(place) != self.failed_engine;
                self.agenda.first(None, other).or(Some(next))
            }
            Circuit::Broken => {
                let failures = self.breaker.failures();
                say_end(emit, &format!("{failures} trials in a row failed"));
                None
            }
        }
    }

    /// The next trial in order, or with a budget the one that narrows most for what it costs.
    fn affordable(&mut self, next: usize, emit: Emit<'_>) -> Option<usize> {
        let limits = self.planned.study.limits();
        let spent = self.progress.spent();
        if limits.energy_joules.is_some_and(|limit| spent.joules >= limit) {
            self.end_by_budget("its energy is used up", emit);
            return None;
        }
        let least = self.planned.study.measure().repeats.min;
        let is_budgeted = limits.study.is_some() || limits.energy_joules.is_some();
        if !is_budgeted || self.planned.schedule.trials[next].repeat < least {
            return Some(next);
        }
        let budget = if limits.study.is_some() { Budget::Time } else { Budget::Energy };
        let time_left = limits.study.map(|it| it.as_secs_f64() - self.seconds());
        let energy_left = limits.energy_joules.map(|it| it - spent.joules);
        let fits = |name: &str, kind, left: Option<f64>| {
            left.is_none_or(|left| self.progress.candidate(name, kind, 0.0).cost <= left)
        };
        let mut experiments = Vec::new();
        let mut candidates = Vec::new();
        for experiment in self.agenda.experiments() {
            let name = self.planned.expansion.experiments[experiment].id.to_string();
            if fits(&name, Budget::Time, time_left) && fits(&name, Budget::Energy, energy_left) {
                candidates.push(self.progress.candidate(&name, budget, 0.0));
                experiments.push(experiment);
            }
        }
        let Some(best) = next_best(&candidates) else {
            self.end_by_budget("what is left of its budget is not enough for another trial", emit);
            return None;
        };
        self.agenda.first(None, |place| self.planned.experiment(place) == experiments[best])
    }

    fn end_by_budget(&mut self, reason: &str, emit: Emit<'_>) {
        self.is_spent = true;
        say_end(emit, reason);
    }

    /// Trials that were asked for and not run. Repeats above the least number are what a budget is there to limit, so
    /// that a study which spent it lacks only those below.
    fn left(&self) -> usize {
        let least = self.planned.study.measure().repeats.min;
        let trials = &self.planned.schedule.trials;
        if self.is_spent {
            self.agenda.left_where(|place| trials[place].repeat < least)
        } else {
            self.agenda.left()
        }
    }

    /// Seconds that the study took, earlier runs included.
    fn seconds(&self) -> f64 {
        self.earlier_seconds + self.started.elapsed().as_secs_f64()
    }

    fn is_time_up(&self) -> bool {
        self.planned.study.limits().study.is_some_and(|it| self.seconds() >= it.as_secs_f64())
    }

    fn run_one(
        &mut self,
        place: usize,
        engine: &mut Sharing<'_>,
        results: &mut Results,
        bench: &Bench<'_>,
        emit: Emit<'_>,
    ) -> Result<TrialResult, ResultsError> {
        let trial = self.planned.trial(place);
        results.append(&Entry::TrialStarted { trial: trial.id.clone() })?;
        let left = self.agenda.left();
        self.trials += 1;
        emit(Event::TrialStarted {
            trial: trial.id.clone(),
            label: trial.label.clone(),
            number: self.trials,
            of: self.trials + count(left) - 1,
            seconds_left: self.seconds_left(left),
            energy_joules_left: self
                .progress
                .joules_a_trial()
                .map(|it| it * f64::from(count(left))),
        });
        Ok(match trial.runnable {
            Ok(mut runnable) => {
                let left = self.planned.study.limits().study.map(|it| {
                    let left = (it.as_secs_f64() - self.seconds()).max(0.0);
                    Duration::try_from_secs_f64(left).unwrap_or_default()
                });
                runnable.limit = runnable.limit.into_iter().chain(left).min();
                trial::run(&runnable, engine.kept, engine.keep, bench, emit)
            }
            Err(fault) => {
                not_runnable(trial.id, trial.position, trial.mode, bench.site(trial.block), fault)
            }
        })
    }

    /// From the trials so far; none before the first.
    fn seconds_left(&self, left: usize) -> Option<f64> {
        let done = self.finished.completed + self.finished.failed;
        let mean = self.started.elapsed().as_secs_f64() / f64::from(done);
        (done > 0).then(|| mean * f64::from(count(left)))
    }

    fn add(&mut self, place: usize, record: &Record, emit: Emit<'_>) {
        if record.is_completed() {
            self.finished.completed += 1;
            self.breaker.add(true);
        } else {
            self.finished.failed += 1;
            // A configuration that can't work says nothing of the machine.
            if !matches!(&record.outcome, Outcome::Failed(failure) if failure.permanent) {
                self.breaker.add(false);
                self.failed_engine = self.planned.engine_key(place);
            }
        }
        emit(finished_event(record));
        for message in &record.warnings {
            emit(Event::Warning { message: message.clone() });
        }
        self.progress.add(record);
        self.done(place);
    }
}

fn not_runnable(
    trial: TrialId,
    position: u32,
    mode: Mode,
    site: Site,
    fault: Fault,
) -> TrialResult {
    let record = Record {
        format: FORMAT,
        trial,
        position,
        started_at: jiff::Timestamp::now().to_string(),
        duration_seconds: 0.0,
        mode,
        site: Some(site),
        outcome: Outcome::Failed(fault.into_record(None, &LogSummary::default())),
        engine: EngineReport::default(),
        gpu_settings: Vec::new(),
        warnings: Vec::new(),
    };
    TrialResult { record, series: Vec::new(), requests: None, observed: Observed::default() }
}

/// Raw data first, so that a record in the journal never lacks what it was computed from.
fn keep(results: &mut Results, result: &TrialResult) -> Result<(), ResultsError> {
    let trial = &result.record.trial;
    if !result.series.is_empty() {
        write_series(results.path(), trial, &result.series)?;
    }
    if let Some(requests) = &result.requests {
        write_requests(results.path(), trial, requests)?;
    }
    if !result.observed.is_empty() {
        let name = raw_name(trial);
        results.write_json(&format!("server/{name}.json"), &result.observed)?;
    }
    results.append(&Entry::Record(Box::new(result.record.clone())))
}

fn is_of(record: &Record, kind: &str) -> bool {
    matches!(&record.outcome, Outcome::Failed(failure) if failure.kind == kind)
}

/// What a record is told as.
pub(crate) fn finished_event(record: &Record) -> Event {
    let shown = ["energy_per_output_token_joules", "output_token_throughput_per_second"];
    let all = record.measured().map(figures).unwrap_or_default();
    let wanted = all.into_iter().filter(|it| shown.contains(&it.name.as_str()));
    Event::TrialFinished {
        trial: record.trial.clone(),
        figures: wanted.map(|it| (it.name, it.value)).collect(),
        failure: match &record.outcome {
            Outcome::Failed(failure) => Some(failure.message.clone()),
            Outcome::Completed(_) => None,
        },
        seconds: record.duration_seconds,
    }
}

fn pause_for(length: Duration, bench: &Bench<'_>) {
    let until = Instant::now() + length;
    while Instant::now() < until && !bench.cancel.is_wanted() {
        std::thread::sleep(until.saturating_duration_since(Instant::now()).min(LOOK));
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
