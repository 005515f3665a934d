//! `llem plan`: what a study would run.

use std::fmt::Write;

use llem_core::{backend::LaunchPlan, schedule};
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::PlanArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    gpus,
    grants::Gate,
    machine,
    planning::{self, Backends, Planned},
    report::listed_skipped,
};

/// A plan for machines.
#[derive(Serialize)]
struct Plan<'a> {
    study: &'a str,
    resolved: String,
    plugins: Vec<PluginLine<'a>>,
    expansion: &'a llem_core::study::Expansion,
    schedule: &'a schedule::Schedule,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    launch: Vec<(String, LaunchPlan)>,
}

#[derive(Serialize)]
struct PluginLine<'a> {
    id: &'a str,
    sha256: &'a str,
    release: &'a str,
    note: Option<&'a str>,
}

/// Plans a study and shows the plan.
pub(crate) fn run(args: &PlanArgs) -> Result<ExitStatus, Failure> {
    let backends = Backends::new(Gate::new(args.allow.clone()).asking())?;
    let gpu = args.gpu.clone().or_else(machine::gpu_here);
    let planned = planning::plan(&args.study, None, args.plugin.as_deref(), &backends, gpu, false)?;
    let launch = if args.launch { launches(&planned)? } else { Vec::new() };
    if args.json {
        return output_json(&Plan {
            study: planned.study.name(),
            resolved: planned.resolved(),
            plugins: planned
                .backends
                .values()
                .map(|it| PluginLine {
                    id: &it.id,
                    sha256: &it.sha256,
                    release: &it.release.id,
                    note: it.release.note.as_deref(),
                })
                .collect(),
            expansion: &planned.expansion,
            schedule: &planned.schedule,
            launch,
        });
    }
    output(&text(&planned, &launch))
}

fn launches(planned: &Planned) -> Result<Vec<(String, LaunchPlan)>, Failure> {
    let mut plans = Vec::new();
    let first = planned.schedule.trials.iter().enumerate().filter(|(_, it)| it.repeat == 0);
    for (place, _) in first {
        let trial = planned.trial(place);
        let runnable =
            trial.runnable.map_err(|it| Failure::message(ExitStatus::Usage, it.message))?;
        plans.push((trial.label, (*runnable.launch).clone()));
    }
    Ok(plans)
}

fn text(planned: &Planned, launch: &[(String, LaunchPlan)]) -> String {
    let mut out = planned.resolved();
    let expansion = &planned.expansion;
    let say = |out: &mut String, line: std::fmt::Arguments<'_>| {
        out.write_fmt(line).expect("writing to a string does not fail");
        out.push('\n');
    };
    for backend in planned.backends.values() {
        say(
            &mut out,
            format_args!(
                "\n# plugin {} {}, engine release {}",
                backend.id, backend.descriptor.version, backend.release.id
            ),
        );
    }
    let gpu = planned.gpu.as_ref();
    let known = gpu.map_or_else(
        || "no GPU is known: rules about it are undecided, `--gpu` names one".to_owned(),
        |it| format!("planned for {} x {}", it.count, printable(&it.name)),
    );
    say(&mut out, format_args!("# {known}"));
    let (loads, saved) = (planned.schedule.loads, planned.schedule.loads_saved());
    let engines = schedule::engine_keys(&expansion.experiments);
    let fewest = schedule::fewest_loads(&engines, planned.study.measure().repeats.max);
    say(
        &mut out,
        format_args!(
            "\n# {} configurations written, {} experiments, {} skipped, {} merged; {} trials in at least {loads} engine loads, {saved} saved by sharing",
            expansion.declared,
            expansion.experiments.len(),
            expansion.skipped.len(),
            expansion.merged.iter().map(|it| it.others.len()).sum::<usize>(),
            planned.schedule.trials.len(),
        ),
    );
    if fewest < loads {
        let order = "`measure.order = \"grouped\"`";
        say(&mut out, format_args!("# {order} would need {fewest}, and would balance no drift"));
    }
    for experiment in &expansion.experiments {
        say(
            &mut out,
            format_args!(
                "{}  {}  {:?}  {}",
                experiment.id,
                experiment.plugin,
                experiment.mode,
                printable(&experiment.label)
            ),
        );
    }
    out.push_str(&listed_skipped(expansion));
    for note in planned.notes().into_iter().chain(planned.undecided()) {
        say(&mut out, format_args!("# note: {}", printable(&note)));
    }
    if let Some(permissions) = gpus::needed(&expansion.experiments) {
        let flags =
            "the study sets GPUs of the machine that it runs on, which `llem run` must be allowed";
        say(&mut out, format_args!("# note: {flags}: {permissions}"));
    }
    for (label, plan) in launch {
        say(&mut out, format_args!("\n# launch of {}", printable(label)));
        let json = serde_json::to_string_pretty(plan).expect("plans have string keys only");
        say(&mut out, format_args!("{json}"));
    }
    out
}
