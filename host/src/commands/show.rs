//! `llem show`: the results of a run.

use super::output_json;
use crate::{cli::ShowArgs, diagnostics::Failure, exit::ExitStatus, report, results::Summary};

/// Shows the summary of a results directory, computed again from its journal.
pub(crate) fn run(args: &ShowArgs) -> Result<ExitStatus, Failure> {
    let summary: Summary = super::run::summary_of(&args.results)?;
    if args.json {
        return output_json(&summary);
    }
    report::print_summary(&summary, &args.results);
    Ok(ExitStatus::Success)
}
