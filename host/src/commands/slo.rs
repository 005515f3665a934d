//! `llem slo`: service levels judged again from the request logs of a run.

use std::fmt::Write as _;

use llem_core::latency::Slo;

use super::{output, output_json};
use crate::{
    cli::SloArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    report,
    results::{Judgement, ResultSet, judge_again},
};

/// Judges the experiments of a results directory.
pub(crate) fn run(args: &SloArgs) -> Result<ExitStatus, Failure> {
    let results = ResultSet::open(&args.results).map_err(|it| super::run::unusable(&it))?;
    let judgement = judge_again(&results, &objective(args, &results)?);
    if judgement.experiments.iter().all(|it| it.verdict.is_none()) {
        let message =
            format!("`{}` has no request log of a finished trial", args.results.display());
        return Err(Failure::message(ExitStatus::Usage, message)
            .hint("request logs are the Parquet files in `requests/` of a results directory"));
    }
    if args.json {
        return output_json(&judgement);
    }
    output(&shown(&judgement))
}

/// The bounds of the command line, else those of the study.
fn objective(args: &SloArgs, results: &ResultSet) -> Result<Slo, Failure> {
    let seconds = |it: Option<std::time::Duration>| it.map(|it| it.as_secs_f64());
    let given = Slo {
        time_to_first_token: seconds(args.time_to_first_token),
        time_per_output_token: seconds(args.time_per_output_token),
        inter_token_latency: seconds(args.inter_token_latency),
        request_latency: seconds(args.request_latency),
        percentile: None,
    };
    let of_study = results
        .records()
        .iter()
        .find_map(|it| it.measured()?.basis.as_ref()?.slo)
        .filter(|_| given == Slo::default());
    if given == Slo::default() && of_study.is_none() {
        let message = "no bound is given, and the study has no `[slo]`";
        return Err(Failure::message(ExitStatus::Usage, message)
            .hint("give one, such as `--time-to-first-token 500ms`"));
    }
    let percentile = args.percentile.or(of_study.and_then(|it| it.percentile)).unwrap_or(99.0);
    Ok(Slo { percentile: Some(percentile), ..of_study.unwrap_or(given) })
}

fn shown(judgement: &Judgement) -> String {
    let mut text = format!("\n{}\n\n", report::judged(judgement));
    let label = |id: &String| {
        let found = judgement.experiments.iter().find(|it| it.id == *id);
        found.map_or_else(String::new, |it| printable(&it.label))
    };
    let mut tell = |what: &str, id: &Option<String>| {
        if let Some(id) = id {
            writeln!(text, "{what}: {} ({id})", label(id)).expect("a string takes everything");
        }
    };
    tell("least energy for each output token within the objective", &judgement.most_efficient);
    tell("most good requests a second within the objective", &judgement.highest_goodput);
    if judgement.highest_goodput.is_none() {
        text.push_str("no experiment meets the objective\n");
    }
    if judgement.without_log > 0 {
        writeln!(text, "{} trials have no request log and were not judged", judgement.without_log)
            .expect("a string takes everything");
    }
    text
}
