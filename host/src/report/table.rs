//! The tables at the end of a run: energy first, with intervals, and what mattered.

use std::{fmt::Write as _, io::Write as _, path::Path};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, presets};
use llem_core::{
    backend::Mode,
    stats::Summary as Statistics,
    study::{Expansion, Experiment},
};

use super::findings::findings;
use crate::{
    diagnostics::printable,
    results::{
        Comparison, ExperimentSummary, FigureSummary, Judgement, ResultSet, Summary, column,
    },
};

/// Writes the tables to standard output.
pub(crate) fn print_summary(summary: &Summary, results: &Path) {
    let mut text = format!("\n{}\n", experiments(summary));
    if let Some(work) = work(summary) {
        writeln!(text, "\n{work}").expect("writing to a string does not fail");
    }
    text.push_str(&findings(summary));
    text.push_str(&notes(summary));
    writeln!(text, "results in {}", results.display()).expect("writing to a string does not fail");
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

/// Writes one experiment to standard output: what was set, each figure with its interval and trials.
pub(crate) fn print_experiment(results: &ResultSet, summary: &Summary, experiment: &Experiment) {
    let id = experiment.id.to_string();
    let mut text = format!("\n{} {}\n", id, printable(&experiment.label));
    for (path, value) in experiment.settings.iter() {
        writeln!(text, "  {path} = {}", printable(&value.to_string())).expect("a string");
    }
    let trials: Vec<_> = results.trials().filter(|it| it.record.trial.experiment == id).collect();
    let mut header = vec!["figure".to_owned(), "mean [interval]".to_owned()];
    header.extend(trials.iter().map(|it| format!("#{}", it.record.trial.repeat)));
    let mut figures = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let own = summary.experiments.iter().find(|it| it.id == id);
    for (name, figure) in own.into_iter().flat_map(|it| &it.figures) {
        let unit = column(name).unit;
        let mut row = vec![name.clone(), shown(figure, unit)];
        let value = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| scaled(it, unit));
        row.extend(trials.iter().map(|it| value(it.figure(name))));
        figures.add_row(row);
    }
    writeln!(text, "\n{figures}\n").expect("a string");
    for failure in own.into_iter().flat_map(|it| &it.failures) {
        writeln!(text, "failed: {}", printable(failure)).expect("a string");
    }
    for (trial, warning) in
        trials.iter().flat_map(|it| it.record.warnings.iter().map(move |warning| (it, warning)))
    {
        let repeat = trial.record.trial.repeat;
        writeln!(text, "warning (#{repeat}): {}", printable(warning)).expect("a string");
    }
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

/// The ratios of a comparison.
pub(crate) fn ratios(comparison: &Comparison) -> Table {
    let mut table =
        table(&["experiment", "figure", "first", "second", "second over first [interval]", "p"]);
    for it in &comparison.ratios {
        let unit = column(&it.figure).unit;
        let about = if it.estimated { "~" } else { "" };
        let ratio = it.ratio.map_or_else(
            || "needs two trials in each".to_owned(),
            |it| format!("{:.4} [{:.4}, {:.4}]", it.point, it.interval.low, it.interval.high),
        );
        table.add_row([
            printable(&it.label),
            column(&it.figure).title,
            format!("{about}{}", scaled(it.first, unit)),
            format!("{about}{}", scaled(it.second, unit)),
            ratio,
            it.p_value.map_or_else(|| "-".to_owned(), |it| format!("{it:.2e}")),
        ]);
    }
    table
}

/// Skipped and merged configurations, for `llem plan`.
pub(crate) fn listed_skipped(expansion: &Expansion) -> String {
    let skipped = expansion.skipped.iter().map(|it| {
        format!("# skipped: {}: {} ({})\n", printable(&it.label), printable(&it.message), it.rule)
    });
    let merged = expansion.merged.iter().map(|it| {
        let kept = &expansion.experiments[it.experiment].label;
        format!("# merged into {}: {}\n", printable(kept), printable(&it.others.join("; ")))
    });
    skipped.chain(merged).collect()
}

/// How experiments fare against an objective.
pub(crate) fn judged(judgement: &Judgement) -> Table {
    let mut table = table(&[
        "experiment",
        "met",
        "good requests",
        "part",
        "good requests/s",
        "energy per output token",
    ]);
    for it in &judgement.experiments {
        let verdict = it.verdict.as_ref();
        let mark = if it.estimated { "~" } else { "" };
        let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            printable(&it.label),
            cell(verdict.and_then(|it| it.is_met).map(|met| if met { "yes" } else { "no" }.into())),
            cell(verdict.map(|it| format!("{} of {}", it.good_requests, it.judged_requests))),
            cell(
                verdict
                    .and_then(|it| it.attainment_ratio)
                    .map(|ratio| format!("{:.1} %", 100.0 * ratio)),
            ),
            cell(verdict.map(|it| scaled(it.goodput_per_second, ""))),
            cell(
                it.energy_per_output_token_joules
                    .map(|energy| format!("{mark}{}", scaled(energy, "J"))),
            ),
        ]);
    }
    table
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let style = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

