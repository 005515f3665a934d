//! The engine of a trial: its plan checked, its steps started in order, its log at the end.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use llem_core::{
    backend::{
        ArgPart, Attach, Drive, HttpRequest, Inspection, LaunchPlan, MountSource, Program, Role,
        RunOutput, Runner, Step, Subject,
    },
    event::Phase,
};
use llem_launch::{
    Attached, Ended, LaunchError, Listener, LogSummary, Running, Secrets, Site, check, leaks,
    listener,
};
use llem_load::{probe::probe, target::Target};

use super::{
    failure::Fault,
    offline::Worker,
    prepare::Preparation,
    trial::{Bench, Trial},
};
use crate::{artefacts::Held, store::raw_name};

/// Where an engine runs.
enum Place {
    /// Started by this program.
    Started(Box<Running>),
    /// Found running; it is left as it was.
    Found(Attached),
}

/// A running engine.
pub(super) struct Engine {
    place: Place,
    step: Step,
    started: Instant,
    inspections: Vec<Inspection>,
    command: Vec<String>,
    /// Of a batch engine, once its model is loaded.
    worker: Option<Worker>,
    secrets: Secrets,
    /// In use as long as it runs.
    _artefacts: Vec<Held>,
}

/// Whose energy a trial measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of a process of this machine and its descendants.
    Process(u32),
    /// That of something on this machine.
    Unknown,
    /// That of another machine.
    Elsewhere,
}

/// What an engine left behind.
#[derive(Debug, Default)]
pub(super) struct EngineLog {
    pub(super) summary: LogSummary,
    pub(super) ended: Ended,
    pub(super) inspections: Vec<Inspection>,
}

/// An engine that did not start, and what it left behind.
#[derive(Debug)]
pub(super) struct NotStarted(pub(super) Box<(Fault, EngineLog)>);

impl NotStarted {
    pub(super) fn new(fault: Fault, log: EngineLog) -> Self {
        Self(Box::new((fault, log)))
    }
}

impl EngineLog {
    /// For the plugin.
    pub(super) fn output(&self) -> RunOutput {
        RunOutput {
            exit_code: self.ended.code,
            signal: self.ended.signal,
            stopped_by_host: self.ended.stopped_by_host,
            log_head: self.summary.head.clone(),
            log_tail: self.summary.tail.clone(),
            inspections: self.inspections.clone(),
            signals: self.summary.signals.clone(),
        }
    }
}

impl Engine {
    /// Checks the plan, runs its prepare steps and starts its subject.
    pub(super) fn start(trial: &Trial, bench: &Bench<'_>) -> Result<Self, NotStarted> {
        let refused = |fault| NotStarted::new(fault, EngineLog::default());
        let environment = &trial.backend.environment;
        let secrets = Secrets::new(environment.host.secrets.values());
        let mut violations = check(&trial.launch, &environment.grant);
        violations.extend(leaks(&trial.launch, secrets.values()));
        if !violations.is_empty() {
            return Err(refused(Fault::launch(&LaunchError::Refused(violations))));
        }
        if let Some(attach) = trial.launch.attach() {
            return Self::attach(trial, &attach, secrets).map_err(refused);
        }
        let port = Site::free_port()
            .map_err(|it| refused(Fault::from_error(Phase::Load, "no-port", &it)))?;
        let mut site = Site {
            supervisor: bench.executable.clone(),
            scratch_parent: bench.results.join("scratch"),
            model: trial.model.location.clone(),
            port,
            artefacts: std::collections::BTreeMap::new(),
            log_file: None,
        };
        let mut plan = LaunchPlan::clone(&trial.launch);
        let mut preparation = Preparation::default();
        let mut index = 0;
        while let Some(step) = plan.steps.get(index).cloned() {
            let name = format!("{}-{}.log", raw_name(&trial.id), step.id);
            site.log_file = Some(bench.results.join("logs").join(name));
            if let Role::Prepare { produces } = &step.role {
                preparation.run(&step, produces.as_ref(), trial, bench, &mut site)?;
                if plan.revisable {
                    plan = preparation.revise(&plan, index, trial).map_err(refused)?;
                }
                index += 1;
                continue;
            }
            let started = Instant::now();
            let running = Running::start(&step, &site, &environment.programs, &environment.host)
                .map_err(|it| refused(Fault::launch(&it)))?;
            let command = shown(&step, &site);
            return Ok(Self {
                place: Place::Started(Box::new(running)),
                step,
                started,
                inspections: Vec::new(),
                command,
                worker: None,
                secrets,
                _artefacts: preparation.into_artefacts(),
            });
        }
        Err(refused(Fault::new(
            Phase::Load,
            "bad-plan",
            "the launch plan has no engine to measure",
        )))
    }

