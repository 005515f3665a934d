//! One task of a job: runs a shard in its allocation, with a journal of its own in the shard's directory.
//!
//! Knows no scheduler: it takes the GPUs that it was given by `CUDA_VISIBLE_DEVICES` and asks nobody.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use llem_core::{
    energy::{CounterState, Device, Instrument, Settings},
    event::Event,
    record::{Record, Site},
};
use llem_meter::{Gpus, Instruments, MeterOptions};
use serde::Serialize;

use super::{
    attempts::{self, Attempt, DONE, Done, REFUSED, Refused},
    merge::{link_raw, trial_names},
    shards::{self, BlockFile, ShardFile},
};
use crate::{
    config,
    diagnostics::{Failure, note},
    exit::ExitStatus,
    gpus,
    grants::Gate,
    locks::{self, LockError},
    machine::{self, Cores, Machine},
    planning::{self, Backends},
    runner::{self, Bench, Cancel, Finished},
    store::{Entry, Results, ResultsError},
};

/// How long idle boards are observed.
const IDLE: Duration = Duration::from_secs(3);
/// A board that is busy for more than this share of the time is used by somebody.
const BUSY_PERCENT: f64 = 5.0;

/// Why a task does not run its shard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The shard's file can't be read.
    #[error("`{}` is no shard of this version of llem: {message}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The study is not the one that was split.
    #[error("the study `{}` was changed since it was submitted", .0.display())]
    Changed(PathBuf),
    /// It was tried often enough.
    #[error("the shard was tried {0} times already")]
    TriedEnough(u32),
    /// The node failed a check.
    #[error("{0}")]
    Check(String),
}

/// What an attempt says of itself.
#[derive(Serialize)]
struct About<'a> {
    site: &'a Site,
    started_at: String,
    /// The scheduler's name of the task, if there is one.
    job: Option<String>,
    /// What each board did while nothing ran.
    idle: Vec<Idle>,
}

#[derive(Serialize)]
struct Idle {
    board: String,
    power_watts: Option<f64>,
    temperature_celsius: Option<u32>,
}

/// Runs the shard of a directory.
pub(crate) fn run(
    directory: &Path,
    allow: &[String],
    emit: &mut dyn FnMut(Event),
) -> Result<Finished, Failure> {
    let shard = read(directory).map_err(|it| refused(&it))?;
    let earlier = attempts::all(directory);
    let open: Vec<&BlockFile> =
        shard.blocks.iter().filter(|it| !is_complete(&earlier, &shard, it)).collect();
    if open.is_empty() {
        return Ok(Finished::default());
    }
    let tried = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
    if tried >= shard.tries {
        return Err(refused(&Refusal::TriedEnough(tried)));
    }
    // Before any other thread begins: they inherit it.
    let cores = machine::divide_cores().map_err(|it| Failure::message(ExitStatus::Usage, it))?;
    let (instruments, _) = Instruments::discover(&meter_options(shard.gpus));
    let devices = instruments.devices();
    let site = machine::site(&devices);
    let path = directory.join(attempt_name(&site));
    let carried = carried(&earlier, &shard, &open, &site);
    let mut entries = vec![Entry::Header(shard.header.clone())];
    entries.extend(carried.iter().map(|(_, it)| Entry::Record(Box::new(it.clone()))));
    let mut results = Results::create_at(&path, &entries).map_err(|it| unusable(&it))?;
    for (from, record) in &carried {
        link_raw(from, &path, &trial_names(std::slice::from_ref(record)))
            .map_err(|it| unusable(&it))?;
    }

    let (idle, fault) = check(&instruments, &devices, shard.gpus);
    let job = task_of_scheduler();
    let started_at = jiff::Timestamp::now().to_string();
    let about = About { site: &site, started_at, job, idle };
    results.write_json("task.json", &about).map_err(|it| unusable(&it))?;
    if let Some(reason) = fault {
        let answer = Refused { node: site.node.clone(), reason: reason.clone(), is_of_node: true };
        results.write_json(REFUSED, &answer).map_err(|it| unusable(&it))?;
        return Err(refused(&Refusal::Check(reason)));
    }
    results
        .write_json("environment.json", &Machine::read(devices.clone(), &cores))
        .map_err(|it| unusable(&it))?;
    let blocks: BTreeSet<u32> = open.iter().map(|it| it.number).collect();
    let records: Vec<Record> = carried.into_iter().map(|(_, it)| it).collect();
    let finished =
        carry_out(&shard, open, allow, &instruments, &cores, site, &records, &mut results, emit)?;
    drop(std::fs::remove_dir(results.path().join("scratch")));
    if finished.left == 0 && !finished.interrupted {
        results.write_json(DONE, &Done { blocks }).map_err(|it| unusable(&it))?;
    }
    Ok(finished)
}

