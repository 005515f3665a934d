//! Results as tables for other programs and for papers: Parquet, CSV, JSON lines, Markdown, LaTeX.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    diagnostics::printable,
    results::{Cells, Parameter, ResultSet, Table, column, parameters},
};

/// A table: every row has every column; what is missing is null.
pub(crate) struct Sheet {
    /// What a row is.
    of: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// One row a trial.
pub(crate) fn trials(results: &ResultSet) -> Sheet {
    let parameters = parameters(results.plan());
    let trials: Vec<_> = results.trials().collect();
    let mut figures: Vec<&str> =
        trials.iter().flat_map(|it| &it.figures).map(|it| it.name.as_str()).collect();
    figures.sort_unstable();
    figures.dedup();
    let fixed = [
        "experiment",
        "label",
        "plugin",
        "mode",
        "repeat",
        "position",
        "started_at",
        "duration_seconds",
        "status",
        "estimated",
        "ranked",
    ];
    let columns = fixed.iter().map(|it| (*it).to_owned()).chain(parameters.iter().map(set_column));
    let columns = columns.chain(figures.iter().map(|it| (*it).to_owned())).collect();
    let rows = trials.iter().map(|trial| {
        let record = trial.record;
        let status = if record.is_completed() { "completed" } else { "failed" };
        let energies = || trial.figures.iter().filter(|_| record.is_completed());
        let mut row = vec![
            json!(record.trial.experiment),
            json!(trial.experiment.label),
            json!(&*trial.experiment.plugin),
            json!(record.mode),
            json!(record.trial.repeat),
            json!(record.position),
            json!(record.started_at),
            json!(record.duration_seconds),
            json!(status),
            json!(energies().any(|it| it.estimated)),
            json!(energies().all(|it| it.ranked)),
        ];
        row.extend(parameters.iter().map(|it| setting(it, trial.index)));
        row.extend(figures.iter().map(|name| json!(trial.figure(name))));
        row
    });
    Sheet { of: "trials", columns, rows: rows.collect() }
}

/// One row an experiment: each figure's mean over trials and the ends of its interval.
pub(crate) fn experiments(results: &ResultSet) -> Sheet {
    let parameters = parameters(results.plan());
    let summary = results.summary();
    let mut figures: Vec<&str> =
        summary.experiments.iter().flat_map(|it| it.figures.keys()).map(String::as_str).collect();
    figures.sort_unstable();
    figures.dedup();
    let fixed = ["experiment", "label", "plugin", "mode", "completed", "failed", "coverage"];
    let mut columns: Vec<String> = fixed.iter().map(|it| (*it).to_owned()).collect();
    columns.extend(parameters.iter().map(set_column));
    for name in &figures {
        columns.extend([(*name).to_owned(), format!("{name}_low"), format!("{name}_high")]);
    }
    let rows = summary.experiments.iter().enumerate().map(|(at, it)| {
        let mut row = vec![
            json!(it.id),
            json!(it.label),
            json!(it.plugin),
            json!(it.mode),
            json!(it.completed),
            json!(it.failures.len()),
            json!(summary.coverage),
        ];
        row.extend(parameters.iter().map(|it| setting(it, at)));
        for name in &figures {
            let statistics = it.figures.get(*name).map(|it| &it.statistics);
            let estimate = statistics.and_then(|it| it.estimate);
            row.push(json!(estimate.map_or(statistics.map(|it| it.mean), |it| Some(it.point))));
            row.push(json!(estimate.map(|it| it.interval.low)));
            row.push(json!(estimate.map(|it| it.interval.high)));
        }
        row
    });
    Sheet { of: "experiments", columns, rows: rows.collect() }
}

/// Beginning of the columns of settings.
const SET: &str = "set.";

fn set_column(parameter: &Parameter) -> String {
    format!("{SET}{}", parameter.name)
}

/// A level as a number where all levels are, so that a column has one type.
fn setting(parameter: &Parameter, experiment: usize) -> Value {
    let Some(level) = parameter.of_experiment[experiment] else { return Value::Null };
    let level = &parameter.levels[level];
    match level.number {
        Some(number) if parameter.levels.iter().all(|it| it.number.is_some()) => json!(number),
        Some(_) | None => json!(level.label),
    }
}

/// Comma-separated values after RFC 4180; null is an empty field.
pub(crate) fn csv(table: &Sheet) -> String {
    let mut text = String::new();
    line(&mut text, table.columns.iter().map(|it| field(it)));
    for row in &table.rows {
        line(
            &mut text,
            row.iter().map(|it| if it.is_null() { String::new() } else { field(&plain(it)) }),
        );
    }
    text
}

fn line(text: &mut String, fields: impl Iterator<Item = String>) {
    text.push_str(&fields.collect::<Vec<_>>().join(","));
    text.push_str("\r\n");
}

fn field(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One JSON object a line.
pub(crate) fn jsonl(table: &Sheet) -> String {
    let mut text = String::new();
    for row in &table.rows {
        let object: Map<String, Value> =
            table.columns.iter().cloned().zip(row.iter().cloned()).collect();
        writeln!(text, "{}", Value::Object(object)).expect("writing to a string does not fail");
    }
    text
}

/// A Parquet file. Its metadata have, under the key `llem`, what a row is and each column's unit as JSON.
pub(crate) fn parquet(table: &Sheet, study: &str) -> Vec<u8> {
    let units: Map<String, Value> = table
        .columns
        .iter()
        .map(|it| (it.clone(), unit(it)))
        .filter(|(_, unit)| !unit.is_empty())
        .map(|(name, unit)| (name, json!(unit)))
        .collect();
    let about = json!({
        "llem": env!("CARGO_PKG_VERSION"), "study": study, "rows": table.of, "units": units,
    });
    let mut file = Table::new(about.to_string());
    for (at, name) in table.columns.iter().enumerate() {
        file.push(name, cells(table.rows.iter().map(|row| &row[at])));
    }
    let mut bytes = Vec::new();
    file.write_to(&mut bytes).expect("memory takes everything");
    bytes
}

/// The unit of a column; that of an interval's end is the figure's.
fn unit(name: &str) -> &'static str {
    let figure = name.strip_suffix("_low").or_else(|| name.strip_suffix("_high"));
    if name.starts_with(SET) { "" } else { column(figure.unwrap_or(name)).unit }
}

/// The cells of a column in the narrowest type that holds all of them; numbers that are figures stay real.
fn cells<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Cells {
    let mut known = values.clone().filter(|it| !it.is_null()).peekable();
    if known.peek().is_none() {
        return Cells::Real(values.map(|_| None).collect());
    }
    if known.clone().all(Value::is_boolean) {
        Cells::Flag(values.map(Value::as_bool).collect())
    } else if known.clone().all(Value::is_u64) {
        Cells::Whole(values.map(Value::as_u64).collect())
    } else if known.all(Value::is_number) {
        Cells::Real(values.map(Value::as_f64).collect())
    } else {
        let text = |it: &Value| (!it.is_null()).then(|| plain(it));
        Cells::Text(values.map(text).collect())
    }
}

/// The columns of a table in a paper.
const SHOWN: [&str; 4] = [
    "energy_per_output_token_joules",
    "output_token_throughput_per_second",
    "time_to_first_token_p50_seconds",
    "average_power_watts",
];

/// Heading and rows of the headline figures, with intervals.
fn shown(results: &ResultSet) -> (Vec<String>, Vec<Vec<String>>) {
    let summary = results.summary();
    let has = |name: &&str| summary.experiments.iter().any(|it| it.figures.contains_key(*name));
    let figures: Vec<&str> = SHOWN.into_iter().filter(has).collect();
    let mut header = vec!["experiment".to_owned(), "trials".to_owned()];
    header.extend(figures.iter().map(|name| {
        let column = column(name);
        format!("{} ({})", column.title, column.unit)
    }));
    let rows = summary.experiments.iter().map(|it| {
        let mut row =
            vec![printable(&it.label).replace(['\n', '\t'], " "), it.completed.to_string()];
        row.extend(figures.iter().map(|name| match it.figures.get(*name) {
            None => "–".to_owned(),
            Some(figure) => {
                let about = if figure.estimated { "~" } else { "" };
                let doubt = if figure.ranked { "" } else { "!" };
                match &figure.statistics.estimate {
                    None => format!("{about}{}{doubt}", digits(figure.statistics.mean)),
                    Some(it) => format!(
                        "{about}{}{doubt} [{}, {}]",
                        digits(it.point),
                        digits(it.interval.low),
                        digits(it.interval.high)
                    ),
                }
            }
        }));
        row
    });
    (header, rows.collect())
}

/// Four significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        it if it >= 1000.0 => format!("{value:.0}"),
        it if it >= 100.0 => format!("{value:.1}"),
        it if it >= 10.0 => format!("{value:.2}"),
        it if it >= 1.0 => format!("{value:.3}"),
        it if it >= 0.1 || it == 0.0 => format!("{value:.4}"),
        it if it >= 0.01 => format!("{value:.5}"),
        _ => format!("{value:.3e}"),
    }
}