    /// Takes an engine that runs already.
    fn attach(trial: &Trial, attach: &Attach, secrets: Secrets) -> Result<Self, Fault> {
        let attached = Attached::to(attach, &trial.backend.environment.host)
            .map_err(|it| Fault::from_error(Phase::Load, it.kind(), &it))?;
        let step = trial.launch.steps.first().expect("the plan was checked").clone();
        Ok(Self {
            place: Place::Found(attached),
            step,
            started: Instant::now(),
            inspections: Vec::new(),
            command: vec!["(attached to)".to_owned(), attach.url.clone()],
            worker: None,
            secrets,
            _artefacts: Vec::new(),
        })
    }

    /// Waits until it is ready and gives the seconds since its start.
    pub(super) fn wait_ready(&mut self, cancelled: &dyn Fn() -> bool) -> Result<f64, Fault> {
        // A batch worker says itself when its model is loaded.
        if !matches!(self.subject().drive, Drive::Batch { .. }) {
            let ready = match &mut self.place {
                Place::Started(running) => running.wait_ready(cancelled),
                Place::Found(attached) => attached.wait_ready(&self.step, cancelled),
            };
            ready.map_err(|it| Fault::not_ready(&it))?;
            self.inspect("ready");
        }
        Ok(self.started.elapsed().as_secs_f64())
    }

    /// Makes the plan's inspections; answers go to the plugin.
    pub(super) fn inspect(&mut self, moment: &str) {
        for HttpRequest { id, method, path, body, .. } in &self.subject().inspections.clone() {
            let target = self.target("");
            let body = body.as_deref().map(str::as_bytes);
            if let Ok(answer) = probe(&target, method, path, body, Duration::from_secs(5)) {
                self.inspections.push(Inspection {
                    id: id.clone(),
                    moment: moment.to_owned(),
                    status: answer.status,
                    body: self.secrets.mask(String::from_utf8_lossy(&answer.body).into_owned()),
                });
            }
        }
    }

    pub(super) fn subject(&self) -> &Subject {
        match &self.step.role {
            Role::Subject(subject) => subject,
            Role::Prepare { .. } => unreachable!("only a subject becomes an engine"),
        }
    }

    /// Where it finds a model of the host.
    pub(super) fn model(&self, location: &str) -> String {
        let mounted = self.step.mounts.iter().find(|it| it.source == MountSource::Model);
        let is_inside = self.step.runner == Runner::Container && Path::new(location).is_absolute();
        mounted.filter(|_| is_inside).map_or_else(|| location.to_owned(), |it| it.target.clone())
    }

    /// Whose energy it is.
    pub(super) fn subject_of_energy(&self) -> Whose {
        match &self.place {
            Place::Started(running) => Whose::Process(running.pid()),
            Place::Found(attached) if !attached.is_local() => Whose::Elsewhere,
            Place::Found(attached) => {
                let found = listener(attached.port()).as_ref().and_then(Listener::pid);
                found.map_or(Whose::Unknown, Whose::Process)
            }
        }
    }