fn experiments(summary: &Summary) -> Table {
    let percent = format!("{:.3}", 100.0 * summary.coverage);
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    let interval = format!("energy per output token [{percent} % interval]");
    let mut table = table(&[
        "experiment",
        "mode",
        &interval,
        "tokens/s",
        "time to first token p50",
        "power",
        "trials",
    ]);
    for it in &summary.experiments {
        table.add_row([
            printable(&it.label),
            match it.mode {
                Mode::Server => "server".to_owned(),
                Mode::Offline => "offline".to_owned(),
            },
            figure(it, "energy_per_output_token_joules", "J"),
            figure(it, "output_token_throughput_per_second", ""),
            figure(it, "time_to_first_token_p50_seconds", "s"),
            figure(it, "average_power_watts", "W"),
            if it.failures.is_empty() {
                it.completed.to_string()
            } else {
                format!("{}, {} failed", it.completed, it.failures.len())
            },
        ]);
    }
    for column in 2..6 {
        table
            .column_mut(column)
            .expect("the table has seven columns")
            .set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Figures of the work that a table has a column for where any experiment has them: heading, figure, factor, unit.
const WORK: [(&str, &str, f64, &str); 5] = [
    ("prefill energy above idle", "prefill_energy_joules", 1.0, "J"),
    ("decode energy above idle", "decode_energy_joules", 1.0, "J"),
    ("model FLOPs utilisation", "model_flops_utilization", 100.0, "%"),
    ("tokens per joule", "output_tokens_per_joule", 1.0, ""),
    ("CO2e", "co2e_kilograms", 1000.0, "g"),
];

/// What the energy was for: phases, utilisation and emissions, as far as any experiment has them.
fn work(summary: &Summary) -> Option<Table> {
    let is_known = |name: &str| summary.experiments.iter().any(|it| it.figures.contains_key(name));
    let columns: Vec<_> = WORK.into_iter().filter(|(_, name, ..)| is_known(name)).collect();
    // Tokens per joule alone say what energy per token says.
    if !columns.iter().any(|(_, name, ..)| *name != "output_tokens_per_joule") {
        return None;
    }
    let mut header = vec!["experiment"];
    header.extend(columns.iter().map(|(title, ..)| *title));
    let mut table = table(&header);
    for it in &summary.experiments {
        let mut row = vec![printable(&it.label)];
        row.extend(columns.iter().map(|(_, name, factor, unit)| {
            it.figures
                .get(*name)
                .map_or_else(|| "-".to_owned(), |figure| shown(&times(figure, *factor), unit))
        }));
        table.add_row(row);
    }
    for column in 1..header.len() {
        let column = table.column_mut(column).expect("a column for each heading");
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(table)
}

/// A figure in another unit.
fn times(figure: &FigureSummary, factor: f64) -> FigureSummary {
    let mut figure = figure.clone();
    figure.statistics.mean *= factor;
    if let Some(estimate) = &mut figure.statistics.estimate {
        estimate.point *= factor;
        estimate.interval.low *= factor;
        estimate.interval.high *= factor;
    }
    figure
}

fn figure(of: &ExperimentSummary, name: &str, unit: &str) -> String {
    of.figures.get(name).map_or_else(|| "-".to_owned(), |it| shown(it, unit))
}

/// A figure with its interval; `~` marks an estimate, `!` one that an instrument contradicts.
fn shown(it: &FigureSummary, unit: &str) -> String {
    let mark = if it.estimated { "~" } else { "" };
    let doubt = if it.ranked { "" } else { " !" };
    format!("{mark}{}{doubt}", with_interval(&it.statistics, unit))
}

fn with_interval(it: &Statistics, unit: &str) -> String {
    let Some(estimate) = &it.estimate else { return scaled(it.mean, unit) };
    let (low, high) = (estimate.interval.low, estimate.interval.high);
    format!("{} [{}, {}]", scaled(estimate.point, unit), scaled(low, unit), scaled(high, unit))
}

/// Three significant digits with an SI prefix.
fn scaled(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 4] = [(1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")];
    let fits = |(factor, _): &&(f64, &str)| value.abs() >= *factor;
    let (factor, prefix) = if matches!(unit, "" | "%") || value == 0.0 {
        (1.0, "")
    } else {
        *PREFIXES.iter().find(fits).unwrap_or(&PREFIXES[3])
    };
    let scaled = value / factor;
    let digits = match scaled.abs() {
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        _ => 2,
    };
    let space = if unit.is_empty() { "" } else { " " };
    format!("{scaled:.digits$}{space}{prefix}{unit}")
}

/// Instruments that are named one by one.
const MOST_INSTRUMENTS: usize = 8;

fn notes(summary: &Summary) -> String {
    let mut text = String::from("\n");
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for it in summary.instruments.iter().take(MOST_INSTRUMENTS) {
        say(format!("energy is that of {}", printable(it)));
    }
    if let Some(more @ 1..) = summary.instruments.len().checked_sub(MOST_INSTRUMENTS) {
        say(format!("and of {more} more devices; `nodes/` describes them"));
    }
    for it in summary.boards.iter().flat_map(|it| &it.statements) {
        say(printable(it));
    }
    if summary.experiments.iter().flat_map(|it| it.figures.values()).any(|it| it.estimated) {
        say("figures marked ~ rest on a model of the processor's power, not on a measurement: they rank settings on \
             this machine and are no energies to cite"
            .to_owned());
    }
    if summary.experiments.iter().flat_map(|it| it.figures.values()).any(|it| !it.ranked) {
        say("figures marked ! are contradicted by a second instrument or check, see the records"
            .to_owned());
    }
    if summary.skipped + summary.merged > 0 {
        say(format!(
            "{} configurations skipped, {} merged: see plan.json",
            summary.skipped, summary.merged
        ));
    }
    for (warning, trials) in &summary.warnings {
        say(format!("warning ({trials} trials): {}", printable(warning)));
    }
    for it in summary.experiments.iter().filter(|it| !it.failures.is_empty()) {
        say(format!("failed: {}: {}", printable(&it.label), printable(&it.failures[0])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn three_digits_and_a_prefix() {
        let shown: Vec<String> =
            [(0.0, "J"), (12.345, "J"), (0.123_45, "J"), (4.2e-6, "s"), (1234.5, ""), (0.5, "")]
                .into_iter()
                .map(|(value, unit)| scaled(value, unit))
                .collect();
        assert_eq!(shown, ["0.00 J", "12.3 J", "123 mJ", "4.20 µs", "1234", "0.50"]);
    }
}
