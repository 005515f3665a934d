//! `llem export`: results as tables for other programs and for papers.

use super::output;
use crate::{
    cli::{ExportArgs, ExportFormat, ExportRows},
    diagnostics::Failure,
    exit::ExitStatus,
    report::export,
    results::ResultSet,
};

/// Writes the results in a format.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitStatus, Failure> {
    let results = ResultSet::open(&args.results).map_err(|it| super::run::unusable(&it))?;
    let rows = || match args.rows {
        ExportRows::Trials => export::trials(&results),
        ExportRows::Experiments => export::experiments(&results),
    };
    let text = match args.format {
        ExportFormat::Csv => export::csv(&rows()),
        ExportFormat::Jsonl => export::jsonl(&rows()),
        ExportFormat::Markdown => export::markdown(&results),
        ExportFormat::Latex => export::latex(&results),
    };
    match &args.output {
        None => output(&text),
        Some(file) => {
            super::write_file(file, text.as_bytes())?;
            output(&format!("{}\n", file.display()))
        }
    }
}
