//! One trial, from launch to record.

use std::{path::PathBuf, sync::Arc, time::Instant};

use llem_core::{
    backend::{Config, Context, LaunchPlan, Mode, Observation, Value},
    energy::Series,
    event::{Event, Phase},
    latency::{RequestLog, Slo},
    record::{EngineReport, FORMAT, Measured, Outcome, Record, TrialId},
    study::{MeasureSettings, Traffic, Workload as WorkloadSettings},
    units::Watts,
    workload::Workload,
};
use llem_launch::{Grant, HostEnvironment, Programs};
use llem_meter::{Instruments, Recording};

use super::{Cancel, drive, engine::Engine, failure::Fault, observe::Observed};
use crate::{models::ResolvedModel, planning::Backend};

/// Everything that one trial needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) id: TrialId,
    pub(crate) position: u32,
    pub(crate) mode: Mode,
    pub(crate) backend: Arc<Backend>,
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) launch: Arc<LaunchPlan>,
    pub(crate) model: ResolvedModel,
    pub(crate) settings: WorkloadSettings,
    pub(crate) workload: Workload,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) slo: Option<Slo>,
    pub(crate) measure: MeasureSettings,
    pub(crate) seed: u64,
}

/// What all trials of a run share.
pub(crate) struct Bench<'a> {
    pub(crate) instruments: &'a Instruments,
    pub(crate) cancel: &'a Cancel,
    /// No instrument measures here, a model estimates.
    pub(crate) is_estimate: bool,
    /// This executable: supervisor and linked engines.
    pub(crate) executable: PathBuf,
    pub(crate) results: PathBuf,
    pub(crate) cache: PathBuf,
}

/// Where and how a backend's steps run.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) programs: Programs,
    pub(crate) host: HostEnvironment,
    pub(crate) grant: Grant,
}

/// Told every event.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Event);

/// A trial's record and what it was computed from.
pub(crate) struct TrialResult {
    pub(crate) record: Record,
    pub(crate) series: Vec<Series>,
    pub(crate) requests: Option<RequestLog>,
    pub(crate) observed: Observed,
}

/// Runs a trial; whatever happens, its result says so and nothing of it is left running.
pub(crate) fn run(trial: &Trial, bench: &Bench<'_>, emit: Emit<'_>) -> TrialResult {
    let started_at = jiff::Timestamp::now().to_string();
    let clock = Instant::now();
    let recording = bench.instruments.start(None);
    let mut attempt = Attempt {
        trial,
        bench,
        emit,
        recording,
        requests: None,
        observed: Observed::default(),
        warnings: Vec::new(),
    };
    let (outcome, engine) = attempt.run();
    let Attempt { recording, requests, mut observed, warnings, .. } = attempt;
    let record = Record {
        format: FORMAT,
        trial: trial.id.clone(),
        position: trial.position,
        started_at,
        duration_seconds: clock.elapsed().as_secs_f64(),
        mode: trial.mode,
        outcome,
        engine,
        warnings,
    };
    let series = recording.stop();
    if let Some(log) = &requests {
        observed.align(&series, log);
    }
    TrialResult { record, series, requests, observed }
}

/// A trial under way.
pub(super) struct Attempt<'a> {
    pub(super) trial: &'a Trial,
    pub(super) bench: &'a Bench<'a>,
    pub(super) emit: Emit<'a>,
    pub(super) recording: Recording,
    pub(super) requests: Option<RequestLog>,
    pub(super) observed: Observed,
    pub(super) warnings: Vec<String>,
}

impl Attempt<'_> {
    fn run(&mut self) -> (Outcome, EngineReport) {
        let mut report = EngineReport {
            planned: plain(&self.trial.launch.effective),
            ..EngineReport::default()
        };
        self.phase(Phase::Load);
        let mut engine = match Engine::start(self.trial, self.bench) {
            Ok(engine) => engine,
            Err(not_started) => {
                let (fault, log) = *not_started.0;
                let observed = self.trial.backend.parse(
                    &self.trial.config,
                    &self.trial.context,
                    &log.output(),
                );
                let failure = fault.into_record(observed.ok().as_ref(), &log.summary);
                return (Outcome::Failed(failure), report);
            }
        };
        self.recording.set_subject(engine.pid());
        report.command = engine.command();
        let measured = self.measure(&mut engine, &mut report);
        self.phase(Phase::Stop);
        let log = engine.stop();
        if log.ended.left_over > 0 {
            let left = log.ended.left_over;
            self.warnings
                .push(format!("{left} processes of the engine outlived it and were killed"));
        }
        let observed =
            self.trial.backend.parse(&self.trial.config, &self.trial.context, &log.output());
        let observed = observed.map_err(|error| self.warnings.push(error)).ok();
        if let Some(observed) = &observed {
            self.note(observed, &mut report);
        }
        let outcome = match measured {
            Ok(measured) => Outcome::Completed(Box::new(measured)),
            Err(fault) => Outcome::Failed(fault.into_record(observed.as_ref(), &log.summary)),
        };
        (outcome, report)
    }

    fn measure(
        &mut self,
        engine: &mut Engine,
        report: &mut EngineReport,
    ) -> Result<Measured, Fault> {
        let load_seconds = engine.wait_ready(&|| self.bench.cancel.is_wanted())?;
        drive::measure(self, engine, report, load_seconds)
    }

    /// What the engine said of itself.
    fn note(&mut self, observed: &Observation, report: &mut EngineReport) {
        report.version = observed.engine_version.clone().or(report.version.take());
        report.effective.extend(plain(&observed.effective));
        report.measures.extend(observed.measures.iter().cloned());
        self.warnings.extend(observed.warnings.iter().cloned());
        for (path, used) in &report.effective {
            // An engine that runs with another value than was asked for makes the label a lie.
            if let Some(asked) = report.planned.get(path)
                && asked != used
                && *asked != Value::Text("auto".to_owned())
            {
                self.warnings.push(format!("the engine uses `{path}` = {used}, not {asked}"));
            }
        }
    }

    pub(super) fn phase(&mut self, phase: Phase) {
        (self.emit)(Event::PhaseStarted { trial: self.trial.id.clone(), phase });
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.bench.cancel.is_wanted()
    }

    /// Tells power and speed, at most as often as it is called.
    pub(super) fn progress(&mut self, tokens_per_second: Option<f64>, done: Option<f64>) {
        let latest = self.recording.latest();
        let estimated = self.bench.is_estimate;
        let powers = latest.iter().map(|it| it.power_watts.map(Watts::get));
        let event = Event::Progress {
            trial: self.trial.id.clone(),
            power_watts: powers.sum::<Option<f64>>().filter(|_| !latest.is_empty()),
            power_is_estimated: estimated,
            output_tokens_per_second: tokens_per_second,
            temperature_celsius: latest
                .iter()
                .filter_map(|it| it.temperature_celsius)
                .max()
                .map(f64::from),
            done,
        };
        (self.emit)(event);
    }
}

fn plain(config: &Config) -> std::collections::BTreeMap<String, Value> {
    config.iter().map(|(path, value)| (path.to_string(), value.clone())).collect()
}
