//! One trial, from launch to record.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use llem_core::{
    account::Basis,
    backend::{Config, Context, LaunchPlan, Mode, Observation, Role, Value},
    energy::{Series, Settings, Window},
    event::{Event, Phase},
    latency::{RequestLog, Slo},
    record::{
        EngineReport, FORMAT, GpuSetting, Measured, Outcome, Record, Site, TrialId, WindowRecord,
    },
    study::{
        Baseline as Wanted, GpuSettings, MeasureSettings, Traffic, Workload as WorkloadSettings,
    },
    units::Watts,
    workload::Workload,
};
use llem_launch::{Grant, HostEnvironment, LogSummary, Programs, Secrets, process_name};
use llem_meter::{Instruments, Occupied, Recording};

use super::{
    Cancel, drive,
    engine::{Engine, Whose},
    failure::{CANCELLED, Fault, GPU_SETTING, TIMEOUT},
    observe::Observed,
    shared::Kept,
};
use crate::{gpus::Gpus, models::ResolvedModel, planning::Backend};

/// Everything that one trial needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) id: TrialId,
    pub(crate) engine_key: u64,
    /// Longest time that it may take.
    pub(crate) limit: Option<Duration>,
    pub(crate) position: u32,
    /// Block of a shard that it belongs to.
    pub(crate) block: Option<u32>,
    pub(crate) mode: Mode,
    pub(crate) backend: Arc<Backend>,
    pub(crate) config: Config,
    pub(crate) context: Context,
    pub(crate) launch: Arc<LaunchPlan>,
    pub(crate) model: ResolvedModel,
    pub(crate) settings: WorkloadSettings,
    pub(crate) workload: Workload,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) gpu: GpuSettings,
    pub(crate) slo: Option<Slo>,
    pub(crate) measure: MeasureSettings,
    pub(crate) seed: u64,
}

impl Trial {
    /// The GPUs that its engine sees, by UUID: only these count.
    pub(super) fn gpus(&self) -> &[String] {
        let host = &self.backend.environment.host;
        let mut steps = self.launch.steps.iter();
        let subject = steps.find(|it| matches!(it.role, Role::Subject(_)));
        subject.map_or(&host.gpus, |step| host.gpus_of(step))
    }
}

/// What all trials of a run share.
pub(crate) struct Bench<'a> {
    pub(crate) instruments: &'a Instruments,
    /// Calibrations and what else the user knows.
    pub(crate) settings: &'a Settings,
    pub(crate) cancel: &'a Cancel,
    /// No instrument measures here, a model estimates.
    pub(crate) is_estimate: bool,
    /// This executable: supervisor and linked engines.
    pub(crate) executable: PathBuf,
    pub(crate) results: PathBuf,
    pub(crate) cache: PathBuf,
    /// Bytes that all built artefacts together may have.
    pub(crate) artefact_limit: u64,
    /// This machine and its boards.
    pub(crate) site: Site,
    /// GPUs that experiments may set.
    pub(crate) gpus: Gpus,
}

impl Bench<'_> {
    /// Where a trial of a block runs.
    pub(super) fn site(&self, block: Option<u32>) -> Site {
        Site { block, ..self.site.clone() }
    }
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

