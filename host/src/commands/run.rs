//! `llem run`: a study from file to results.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use llem_core::{
    energy::{Instrument, Settings},
    event::Event,
    record::{Outcome, Record},
    study::ExecutorKind,
};
use llem_meter::Level;

use crate::{
    Discover,
    cli::{Progress, RunArgs},
    config,
    diagnostics::{Failure, note},
    exit::ExitStatus,
    gpus,
    grants::Gate,
    locks::{self, LockError},
    machine::{self, Machine},
    planning::{self, Backends, Planned},
    report,
    results::{ResultSet, Summary},
    runner::{self, Bench, Cancel},
    store::{Entry, FORMAT, Header, JournalError, Origin, Results, ResultsError},
};

/// Runs a study.
pub(crate) fn run(args: &RunArgs, instruments: Discover<'_>) -> Result<ExitStatus, Failure> {
    if let Some(shard) = &args.cluster.shard {
        return super::cluster::task(args, shard);
    }
    let executor = planning::read(&args.study)?.executor();
    let kind = match args.cluster.executor.as_deref() {
        Some("slurm") => ExecutorKind::Slurm,
        Some(_) => ExecutorKind::Local,
        None => executor.kind,
    };
    match kind {
        ExecutorKind::Slurm if args.only.is_some() || args.directory.is_some() => {
            Err(Failure::message(
                ExitStatus::Usage,
                "`--only` and `--directory` are for studies on this machine",
            )
            .hint("add `--executor local`"))
        }
        ExecutorKind::Slurm => super::cluster::submit(args, executor),
        ExecutorKind::Local if args.cluster.dry_run || args.cluster.detach => {
            Err(Failure::message(
                ExitStatus::Usage,
                "`--dry-run` and `--detach` are for studies on a cluster",
            )
            .hint("add `--executor slurm`; `llem plan` shows what would run here"))
        }
        ExecutorKind::Local => Ok(here(args, instruments)?.0),
    }
}

/// Runs a study on this machine and says where its results are.
pub(super) fn here(
    args: &RunArgs,
    instruments: Discover<'_>,
) -> Result<(ExitStatus, PathBuf), Failure> {
    // First of all: every later thread inherits it.
    let cores = machine::divide_cores().map_err(undivided)?;
    let (instruments, findings) = instruments();
    let devices = instruments.devices();
    let ids = machine::gpu_ids(&devices);
    let backends = Backends::new(Gate::new(args.allow.clone()).asking())?
        .with_gpus(ids.clone())
        .with_cores(cores.engines.clone());
    let mut planned = planning::plan(
        &args.study,
        args.directory.as_deref(),
        args.plugin.as_deref(),
        &backends,
        machine::gpu(&devices),
        true,
    )?;
    if planned.expansion.experiments.is_empty() {
        return Err(nothing_to_run(&planned));
    }
    if let Some(wanted) = &args.only {
        planned = planned.only(wanted)?;
    }
    let settings = config::read()?;
    let cancel = Cancel::install().map_err(|it| Failure::new(ExitStatus::Internal, &it))?;
    // Held until the last record is written.
    let _gpus = lock_gpus(&ids, args.wait, &cancel)?;
    sweep();
    gpus::put_back(&ids, &mut |it| note(&it));
    let settable = gpus::prepare(&planned.expansion.experiments, &devices, &args.allow)?;
    let (_, mut results, earlier) = open(args, &planned, args.retry_failed)?;
    describe(&results, &planned, &settings).map_err(|it| unusable(&it))?;
    results
        .write_json("environment.json", &Machine::read(devices.clone(), &cores))
        .map_err(|it| unusable(&it))?;

    let mut reporter = report::reporter(args.progress());
    let warnings = findings.iter().filter(|it| it.level == Level::Warning);
    for finding in warnings {
        reporter(&Event::Warning { message: format!("{}: {}", finding.subject, finding.message) });
    }
    for message in planned.notes() {
        reporter(&Event::Warning { message });
    }
    let bench = Bench {
        instruments: &instruments,
        settings: &settings,
        cancel: &cancel,
        is_estimate: devices.iter().all(|it| it.instrument == Instrument::CpuTime),
        executable: std::env::current_exe()
            .map_err(|it| Failure::new(ExitStatus::Environment, &it))?,
        results: results.path().to_owned(),
        cache: machine::cache_directory(),
        site: machine::site(&devices),
        artefact_limit: machine::artefact_limit(),
        gpus: settable,
    };
    let finished =
        runner::run(&planned, &mut results, &earlier, &bench, &mut |event| reporter(&event))
            .map_err(|it| unusable(&it))?;
    drop(std::fs::remove_dir(results.path().join("scratch")));

    let summary = summary_of(results.path())?;
    results.write_json("summary.json", &summary).map_err(|it| unusable(&it))?;
    match args.progress() {
        Progress::Human => report::print_summary(&summary, results.path()),
        Progress::Json | Progress::Quiet => (),
    }
    let status = match finished {
        it if it.interrupted => ExitStatus::Interrupted,
        it if it.failed > 0 || it.left > 0 => ExitStatus::Failures,
        _ => ExitStatus::Success,
    };
    Ok((status, results.path().to_owned()))
}

