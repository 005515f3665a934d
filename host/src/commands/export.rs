//! `llem export`: results as tables for other programs and for papers.

use super::{output, output_bytes};
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
    let bytes = match args.format {
        ExportFormat::Csv => export::csv(&rows()).into_bytes(),
        ExportFormat::Jsonl => export::jsonl(&rows()).into_bytes(),
        ExportFormat::Parquet => export::parquet(&rows(), results.study()),
        ExportFormat::Markdown => export::markdown(&results).into_bytes(),
        ExportFormat::Latex => export::latex(&results).into_bytes(),
    };
    match &args.output {
        None => output_bytes(&bytes),
        Some(file) => {
            super::write_file(file, &bytes)?;
            output(&format!("{}\n", file.display()))
        }
    }
}