/// Runs a trial; whatever happens, its result says so and nothing of it is left running, except an
/// engine in good order that is kept where `keep` says that the next trial can use it.
pub(super) fn run(
    trial: &Trial,
    kept: &mut Option<Kept>,
    keep: bool,
    bench: &Bench<'_>,
    emit: Emit<'_>,
) -> TrialResult {
    let mut running = kept.take();
    let mut warnings = Vec::new();
    if running.as_mut().is_some_and(|it| !it.serves(trial)) {
        emit(Event::PhaseStarted { trial: trial.id.clone(), phase: Phase::Stop });
        warnings.extend(running.take().map(|it| it.stop(bench).1).unwrap_or_default());
    }
    // An engine of the study itself is no stranger.
    let before = if running.is_none() { bench.instruments.occupied() } else { Vec::new() };
    warnings.extend(strangers(&before));
    let started_at = jiff::Timestamp::now().to_string();
    let clock = Instant::now();
    // Before anything is recorded, and before an engine tunes itself to what it finds.
    let (mut gpu_settings, not_set) = match set_gpus(trial, bench) {
        Ok(set) => (set, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let recording = bench.instruments.start_with(trial.gpus());
    let mut attempt = Attempt {
        trial,
        bench,
        emit,
        recording,
        deadline: trial.limit.map(|it| clock + it),
        basis: Basis::default(),
        series: None,
        requests: None,
        observed: Observed::default(),
        warnings,
    };
    let (outcome, engine) = match not_set {
        None => attempt.run(running, before, kept, keep),
        Some(fault) => {
            drop(running);
            let failure = fault.into_record(None, &LogSummary::default());
            (Outcome::Failed(failure), EngineReport::default())
        }
    };
    let Attempt { recording, series, requests, mut observed, mut warnings, .. } = attempt;
    let outcome = judged(outcome, &mut gpu_settings, series.as_deref(), &mut warnings);
    let record = Record {
        format: FORMAT,
        trial: trial.id.clone(),
        position: trial.position,
        started_at,
        duration_seconds: clock.elapsed().as_secs_f64(),
        mode: trial.mode,
        site: Some(bench.site(trial.block)),
        outcome,
        engine,
        gpu_settings,
        warnings,
    };
    let record = masked(record, &Secrets::new(trial.backend.environment.host.secrets.values()));
    let series = series.unwrap_or_else(|| recording.stop());
    if let Some(log) = &requests {
        observed.align(&series, log);
    }
    TrialResult { record, series, requests, observed }
}

/// Sets the engine's GPUs as the experiment asks.
fn set_gpus(trial: &Trial, bench: &Bench<'_>) -> Result<Vec<GpuSetting>, Fault> {
    if !trial.gpu.is_empty() && trial.launch.attach().is_some() {
        let why =
            "`gpu.*` is for engines that llem starts: which GPUs a running one uses is unknown";
        return Err(Fault::new(Phase::Load, GPU_SETTING, why)
            .hint("take `gpu.*` out of the study, or let llem start the engine"));
    }
    let set = bench.gpus.set(trial.gpu, trial.gpus());
    set.map_err(|it| {
        Fault::new(Phase::Load, GPU_SETTING, it)
            .hint("`nvidia-smi -q -d POWER,CLOCK` shows what holds; nothing is set any more")
    })
}

/// The outcome, unless a GPU was not what it had been set to while it was measured.
fn judged(
    outcome: Outcome,
    settings: &mut [GpuSetting],
    series: Option<&[Series]>,
    warnings: &mut Vec<String>,
) -> Outcome {
    let Outcome::Completed(measured) = &outcome else { return outcome };
    let window = |it: &WindowRecord| Window { begin_ns: it.begin_ns, end_ns: it.end_ns };
    let windows: Vec<Window> = measured.windows.iter().map(window).collect();
    let mut failure = None;
    for setting in settings {
        match setting.judge(series.unwrap_or_default(), &windows) {
            Ok(remark) => warnings.extend(remark),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    let Some(why) = failure else { return outcome };
    let fault = Fault::new(Phase::Window, GPU_SETTING, why).hint(
        "something else sets this GPU as well, or limits it: see `nvidia-smi -q -d POWER,CLOCK`",
    );
    Outcome::Failed(fault.into_record(None, &LogSummary::default()))
}

/// Memory that a driver keeps for itself stays below this.
const DRIVERS_OWN_BYTES: u64 = 1 << 30;

/// Names what is on the GPUs before the engine is.
fn strangers(gpus: &[Occupied]) -> Vec<String> {
    let said = |gpu: &Occupied| {
        let processes: Vec<String> = gpu.processes.iter().map(|it| process_name(*it)).collect();
        let mebibytes = gpu.memory_bytes.unwrap_or_default() >> 20;
        match (processes.is_empty(), gpu.memory_bytes) {
            (false, _) => Some(format!(
                "before the engine started, {} computed on {}, with {mebibytes} MiB in use: energy and speed are not the \
                 engine's alone",
                processes.join(", "),
                gpu.device
            )),
            (true, Some(used)) if used > DRIVERS_OWN_BYTES => Some(format!(
                "before the engine started, {mebibytes} MiB of {} were in use by no process that the driver names",
                gpu.device
            )),
            (true, _) => None,
        }
    };
    gpus.iter().filter_map(said).collect()
}

/// The record without the value of any secret, whoever put it there: engine, plugin or an error's text.
fn masked(record: Record, secrets: &Secrets) -> Record {
    if secrets.is_empty() {
        return record;
    }
    let text = serde_json::to_string(&record).expect("a record has string keys only");
    let clean = secrets.mask_json(text.clone());
    if clean == text {
        return record;
    }
    serde_json::from_str(&clean).unwrap_or_else(|_| {
        // A secret that is part of the form itself, such as `{`: nothing of the record can be kept.
        let fault =
            Fault::new(Phase::Stop, "secret", "the record held a secret and could not be cleaned");
        Record {
            outcome: Outcome::Failed(fault.into_record(None, &LogSummary::default())),
            engine: EngineReport::default(),
            warnings: Vec::new(),
            ..record
        }
    })
}

/// A trial under way.
pub(super) struct Attempt<'a> {
    pub(super) trial: &'a Trial,
    pub(super) bench: &'a Bench<'a>,
    pub(super) emit: Emit<'a>,
    pub(super) recording: Recording,
    /// When its time is up.
    pub(super) deadline: Option<Instant>,
    /// What its figures rest on, as far as it has come.
    pub(super) basis: Basis,
    /// What its figures were computed from.
    pub(super) series: Option<Vec<Series>>,
    pub(super) requests: Option<RequestLog>,
    pub(super) observed: Observed,
    pub(super) warnings: Vec<String>,
}

impl Attempt<'_> {
    fn run(
        &mut self,
        running: Option<Kept>,
        before: Vec<Occupied>,
        kept: &mut Option<Kept>,
        keep: bool,
    ) -> (Outcome, EngineReport) {
        let mut report = EngineReport {
            planned: plain(&self.trial.launch.effective),
            gpus: self.trial.gpus().to_vec(),
            ..EngineReport::default()
        };
        // With an engine that runs already there is no bare device to observe.
        let bare = if running.is_none() { drive::bare_baseline(self) } else { Ok(()) };
        if let Err(fault) = bare {
            let failure = fault.into_record(None, &LogSummary::default());
            return (Outcome::Failed(failure), report);
        }
        self.phase(Phase::Load);
        let started = match running {
            Some(mut it) => {
                it.turn_to(self.trial);
                Ok(it)
            }
            None => Engine::start(self.trial, self.bench)
                .map(|it| Kept::started(it, self.trial, before)),
        };
        let mut own = match started {
            Ok(it) => it,
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
        if let Whose::Process(pid) = own.engine.subject_of_energy() {
            self.recording.set_subject(pid);
        }
        report.command = own.engine.command();
        report.shared = own.report();
        if self.trial.measure.baseline == Wanted::Bare {
            self.basis.carried = own.carried();
        }
        let measured = self.measure(&mut own, &mut report);
        report.image = own.engine.image();
        if let Ok(measured) = &measured {
            own.remember(&measured.baselines_bare);
        }
        let goes_on = keep && measured.is_ok() && own.engine.check_alive(Phase::Stop).is_ok();
        let log = if goes_on {
            let log = own.engine.log_so_far();
            *kept = Some(own);
            log
        } else {
            self.phase(Phase::Stop);
            let (log, left) = own.stop(self.bench);
            self.warnings.extend(left);
            log
        };
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

    /// Points the instruments at the engine, or away where they would measure something else.
    fn watch(&mut self, whose: Whose) {
        let why = match whose {
            Whose::Process(pid) => return self.recording.set_subject(pid),
            Whose::Unknown if !self.bench.is_estimate => return,
            Whose::Unknown => {
                "no process of this user's listens there, so nothing can be estimated"
            }
            Whose::Elsewhere => "the endpoint is not on this machine",
        };
        self.recording = self.bench.instruments.start_blind();
        self.warnings.push(format!("energy is not measured: {why}"));
    }

    fn measure(&mut self, own: &mut Kept, report: &mut EngineReport) -> Result<Measured, Fault> {
        if report.shared.is_none() {
            own.load_seconds =
                own.engine.wait_ready(&|| self.check(Phase::Load).is_err()).map_err(|fault| {
                    // Waiting was given up for the user or for the time.
                    self.check(Phase::Load)
                        .err()
                        .filter(|_| fault.kind == CANCELLED)
                        .unwrap_or(fault)
                })?;
        }
        // A container has its process only once its image is there, and what was found running is known once it answers.
        self.watch(own.engine.subject_of_energy());
        drive::measure(self, &mut own.engine, report, own.load_seconds)
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

    /// Fails where the user wants to stop or the trial's time is up.
    pub(super) fn check(&self, phase: Phase) -> Result<(), Fault> {
        if self.bench.cancel.is_wanted() {
            return Err(Fault::cancelled(phase));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                let limit = self.trial.limit.unwrap_or_default().as_secs_f64();
                let message = format!("the trial was not done within {limit:.1} s");
                Err(Fault::new(phase, TIMEOUT, message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The earlier of the trial's deadline and `longest` from now.
    pub(super) fn within(&self, longest: Duration) -> Instant {
        let latest = Instant::now() + longest;
        self.deadline.map_or(latest, |it| it.min(latest))
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
