//! `llem compare`: the experiments that two results share, and what differs around them.

use std::fmt::Write as _;

use llem_core::record::figure_of;

use super::{output, output_json};
use crate::{
    cli::CompareArgs,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    report,
    results::{Comparison, ResultSet, compare},
};

/// Compared where no figure is named.
const HEADLINES: [&str; 3] = [
    "energy_per_output_token_joules",
    "output_token_throughput_per_second",
    "time_to_first_token_p50_seconds",
];

/// Compares two results directories.
pub(crate) fn run(args: &CompareArgs) -> Result<ExitStatus, Failure> {
    let open = |path| ResultSet::open(path).map_err(|it| super::run::unusable(&it));
    let (first, second) = (open(&args.first)?, open(&args.second)?);
    let mut figures: Vec<&str> =
        args.figure.iter().map(|it| figure_of(it).unwrap_or(it.as_str())).collect();
    if figures.is_empty() {
        figures = HEADLINES.to_vec();
    }
    let comparison = compare(&first, &second, &figures);
    if comparison.ratios.is_empty() {
        return Err(nothing_shared(&comparison, &figures));
    }
    if args.json {
        return output_json(&comparison);
    }
    let mut text = format!("\n{}\n\n", report::ratios(&comparison));
    let mut lacks = |labels: &[String], which: &str| {
        if !labels.is_empty() {
            writeln!(text, "{} experiments are only in the {which}", labels.len())
                .expect("writing to a string does not fail");
        }
    };
    lacks(&comparison.only_first, "first");
    lacks(&comparison.only_second, "second");
    if comparison.differences.is_empty() {
        text.push_str("machines, instruments, plugins and engines are the same\n");
    } else {
        text.push_str("what differs around them:\n");
    }
    for it in &comparison.differences {
        let shown = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), printable);
        writeln!(text, "  {}: {} -> {}", printable(&it.what), shown(&it.first), shown(&it.second))
            .expect("writing to a string does not fail");
    }
    output(&text)
}

fn nothing_shared(comparison: &Comparison, figures: &[&str]) -> Failure {
    Failure::message(
        ExitStatus::Usage,
        format!(
            "the results share no experiment with {}: {} are only in the first, {} only in the second",
            figures.join(" or "),
            comparison.only_first.len(),
            comparison.only_second.len()
        ),
    )
    .hint("experiments are the same where engine settings, model, workload and traffic are")
}
