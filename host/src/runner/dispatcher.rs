//! The order of a study's trials: what runs next, when an experiment has enough, when to give up.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use llem_core::{
    backend::Mode,
    event::{Event, Phase},
    record::{EngineReport, FORMAT, Outcome, Record, TrialId, figures},
    study::Rest,
};
use llem_launch::LogSummary;

use super::{
    failure::{CANCELLED, Fault},
    observe::Observed,
    repeats::Progress,
    trial::{self, Bench, Emit, TrialResult},
};
use crate::{
    planning::Planned,
    store::{Entry, Results, ResultsError},
};

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) left: u32,
    pub(crate) interrupted: bool,
}

/// What is known while a study runs.
struct State<'a> {
    planned: &'a Planned,
    /// Finished trials, earlier runs included.
    recorded: BTreeSet<TrialId>,
    progress: Progress<'a>,
    /// Seconds of the trials of this run.
    durations: Vec<f64>,
    consecutive_failures: u32,
    started: Instant,
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
    let mut state = State {
        planned,
        recorded: earlier.iter().map(|it| it.trial.clone()).collect(),
        progress: Progress::new(planned.study.measure()),
        durations: Vec::new(),
        consecutive_failures: 0,
        started: Instant::now(),
        finished: Finished::default(),
    };
    for record in earlier {
        state.progress.add(record);
    }
    let pending: Vec<usize> =
        (0..planned.schedule.trials.len()).filter(|it| state.wants(*it)).collect();
    emit(Event::StudyStarted {
        study: planned.study.name().to_owned(),
        results: results.path().display().to_string(),
        experiments: count(planned.expansion.experiments.len()),
        trials: count(pending.len()),
        finished_before: count(state.recorded.len()),
    });
    for (done, place) in pending.iter().enumerate() {
        if bench.cancel.is_wanted() || state.gives_up(emit) {
            break;
        }
        if !state.wants(*place) {
            continue;
        }
        let left = pending[done..].iter().filter(|it| state.wants(**it)).count();
        let result = state.run_one(*place, left, results, bench, emit)?;
        if bench.cancel.is_wanted() && is_cancelled(&result.record) {
            break;
        }
        keep(results, &result)?;
        state.add(result.record, emit);
        if left > 1 {
            rest(planned, bench, planned.trial_id(*place), emit);
        }
    }
    let mut finished = state.finished;
    finished.left = count(pending.iter().filter(|it| state.wants(**it)).count());
    finished.interrupted = bench.cancel.is_wanted();
    emit(Event::StudyFinished {
        completed: finished.completed,
        failed: finished.failed,
        left: finished.left,
    });
    Ok(finished)
}

impl State<'_> {
    /// Whether the trial at a place of the order still has to run.
    fn wants(&self, place: usize) -> bool {
        let id = self.planned.trial_id(place);
        !self.recorded.contains(&id) && !self.progress.has_enough(&id.experiment)
    }

    fn run_one(
        &self,
        place: usize,
        left: usize,
        results: &mut Results,
        bench: &Bench<'_>,
        emit: Emit<'_>,
    ) -> Result<TrialResult, ResultsError> {
        let trial = self.planned.trial(place);
        results.append(&Entry::TrialStarted { trial: trial.id.clone() })?;
        let number = count(self.durations.len()) + 1;
        emit(Event::TrialStarted {
            trial: trial.id.clone(),
            label: trial.label.clone(),
            number,
            of: number + count(left) - 1,
            seconds_left: self.seconds_left(left),
        });
        Ok(match trial.runnable {
            Ok(runnable) => trial::run(&runnable, bench, emit),
            Err(fault) => not_runnable(trial.id, trial.position, trial.mode, fault),
        })
    }

    /// From the trials of this run so far; none before the first.
    fn seconds_left(&self, left: usize) -> Option<f64> {
        let mean = self.durations.iter().sum::<f64>() / f64::from(count(self.durations.len()));
        (!self.durations.is_empty()).then(|| mean * f64::from(count(left)))
    }

    fn add(&mut self, record: Record, emit: Emit<'_>) {
        self.durations.push(record.duration_seconds);
        if record.is_completed() {
            self.finished.completed += 1;
            self.consecutive_failures = 0;
        } else {
            self.finished.failed += 1;
            self.consecutive_failures += 1;
        }
        emit(finished_event(&record));
        for message in &record.warnings {
            emit(Event::Warning { message: message.clone() });
        }
        self.progress.add(&record);
        self.recorded.insert(record.trial);
    }

    fn gives_up(&self, emit: Emit<'_>) -> bool {
        let limits = self.planned.study.limits();
        let reason = match (limits.study, limits.consecutive_failures) {
            (Some(limit), _) if self.started.elapsed() > limit => {
                Some("the study's time is used up".to_owned())
            }
            (_, Some(limit)) if self.consecutive_failures >= limit.get() => {
                Some(format!("{} trials in a row failed", self.consecutive_failures))
            }
            _ => None,
        };
        if let Some(reason) = &reason {
            emit(Event::Warning { message: format!("the study ends early: {reason}") });
        }
        reason.is_some()
    }
}

fn not_runnable(trial: TrialId, position: u32, mode: Mode, fault: Fault) -> TrialResult {
    let record = Record {
        format: FORMAT,
        trial,
        position,
        started_at: jiff::Timestamp::now().to_string(),
        duration_seconds: 0.0,
        mode,
        outcome: Outcome::Failed(fault.into_record(None, &LogSummary::default())),
        engine: EngineReport::default(),
        warnings: Vec::new(),
    };
    TrialResult { record, series: Vec::new(), requests: None, observed: Observed::default() }
}

/// Raw data first, so that a record in the journal never lacks what it was computed from.
fn keep(results: &mut Results, result: &TrialResult) -> Result<(), ResultsError> {
    let TrialId { experiment, repeat } = &result.record.trial;
    if !result.series.is_empty() {
        results.write_json(&format!("series/{experiment}-{repeat}.json"), &result.series)?;
    }
    if let Some(requests) = &result.requests {
        results.write_json(&format!("requests/{experiment}-{repeat}.json"), requests)?;
    }
    if !result.observed.is_empty() {
        results.write_json(&format!("server/{experiment}-{repeat}.json"), &result.observed)?;
    }
    results.append(&Entry::Record(Box::new(result.record.clone())))
}

fn is_cancelled(record: &Record) -> bool {
    matches!(&record.outcome, Outcome::Failed(failure) if failure.kind == CANCELLED)
}

fn finished_event(record: &Record) -> Event {
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

/// Idle time between trials, so that one does not warm the next.
fn rest(planned: &Planned, bench: &Bench<'_>, trial: TrialId, emit: Emit<'_>) {
    let length = match planned.study.measure().rest {
        Rest::Duration(length) => length,
        // Without an instrument that sees idle power there is nothing to wait for.
        Rest::Auto if bench.is_estimate => Duration::ZERO,
        Rest::Auto => Duration::from_secs(5),
    };
    if length.is_zero() {
        return;
    }
    emit(Event::PhaseStarted { trial, phase: Phase::Rest });
    let until = Instant::now() + length;
    while Instant::now() < until && !bench.cancel.is_wanted() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