#[expect(clippy::too_many_arguments, reason = "they are what a run consists of")]
fn carry_out(
    shard: &ShardFile,
    open: Vec<&BlockFile>,
    allow: &[String],
    instruments: &Instruments,
    cores: &Cores,
    site: Site,
    earlier: &[Record],
    results: &mut Results,
    emit: &mut dyn FnMut(Event),
) -> Result<Finished, Failure> {
    let devices = instruments.devices();
    let ids = machine::gpu_ids(&devices);
    let backends = Backends::new(Gate::new(allow.to_vec()))?
        .with_gpus(ids.clone())
        .with_cores(cores.engines.clone());
    let trials =
        open.into_iter().flat_map(|block| block.trials.iter().map(|it| (*it, block.number)));
    let planned = planning::part(
        &shard.invocation.study,
        shard.invocation.plugin.as_deref(),
        &backends,
        machine::gpu(&devices),
        shard.experiments.clone(),
        trials.collect(),
    )?;
    if shards::hash(planned.study.text()) != shard.study_hash {
        return Err(refused(&Refusal::Changed(shard.invocation.study.clone())));
    }
    let settings: Settings = root_of(results.path())
        .and_then(|it| Results::read_json(it, "settings.json").ok())
        .unwrap_or_default();
    let cancel = Cancel::install().map_err(|it| Failure::new(ExitStatus::Internal, &it))?;
    // The scheduler shares boards out among its own jobs; a study that somebody runs by hand is not one of them.
    let mut say = |error: &LockError| note(&format!("waiting: {error}"));
    let _gpus = locks::wait(&ids, &|| cancel.is_wanted(), &mut say)
        .map_err(|it| Failure::new(ExitStatus::Environment, &it))?;
    gpus::put_back(&ids, &mut |it| note(&it));
    let bench = Bench {
        gpus: gpus::prepare(&planned.expansion.experiments, &devices, allow)?,
        instruments,
        settings: &settings,
        cancel: &cancel,
        is_estimate: devices.iter().all(|it| it.instrument == Instrument::CpuTime),
        executable: std::env::current_exe()
            .map_err(|it| Failure::new(ExitStatus::Environment, &it))?,
        results: results.path().to_owned(),
        cache: machine::cache_directory(),
        artefact_limit: machine::artefact_limit(),
        site,
    };
    runner::run(&planned, results, earlier, &bench, emit).map_err(|it| unusable(&it))
}

fn read(directory: &Path) -> Result<ShardFile, Refusal> {
    let path = directory.join("shard.json");
    let unreadable = |message: String| Refusal::Unreadable { path: path.clone(), message };
    let text = std::fs::read(&path).map_err(|it| unreadable(it.to_string()))?;
    serde_json::from_slice(&text).map_err(|it| unreadable(it.to_string()))
}

/// The results that an attempt's directory, `shards/NUMBER/ATTEMPT`, is in.
fn root_of(attempt: &Path) -> Option<&Path> {
    attempt.parent()?.parent()?.parent()
}

fn is_complete(earlier: &[Attempt], shard: &ShardFile, block: &BlockFile) -> bool {
    let trials = shard.trial_ids(block);
    earlier.iter().any(|it| it.has_block(block.number, &trials))
}

