//! The steps before the measured engine: each runs to its end, or what it makes is there already; and the plugin may
//! revise what is left of the plan, but nothing that has run.

use std::time::Instant;

use llem_core::{
    backend::{Artefact, LaunchPlan, PlanFile, Step, StepReport},
    event::Phase,
};
use llem_launch::{LaunchError, Running, Secrets, Site, check, leaks};

use super::{
    engine::{EngineLog, NotStarted},
    failure::{CANCELLED, Fault},
    trial::{Bench, Trial},
};
use crate::artefacts::{Artefacts, Held};

/// Bytes of an artefact's files that a plugin gets to see.
const SEEN_BYTES: u64 = 64 * 1024;

/// What the steps so far came to.
#[derive(Debug, Default)]
pub(super) struct Preparation {
    done: Vec<StepReport>,
    artefacts: Vec<Held>,
}

impl Preparation {
    /// The artefacts, to be held as long as they are used.
    pub(super) fn into_artefacts(self) -> Vec<Held> {
        self.artefacts
    }

    /// Runs a step to its end, unless its artefact is complete already.
    pub(super) fn run(
        &mut self,
        step: &Step,
        produces: Option<&Artefact>,
        trial: &Trial,
        bench: &Bench<'_>,
        site: &mut Site,
    ) -> Result<(), NotStarted> {
        let Some(artefact) = produces else {
            let report = run(step, trial, bench, site)?;
            self.done.push(report);
            return Ok(());
        };
        let failed = |it: std::io::Error| {
            let fault = Fault::from_error(Phase::Load, "artefact", &it).hint(
                "`llem cache` says where artefacts are; check free space and permissions there",
            );
            NotStarted::new(fault, EngineLog::default())
        };
        let cancelled = || bench.cancel.is_wanted();
        let all = Artefacts::below(&bench.cache);
        let held = all.hold(&key(artefact, step, trial), &cancelled).map_err(failed)?;
        let Some(held) = held else {
            return Err(NotStarted::new(Fault::cancelled(Phase::Load), EngineLog::default()));
        };
        let files = &artefact.must_contain;
        let mut report = StepReport {
            step: step.id.clone(),
            cached: true,
            exit_code: None,
            duration_ms: 0,
            observed: Vec::new(),
            files: Vec::new(),
            log_tail: String::new(),
        };
        if !held.is_complete(files) {
            let place = held.begin().map_err(failed)?.to_owned();
            site.artefacts.insert(artefact.id.clone(), place);
            report = run(step, trial, bench, site)?;
            if !held.finish(files).map_err(failed)? {
                let message = format!("the step `{}` did not make `{}`", step.id, artefact.id);
                let fault = Fault::new(Phase::Load, "build", message)
                    .hint("each file that the plugin names must be there, and no link out of it");
                return Err(NotStarted::new(fault, EngineLog::default()));
            }
            all.trim(bench.artefact_limit).map_err(failed)?;
        }
        held.share().map_err(failed)?;
        site.artefacts.insert(artefact.id.clone(), held.path().to_owned());
        report.files = seen(&held, files);
        self.done.push(report);
        self.artefacts.push(held);
        Ok(())
    }

    /// The plan as the plugin revises it after the step at `index`; checked like a new one.
    pub(super) fn revise(
        &self,
        plan: &LaunchPlan,
        index: usize,
        trial: &Trial,
    ) -> Result<LaunchPlan, Fault> {
        let revised = trial.backend.revise(&trial.config, &trial.context, plan, &self.done);
        let revised = revised.map_err(|it| Fault::from_error(Phase::Load, "plugin", &it))?;
        if revised.steps.get(..=index) != plan.steps.get(..=index) {
            return Err(Fault::new(
                Phase::Load,
                "rewritten-history",
                format!(
                    "rewritten-history: the revised plan changes a step up to `{}`, which has run",
                    plan.steps[index].id
                ),
            ));
        }
        let environment = &trial.backend.environment;
        let mut violations = check(&revised, &environment.grant);
        violations
            .extend(leaks(&revised, Secrets::new(environment.host.secrets.values()).values()));
        if violations.is_empty() {
            Ok(revised)
        } else {
            Err(Fault::launch(&LaunchError::Refused(violations)))
        }
    }
}

fn run(
    step: &Step,
    trial: &Trial,
    bench: &Bench<'_>,
    site: &Site,
) -> Result<StepReport, NotStarted> {
    let environment = &trial.backend.environment;
    let started = Instant::now();
    let limit = step.limits.wall_ms.map(|it| std::time::Duration::from_millis(it.into()));
    let is_over = || limit.is_some_and(|it| started.elapsed() > it);
    let mut running = Running::start(step, site, &environment.programs, &environment.host)
        .map_err(|it| NotStarted::new(Fault::launch(&it), EngineLog::default()))?;
    let ready = running.wait_ready(&|| bench.cancel.is_wanted() || is_over());
    let ended = running.stop();
    let summary = running.log();
    match ready {
        Ok(()) => Ok(StepReport {
            step: step.id.clone(),
            cached: false,
            exit_code: ended.code,
            duration_ms: u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX),
            observed: summary.signals.iter().flat_map(|it| it.captures.clone()).collect(),
            files: Vec::new(),
            log_tail: if summary.tail.is_empty() { summary.head } else { summary.tail },
        }),
        Err(error) => {
            let fault = match Fault::not_ready(&error) {
                it if it.kind == CANCELLED && is_over() => Fault::new(
                    Phase::Load,
                    "build",
                    format!(
                        "the step `{}` was not done within {} s",
                        step.id,
                        limit.unwrap_or_default().as_secs()
                    ),
                ),
                it => it,
            };
            Err(NotStarted::new(fault, EngineLog { summary, ended, inspections: Vec::new() }))
        }
    }
}

/// Everything that changes what a step makes.
fn key(artefact: &Artefact, step: &Step, trial: &Trial) -> String {
    let gpu = trial.context.gpu.as_ref().map(|it| &it.name);
    let text = serde_json::to_string(&(
        &trial.backend.sha256,
        &trial.model.location,
        &trial.context.release,
        gpu,
        &step.image,
        // A tag may mean another content tomorrow.
        &trial.backend.image_id,
        &artefact.id,
        &artefact.key,
    ))
    .expect("keys are strings");
    format!("{}-{}", trial.backend.id, &blake3::hash(text.as_bytes()).to_hex()[..32])
}

/// The files that make an artefact complete, as far as a plugin may see them.
fn seen(held: &Held, files: &[String]) -> Vec<PlanFile> {
    let mut left = SEEN_BYTES;
    let file = |name: &String| {
        let path = held.path().join(name);
        let size = path.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        left = left.checked_sub(size)?;
        let contents = std::fs::read(path).ok()?;
        Some(PlanFile { name: name.clone(), contents, executable: false })
    };
    files.iter().filter_map(file).collect()
}