/// A Markdown table of the headline figures.
pub(crate) fn markdown(results: &ResultSet) -> String {
    let (header, rows) = shown(results);
    let cells = |row: &[String]| {
        let escaped: Vec<String> = row
            .iter()
            .map(|it| it.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;"))
            .collect();
        format!("| {} |\n", escaped.join(" | "))
    };
    let rule = format!("|---|{}\n", "---:|".repeat(header.len() - 1));
    std::iter::once(cells(&header)).chain([rule]).chain(rows.iter().map(|it| cells(it))).collect()
}

/// A LaTeX table of the headline figures, for the package `booktabs`.
pub(crate) fn latex(results: &ResultSet) -> String {
    let (header, rows) = shown(results);
    let cells = |row: &[String]| {
        let escaped: Vec<String> = row.iter().map(|it| tex(it)).collect();
        format!("  {} \\\\\n", escaped.join(" & "))
    };
    let mut text = format!(
        "% needs \\usepackage{{booktabs}}; intervals of the mean over trials in brackets\n\\begin{{tabular}}{{l{}}}\n  \\toprule\n{}  \\midrule\n",
        "r".repeat(header.len() - 1),
        cells(&header)
    );
    text.extend(rows.iter().map(|it| cells(it)));
    text.push_str("  \\bottomrule\n\\end{tabular}\n");
    text
}

fn tex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '–' => escaped.push_str("--"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_need_it_are_quoted() {
        let table = Sheet {
            of: "trials",
            columns: vec!["a".into(), "b".into()],
            rows: vec![vec![json!("x,\"y\"\n"), Value::Null], vec![json!(0.5), json!("")]],
        };
        assert_eq!(csv(&table), "a,b\r\n\"x,\"\"y\"\"\n\",\r\n0.5,\"\"\r\n");
        assert_eq!(
            jsonl(&table),
            "{\"a\":\"x,\\\"y\\\"\\n\",\"b\":null}\n{\"a\":0.5,\"b\":\"\"}\n"
        );
    }

    #[test]
    fn columns_have_one_type_each_and_a_figure_is_real_even_where_it_is_whole() {
        let of = |values: &[Value]| cells(values.iter());
        assert_eq!(of(&[json!(1), Value::Null]), Cells::Whole(vec![Some(1), None]));
        assert_eq!(of(&[json!(2.0), json!(0.5)]), Cells::Real(vec![Some(2.0), Some(0.5)]));
        assert_eq!(of(&[json!(2.0)]), Cells::Real(vec![Some(2.0)]));
        assert_eq!(of(&[Value::Null]), Cells::Real(vec![None]));
        assert_eq!(of(&[json!(true)]), Cells::Flag(vec![Some(true)]));
        assert_eq!(
            of(&[json!("a"), json!(1)]),
            Cells::Text(vec![Some("a".into()), Some("1".into())])
        );
    }

    #[test]
    fn units_are_those_of_figures_and_of_their_intervals() {
        let of = |name| unit(name);
        assert_eq!(of("energy_joules_low"), "J");
        assert_eq!(of("output_tokens_per_joule"), "tokens/J");
        assert_eq!((of("set.engine.timeout_seconds"), of("label")), ("", ""));
    }

    #[test]
    fn nothing_in_a_name_is_a_command_of_latex() {
        assert_eq!(
            tex("\\input{x}_50%~"),
            "\\textbackslash{}input\\{x\\}\\_50\\%\\textasciitilde{}"
        );
    }
}
