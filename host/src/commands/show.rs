//! `llem show`: the results of a run, or one experiment of it.

use super::output_json;
use crate::{cli::ShowArgs, diagnostics::Failure, exit::ExitStatus, report, results::ResultSet};

/// Shows a results directory, with everything computed again from its journal.
pub(crate) fn run(args: &ShowArgs) -> Result<ExitStatus, Failure> {
    let results = ResultSet::open(&args.results).map_err(|it| super::run::unusable(&it))?;
    let summary = results.summary();
    let Some(wanted) = &args.experiment else {
        if args.json {
            return output_json(&summary);
        }
        report::print_summary(&summary, &args.results);
        return Ok(ExitStatus::Success);
    };
    let experiment = super::experiment(&results, wanted)?;
    let id = experiment.id.to_string();
    let records: Vec<_> = results.records().iter().filter(|it| it.trial.experiment == id).collect();
    if args.json {
        let summary = summary.experiments.iter().find(|it| it.id == id);
        return output_json(&serde_json::json!({
            "experiment": experiment, "summary": summary, "records": records,
        }));
    }
    report::print_experiment(&results, &summary, experiment);
    Ok(ExitStatus::Success)
}