/// Records of unfinished blocks that an earlier attempt made on this very hardware, with its directory: the block goes
/// on there. On other hardware it begins anew, since a block never spans two boards.
fn carried(
    earlier: &[Attempt],
    shard: &ShardFile,
    open: &[&BlockFile],
    site: &Site,
) -> Vec<(PathBuf, Record)> {
    let is_here = |it: &&Record| {
        it.site.as_ref().is_some_and(|it| it.node == site.node && it.boards == site.boards)
    };
    let of_block = |block: &&BlockFile| {
        let trials = shard.trial_ids(block);
        let own = |attempt: &Attempt| -> Vec<(PathBuf, Record)> {
            let records = attempt.records.iter().filter(|it| trials.contains(&it.trial));
            records.filter(is_here).map(|it| (attempt.path.clone(), it.clone())).collect()
        };
        earlier.iter().map(own).max_by_key(Vec::len).unwrap_or_default()
    };
    open.iter().flat_map(of_block).collect()
}

/// Only the GPUs that the allocation has: without any, none is metered.
fn meter_options(gpus: u32) -> MeterOptions {
    let options = config::meter_options();
    if gpus == 0 { MeterOptions { gpus: Gpus::None, ..options } } else { options }
}

/// Unique, and sorted by time.
fn attempt_name(site: &Site) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
    let job = task_of_scheduler().unwrap_or_else(|| "local".to_owned());
    format!("{now}-{job}-{}-{}", site.node, std::process::id())
}

fn task_of_scheduler() -> Option<String> {
    let read = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let job = read("SLURM_ARRAY_JOB_ID").or_else(|| read("SLURM_JOB_ID"))?;
    let task = read("SLURM_ARRAY_TASK_ID").map_or_else(String::new, |it| format!("_{it}"));
    let restarts = read("SLURM_RESTART_COUNT").map_or_else(String::new, |it| format!(".{it}"));
    Some(format!("{job}{task}{restarts}"))
}

/// What idle boards do, and why this node can't be used.
fn check(
    instruments: &Instruments,
    devices: &[Device],
    needed: u32,
) -> (Vec<Idle>, Option<String>) {
    let boards = machine::gpu_ids(devices);
    if boards.len() < usize::try_from(needed).unwrap_or(usize::MAX) {
        let found = boards.len();
        return (
            Vec::new(),
            Some(format!("the shard needs {needed} GPUs and the task has {found}")),
        );
    }
    if needed == 0 {
        return (Vec::new(), None);
    }
    for gpu in instruments.occupied() {
        let count = gpu.processes.len();
        if count > 0 {
            let fault = format!("{count} other processes use the GPU {}", gpu.device);
            return (Vec::new(), Some(fault));
        }
    }
    let recording = instruments.start(None);
    thread::sleep(IDLE);
    let series = recording.stop();
    let mut idle = Vec::new();
    let mut fault = None;
    for series in series.iter().filter(|it| it.device.instrument == Instrument::Nvml) {
        let board = series.device.id.clone();
        let busy: Vec<f64> =
            series.lane.utilization_percent.iter().flatten().map(|it| f64::from(*it)).collect();
        let mean = llem_core::stats::Sample::new(busy).map_or(0.0, |it| it.mean());
        if mean > BUSY_PERCENT {
            fault = Some(format!("the GPU {board} is {mean:.0} % busy with work of others"));
        }
        if matches!(series.calibration.counter, CounterState::Stuck | CounterState::Failed) {
            fault = Some(format!("the energy counter of the GPU {board} does not advance"));
        }
        let powers = series.lane.average_power_watts.iter().flatten();
        idle.push(Idle {
            power_watts: powers.last().map(|it| it.get()),
            temperature_celsius: series.lane.temperature_celsius.iter().flatten().last().copied(),
            board,
        });
    }
    (idle, fault)
}

fn refused(refusal: &Refusal) -> Failure {
    let status = match refusal {
        Refusal::Unreadable { .. } | Refusal::Changed(_) => ExitStatus::Usage,
        Refusal::TriedEnough(_) | Refusal::Check(_) => ExitStatus::Environment,
    };
    let failure = Failure::new(status, refusal);
    match refusal {
        Refusal::Changed(_) => failure.hint("submit the changed study as a new one"),
        Refusal::TriedEnough(_) => failure.hint("`executor.tries` in the study says how often"),
        Refusal::Check(_) | Refusal::Unreadable { .. } => failure,
    }
}

fn unusable(error: &ResultsError) -> Failure {
    Failure::new(ExitStatus::Environment, error)
}