    /// Where requests go, below a base path such as `/v1`.
    pub(super) fn target(&self, base_path: &str) -> Target {
        match &self.place {
            Place::Started(running) => {
                let address = SocketAddr::from(([127, 0, 0, 1], running.port()));
                Target::at(address, base_path)
            }
            Place::Found(attached) => attached.target(base_path),
        }
    }

    /// The port that it was given; none: it was found running.
    pub(super) fn own_port(&self) -> Option<u16> {
        match &self.place {
            Place::Started(running) => Some(running.port()),
            Place::Found(_) => None,
        }
    }

    /// The image that it runs in, where it runs in a container.
    pub(super) fn image(&self) -> Option<String> {
        match &self.place {
            Place::Started(running) => running.image(),
            Place::Found(_) => None,
        }
    }

    /// The process of a batch engine.
    pub(super) fn running(&mut self) -> &mut Running {
        match &mut self.place {
            Place::Started(running) => running,
            Place::Found(_) => unreachable!("a plan that attaches is driven over HTTP"),
        }
    }

    /// Program and arguments as they were started.
    pub(super) fn command(&self) -> Vec<String> {
        self.command.clone()
    }

    /// Fails where the engine has ended by itself.
    pub(super) fn check_alive(&mut self, phase: Phase) -> Result<(), Fault> {
        // An engine that was found shows by its answers whether it is still there.
        let Place::Started(running) = &mut self.place else { return Ok(()) };
        match running.ended() {
            Some(ended) => Err(Fault::new(phase, "crash", format!("the engine ended: {ended}"))),
            None => Ok(()),
        }
    }

    /// Takes on the requests of another plan that starts the same engine.
    pub(super) fn turn_to(&mut self, plan: &LaunchPlan) {
        let subject = plan.steps.iter().find(|it| matches!(it.role, Role::Subject(_)));
        self.step = subject.expect("plans that start the same engine have one").clone();
        self.inspections.retain(|it| it.moment == "ready");
    }

    /// The worker of a batch engine whose model is loaded.
    pub(super) fn take_worker(&mut self) -> Option<Worker> {
        self.worker.take()
    }

    /// Keeps a worker that has done its work until the next trial, or the end.
    pub(super) fn keep_worker(&mut self, worker: Worker) {
        self.worker = Some(worker);
    }

    /// What it has said so far, while it goes on.
    pub(super) fn log_so_far(&self) -> EngineLog {
        EngineLog {
            summary: self.log(),
            ended: Ended::default(),
            inspections: self.inspections.clone(),
        }
    }

    /// Stops it and returns what it left behind.
    pub(super) fn stop(mut self) -> EngineLog {
        if let Some(worker) = self.worker.take() {
            worker.quit();
        }
        let ended = match &mut self.place {
            Place::Started(running) => running.stop(),
            Place::Found(_) => Ended { stopped_by_host: true, ..Ended::default() },
        };
        EngineLog { summary: self.log(), ended, inspections: self.inspections }
    }

    fn log(&self) -> LogSummary {
        match &self.place {
            Place::Started(running) => running.log(),
            Place::Found(_) => LogSummary::default(),
        }
    }
}

/// The command for people; secrets are in the environment only.
fn shown(step: &Step, site: &Site) -> Vec<String> {
    let program = match &step.command.program {
        Program::Named(name) => name.clone(),
        Program::Bundled(name) => format!("llem engine {name}"),
        Program::Entrypoint => "(entry point)".to_owned(),
    };
    let part = |it: &ArgPart| match it {
        ArgPart::Literal(text) => text.clone(),
        ArgPart::Model => site.model.clone(),
        ArgPart::Port => "PORT".to_owned(),
        ArgPart::Address => "127.0.0.1".to_owned(),
        ArgPart::Scratch => "SCRATCH".to_owned(),
        ArgPart::Artefact(name) | ArgPart::File(name) => name.clone(),
        ArgPart::GpuIndices => "GPUS".to_owned(),
    };
    let args = step.command.args.iter().map(|it| it.iter().map(part).collect::<String>());
    std::iter::once(program).chain(args).collect()
}