/// Processors that can't be divided as the user wants it.
fn undivided(why: String) -> Failure {
    Failure::message(ExitStatus::Usage, why)
        .hint("name some of the processors that llem may use, and leave some for engines")
}

/// The summary of a results directory, from its plan and journal.
pub(crate) fn summary_of(results: &Path) -> Result<Summary, Failure> {
    ResultSet::only_summary(results).map_err(|it| unusable(&it))
}

/// Longest time that a container engine may take to be rid of what dead runs left.
const SWEEP: Duration = Duration::from_secs(15);

/// Ends processes and removes containers of dead runs, which may hold a GPU, before anything is measured.
fn sweep() {
    llem_launch::end_orphans();
    let engine = config::container_engine();
    let is_there = llem_launch::containers_are_reachable(engine.as_deref());
    let attendant = std::env::current_exe().ok().filter(|_| is_there);
    let started = attendant.and_then(|it| {
        let mut command = Command::new(it);
        command.args(["container", "sweep"]);
        command.envs(engine.map(|it| (config::CONTAINER_ENGINE.variable, it)));
        command.spawn().ok()
    });
    let Some(mut child) = started else { return };
    let deadline = Instant::now() + SWEEP;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            note("the container engine does not answer; containers of dead runs may be left");
            drop(child.kill().and_then(|()| child.wait()));
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The GPUs of this machine for this study alone.
fn lock_gpus(gpus: &[String], wait: bool, cancel: &Cancel) -> Result<locks::Locked, Failure> {
    let locked = if wait {
        let mut say = |error: &LockError| note(&format!("waiting: {error}"));
        locks::wait(gpus, &|| cancel.is_wanted(), &mut say)
    } else {
        locks::try_lock(gpus)
    };
    locked.map_err(|error| match &error {
        LockError::Cancelled(_) => Failure::new(ExitStatus::Interrupted, &error),
        LockError::InUse { .. } => Failure::new(ExitStatus::Environment, &error)
            .hint("`--wait` waits for it; CUDA_VISIBLE_DEVICES chooses other GPUs"),
        LockError::Io { .. } => Failure::new(ExitStatus::Environment, &error)
            .hint("LLEM_LOCK_DIR names another directory, the same for all studies of the machine"),
    })
}

/// New results, or earlier ones with their records, those of failed trials only where they are not tried again.
pub(super) fn open(
    args: &RunArgs,
    planned: &Planned,
    retry_failed: bool,
) -> Result<(Header, Results, Vec<Record>), Failure> {
    let opened = || -> Result<_, ResultsError> {
        let now = jiff::Timestamp::now();
        let header = header(planned, &now.to_string());
        let Some(wanted) = &args.resume else {
            let stamp = now.strftime("%Y-%m-%dT%H%M%SZ").to_string();
            let results = Results::create(&args.parent(), header.clone(), &stamp)?;
            return Ok((header, results, Vec::new()));
        };
        let path = match wanted {
            Some(directory) => directory.clone(),
            None => Results::newest(&args.parent(), planned.study.name())?,
        };
        let (mut results, entries) = Results::resume(&path, &header)?;
        clear_scratch(results.path());
        results.append(&Entry::Resumed { at: now.to_string() })?;
        Ok((header, results, records(entries, retry_failed)))
    };
    opened().map_err(|it| unusable(&it))
}

/// Records of a journal, the last of each trial; failed ones may be left out to be run again.
pub(super) fn records(entries: Vec<Entry>, retry_failed: bool) -> Vec<Record> {
    let all = entries
        .into_iter()
        .filter_map(|it| if let Entry::Record(it) = it { Some(*it) } else { None });
    let mut last = std::collections::BTreeMap::new();
    for record in all {
        last.insert(record.trial.clone(), record);
    }
    let wanted = |it: &Record| !(retry_failed && matches!(it.outcome, Outcome::Failed(_)));
    last.into_values().filter(wanted).collect()
}

/// What a killed run left behind.
fn clear_scratch(results: &Path) {
    drop(std::fs::remove_dir_all(results.join("scratch")));
}

fn header(planned: &Planned, now: &str) -> Header {
    Header {
        format: FORMAT,
        llem: env!("CARGO_PKG_VERSION").to_owned(),
        study: planned.study.name().to_owned(),
        started_at: now.to_owned(),
        experiments: planned.expansion.experiments.iter().map(|it| it.id.to_string()).collect(),
        plugins: planned.backends.values().map(|it| (it.id.clone(), it.sha256.clone())).collect(),
        seed: planned.study.seed(),
    }
}

/// What a reader of the results needs beside the journal and the environment.
pub(super) fn describe(
    results: &Results,
    planned: &Planned,
    settings: &Settings,
) -> Result<(), ResultsError> {
    results.write_text("study.toml", planned.study.text())?;
    results.write_json("origin.json", &Origin { directory: planned.directory() })?;
    results.write_json("plan.json", &planned.expansion)?;
    results.write_json("settings.json", settings)
}

pub(super) fn nothing_to_run(planned: &Planned) -> Failure {
    let reasons = planned.expansion.skipped.iter().take(5);
    let reasons: Vec<String> =
        reasons.map(|it| format!("{}: {} ({})", it.label, it.message, it.rule)).collect();
    let message = format!("the study has no configuration that can run\n{}", reasons.join("\n"));
    Failure::message(ExitStatus::Usage, message)
        .hint("`llem plan` lists every skipped configuration")
}

pub(crate) fn unusable(error: &ResultsError) -> Failure {
    let status = match error {
        ResultsError::Changed { .. }
        | ResultsError::NothingToResume { .. }
        | ResultsError::NotResults(_) => ExitStatus::Usage,
        ResultsError::Io { .. }
        | ResultsError::TooNew { .. }
        | ResultsError::Unreadable { .. }
        | ResultsError::Locked(_)
        | ResultsError::Raw(_)
        | ResultsError::Journal(_) => ExitStatus::Environment,
    };
    let failure = Failure::new(status, error);
    match error {
        ResultsError::Changed { .. } => failure.hint("run the changed study without `--resume`"),
        ResultsError::Locked(_) => {
            failure.hint("wait for it, or give another directory with `--results`")
        }
        ResultsError::NothingToResume { .. } => failure.hint("give the directory: `--resume DIR`"),
        ResultsError::TooNew { .. } => {
            failure.hint("use the version of llem that wrote them, or a newer one")
        }
        ResultsError::Journal(JournalError::Damaged { .. }) => failure.hint(
            "restore the file from a copy and go on with `--resume`, or run the study anew without it",
        ),
        ResultsError::Journal(JournalError::Unknown { .. }) => {
            failure.hint("use the version of llem that wrote it, see `environment.json` beside it")
        }
        ResultsError::Journal(JournalError::Io { .. })
        | ResultsError::Io { .. }
        | ResultsError::Raw(_) => failure.hint(
            "check free space and permissions; what was finished is kept, `--resume` goes on with it",
        ),
        ResultsError::Unreadable { .. } | ResultsError::NotResults(_) => failure,
    }
}
