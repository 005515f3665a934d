//! `llem rerun`: one experiment of some results once more, here, and how the two compare.

use std::path::PathBuf;

use clap::Parser;
use llem_core::study::Experiment;

use super::{experiment, output};
use crate::{
    Discover,
    cli::{Cli, Command, RerunArgs, RunArgs},
    diagnostics::{Failure, note},
    exit::ExitStatus,
    report,
    results::{ResultSet, compare},
};

/// Compared at the end.
const FIGURES: [&str; 3] = [
    "energy_per_output_token_joules",
    "output_token_throughput_per_second",
    "time_to_first_token_p50_seconds",
];

/// Runs an experiment again, from what its results hold.
pub(crate) fn run(args: &RerunArgs, instruments: Discover<'_>) -> Result<ExitStatus, Failure> {
    let earlier = ResultSet::open(&args.results).map_err(|it| super::run::unusable(&it))?;
    let wanted = experiment(&earlier, &args.experiment)?;
    if earlier.study_file().is_none() {
        return Err(Failure::message(
            ExitStatus::Usage,
            format!("`{}` holds no study file to run from", args.results.display()),
        ));
    }
    let again = run_args(args, &earlier, wanted);
    let (status, path) = super::run::here(&again, instruments)?;
    if args.json {
        return Ok(status);
    }
    let now = ResultSet::open(&path).map_err(|it| super::run::unusable(&it))?;
    let comparison = compare(&earlier, &now, &FIGURES);
    if !comparison.ratios.is_empty() {
        output(&format!("\nAgainst the earlier results:\n{}\n", report::ratios(&comparison)))?;
    }
    for it in &comparison.differences {
        let side = |of: &Option<String>| of.clone().unwrap_or_else(|| "absent".to_owned());
        note(&format!("{}: {} then, {} now", it.what, side(&it.first), side(&it.second)));
    }
    Ok(status)
}

/// The same as `llem run` with what the results know.
fn run_args(args: &RerunArgs, earlier: &ResultSet, wanted: &Experiment) -> RunArgs {
    let mut line: Vec<std::ffi::OsString> = vec!["llem".into(), "run".into()];
    let mut option = |name: &str, value: std::ffi::OsString| line.extend([name.into(), value]);
    option("--only", wanted.id.to_string().into());
    option("--plugin", args.plugin.clone().unwrap_or_else(|| wanted.plugin.to_string()).into());
    if let Some(below) = &args.below {
        option("--results", below.into());
    }
    if let Some(directory) = args.directory.clone().or_else(|| home(earlier)) {
        option("--directory", directory.into());
    }
    for permission in &args.allow {
        option("--allow", permission.into());
    }
    line.extend(args.json.then(|| "--json".into()));
    line.extend(args.quiet.then(|| "--quiet".into()));
    line.extend(["--".into(), args.results.join("study.toml").into()]);
    let Ok(Command::Run(run)) = Cli::try_parse_from(line).map(|it| it.command) else {
        unreachable!("the line is one of `llem run`")
    };
    run
}

/// Where the study file was, if that is still a directory: its paths are relative to it.
fn home(earlier: &ResultSet) -> Option<PathBuf> {
    earlier.origin().map(PathBuf::from).filter(|it| it.is_dir())
}
