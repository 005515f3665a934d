//! An engine that is kept between trials, so that those that differ only in requests share it.

use llem_core::{
    account::CarriedBare,
    backend::{Attach, Drive, LaunchPlan, Role, Step},
    energy::Baseline,
    event::Phase,
    record::{SharedEngine, TrialId},
    study::NEVER_SHARED,
};

use llem_meter::Occupied;

use super::{
    engine::{Engine, EngineLog},
    left,
    trial::{Bench, Trial},
};

/// A running engine and what it was started for.
pub(super) struct Kept {
    pub(super) engine: Engine,
    /// Seconds from its start to readiness.
    pub(super) load_seconds: f64,
    /// Idle power before it was started, once that is known.
    bare: Vec<Baseline>,
    /// What its GPUs held before it was started.
    before: Vec<Occupied>,
    started: Started,
}

/// What identifies a running engine.
struct Started {
    key: u64,
    component: String,
    model: String,
    steps: Vec<Step>,
    attach: Option<Attach>,
    since: String,
    trial: TrialId,
    served: u32,
}

impl Kept {
    /// An engine that was just started for a trial.
    pub(super) fn started(engine: Engine, trial: &Trial, before: Vec<Occupied>) -> Self {
        let started = Started {
            key: trial.engine_key,
            component: trial.backend.sha256.clone(),
            model: trial.model.location.clone(),
            steps: without_requests(&trial.launch),
            attach: trial.launch.attach(),
            since: jiff::Timestamp::now().to_string(),
            trial: trial.id.clone(),
            served: 0,
        };
        Self { engine, load_seconds: 0.0, bare: Vec::new(), before, started }
    }

    /// Whether it runs and is what a trial needs. The plugin's plans are compared as well, because
    /// only they say what really reaches the engine when it starts.
    pub(super) fn serves(&mut self, trial: &Trial) -> bool {
        let it = &self.started;
        it.key != NEVER_SHARED
            && it.key == trial.engine_key
            && it.component == trial.backend.sha256
            && it.model == trial.model.location
            && !trial.launch.revisable
            && it.steps == without_requests(&trial.launch)
            && it.attach == trial.launch.attach()
            && self.engine.check_alive(Phase::Load).is_ok()
    }

    /// Gets ready for another trial, whose requests differ.
    pub(super) fn turn_to(&mut self, trial: &Trial) {
        self.started.served += 1;
        self.engine.turn_to(&trial.launch);
    }

    /// Takes what the trial that it was started for found without an engine.
    pub(super) fn remember(&mut self, bare: &[Baseline]) {
        if self.started.served == 0 {
            self.bare = bare.to_vec();
        }
    }

    /// What the device idled at before this engine ran, for a trial that can't observe it.
    pub(super) fn carried(&self) -> Option<CarriedBare> {
        let is_later = self.started.served > 0 && !self.bare.is_empty();
        is_later.then(|| CarriedBare {
            trial: self.started.trial.clone(),
            baselines: self.bare.clone(),
        })
    }

    /// For the record; none for the trial that it was started for.
    pub(super) fn report(&self) -> Option<SharedEngine> {
        let it = &self.started;
        (it.served > 0).then(|| SharedEngine {
            since: it.since.clone(),
            started_for: it.trial.clone(),
            served: it.served,
        })
    }

    /// Stops it, and returns what it left behind: its log, and what of it is still there.
    pub(super) fn stop(self, bench: &Bench<'_>) -> (EngineLog, Vec<String>) {
        let port = self.engine.own_port();
        let log = self.engine.stop();
        let now = || bench.instruments.occupied();
        let left = port.map(|port| left::after_stop(Some(port), &self.before, &now));
        (log, left.unwrap_or_default())
    }
}

/// The steps of a plan without what only goes into requests.
fn without_requests(plan: &LaunchPlan) -> Vec<Step> {
    let mut steps = plan.steps.clone();
    for step in &mut steps {
        if let Role::Subject(subject) = &mut step.role {
            match &mut subject.drive {
                Drive::Http { body, .. } => body.clear(),
                Drive::Batch { body, batch_size, .. } => {
                    body.clear();
                    *batch_size = None;
                }
            }
        }
    }
    steps
}
