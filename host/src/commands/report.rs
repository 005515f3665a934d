//! `llem report`: the results of a run as one HTML file.

use std::path::Path;

use super::output;
use crate::{
    cli::ReportArgs, diagnostics::Failure, exit::ExitStatus, report::html, results::ResultSet,
};

/// Writes the report of a results directory.
pub(crate) fn run(args: &ReportArgs) -> Result<ExitStatus, Failure> {
    let results = ResultSet::open(&args.results).map_err(|it| super::run::unusable(&it))?;
    for wanted in &args.trace {
        super::experiment(&results, wanted)?;
    }
    let page = html::page(&results, &html::Options { traced: args.trace.clone() });
    let file = args.output.clone().unwrap_or_else(|| args.results.join("report.html"));
    if file == Path::new("-") {
        return output(&page);
    }
    super::write_file(&file, page.as_bytes())?;
    output(&format!("{}\n", file.display()))
}
