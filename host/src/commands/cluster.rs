//! `llem run` on a cluster: the submitting side, and `--shard`, which jobs call.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use llem_core::{event::Event, study::ExecutorSettings};

use super::{output, run};
use crate::{
    cli::{Progress, RunArgs},
    cluster::{self, ExecutorError, Invocation, Options, Slurm},
    config,
    diagnostics::Failure,
    exit::ExitStatus,
    gpus,
    grants::Gate,
    machine::{Cores, Machine},
    planning::{self, Backends},
    report,
    runner::Cancel,
};

/// Submits a study, follows it and merges it.
pub(super) fn submit(args: &RunArgs, settings: ExecutorSettings) -> Result<ExitStatus, Failure> {
    let backends = Backends::new(Gate::new(args.allow.clone()).asking())?;
    let planned = planning::plan(&args.study, None, args.plugin.as_deref(), &backends, None, true)?;
    if planned.expansion.experiments.is_empty() {
        return Err(run::nothing_to_run(&planned));
    }
    gpus::permitted(&planned.expansion.experiments, &args.allow)?;
    let found = if args.cluster.dry_run { Ok(Slurm::imagined()) } else { Slurm::find() };
    let executor = found.map_err(|it| missing(&it))?;
    let options = Options {
        executor: &executor,
        llem: program(&settings)?,
        settings,
        invocation: invocation(args)?,
        poll: Duration::from_secs_f64(args.cluster.poll),
        detach: args.cluster.detach,
        retry_failed: args.retry_failed,
    };
    if args.cluster.dry_run {
        let parent = absolute(&args.parent())?;
        let results = parent.join(format!("{}-TIME", planned.study.name()));
        return output(&cluster::dry_run(&planned, &results, &options)?.join("\n"));
    }
    let user = config::read()?;
    let cancel = Cancel::install().map_err(|it| Failure::new(ExitStatus::Internal, &it))?;
    let (header, mut results, earlier) = run::open(args, &planned, false)?;
    run::describe(&results, &planned, &user).map_err(|it| run::unusable(&it))?;
    if args.resume.is_none() {
        // Until the first node has described itself.
        let machine = Machine::read(Vec::new(), &Cores::default());
        results.write_json("environment.json", &machine).map_err(|it| run::unusable(&it))?;
    }
    let mut reporter = report::reporter(args.progress());
    for message in planned.notes() {
        reporter(&Event::Warning { message });
    }
    let outcome =
        cluster::run(&planned, &header, &mut results, &earlier, &options, &cancel, &mut |event| {
            reporter(&event);
        })?;
    let summary = run::summary_of(results.path())?;
    results.write_json("summary.json", &summary).map_err(|it| run::unusable(&it))?;
    if outcome.jobs_go_on {
        let (study, results) = (args.study.display(), results.path().display());
        reporter(&Event::Warning {
            message: format!(
                "the jobs go on; follow them: `llem run {study} --executor slurm --resume {results}`"
            ),
        });
        return Ok(if args.cluster.detach { ExitStatus::Success } else { ExitStatus::Interrupted });
    }
    match args.progress() {
        Progress::Human => report::print_summary(&summary, results.path()),
        Progress::Json | Progress::Quiet => (),
    }
    Ok(if outcome.failed > 0 || outcome.left > 0 {
        ExitStatus::Failures
    } else {
        ExitStatus::Success
    })
}

/// Runs one shard in an allocation.
pub(super) fn task(args: &RunArgs, shard: &Path) -> Result<ExitStatus, Failure> {
    let mut reporter = report::reporter(args.progress());
    let finished = cluster::run_task(shard, &args.allow, &mut |event| reporter(&event))?;
    Ok(match finished {
        it if it.interrupted => ExitStatus::Interrupted,
        it if it.failed > 0 || it.left > 0 => ExitStatus::Failures,
        _ => ExitStatus::Success,
    })
}

/// The program that tasks run: nodes must find it at the same place.
fn program(settings: &ExecutorSettings) -> Result<String, Failure> {
    if let Some(llem) = &settings.llem {
        return Ok(llem.clone());
    }
    let executable =
        std::env::current_exe().map_err(|it| Failure::new(ExitStatus::Environment, &it))?;
    Ok(executable.display().to_string())
}

fn invocation(args: &RunArgs) -> Result<Invocation, Failure> {
    // A plugin is a name or the path of a file.
    let plugin = args.plugin.as_ref().map(|it| match fs::canonicalize(it) {
        Ok(path) if path.is_file() => path.display().to_string(),
        _ => it.clone(),
    });
    let study = absolute(&args.study)?;
    Ok(Invocation { study, plugin, allow: args.allow.clone() })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|it| Failure::new(ExitStatus::Environment, &it))
}

fn missing(error: &ExecutorError) -> Failure {
    let failure = Failure::new(ExitStatus::Environment, error);
    match error {
        ExecutorError::Missing(_) => failure.hint(
            "run it on a machine that submits to the cluster, or load its module; `--dry-run` prints the scripts, \
             `--executor local` runs the study here",
        ),
        ExecutorError::Start { .. } | ExecutorError::Failed { .. } => failure,
    }
}
