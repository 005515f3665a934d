//! What the page's charts are drawn from.

use std::{cmp::Reverse, collections::BTreeMap};

use llem_core::{
    latency::Distribution,
    record::{Measured, WindowRecord},
};
use serde::Serialize;

use super::{
    Options,
    places::{self, Places},
    split,
    spread::{self, LATENCIES, Spreads},
    trace::{self, Trace},
};
use crate::results::{
    Effect, ExperimentSummary, FigureSummary, Front, LeftOut, Parameter, ResultSet, Setting,
    Summary, Trial, column, parameters,
};

/// Everything that the scripts read.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    study: &'a str,
    primary: &'a str,
    coverage: f64,
    figures: Vec<Figure<'a>>,
    parameters: Vec<Varied>,
    experiments: Vec<Experiment<'a>>,
    front: Objectives,
    effects: &'a [Effect],
    #[serde(flatten)]
    places: Places<'a>,
    latencies: [&'static str; 4],
    spreads: Spreads,
    traces: Vec<Trace>,
    traces_note: Option<String>,
    traces_missing: &'static str,
}

#[derive(Debug, Serialize)]
struct Figure<'a> {
    name: &'a str,
    title: String,
    unit: &'static str,
    better: Option<llem_core::stats::pareto::Better>,
    /// Whether tables and parallel coordinates show it.
    headline: bool,
}

#[derive(Debug, Serialize)]
struct Varied {
    name: String,
    levels: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Experiment<'a> {
    id: &'a str,
    label: &'a str,
    plugin: &'a str,
    mode: llem_core::backend::Mode,
    done: u32,
    failed: usize,
    /// Level of each parameter.
    p: Vec<Option<usize>>,
    /// Point, low, high and marks (1 estimated, 2 contradicted) of each figure.
    f: Vec<Option<Estimated>>,
    /// Whether on the front, how probably, and which experiment beats it.
    front: Option<(bool, f64, Option<usize>)>,
    /// Least, quantiles 50, 90, 95, 99 and greatest of each latency.
    latency: [Option<[Option<f64>; 6]>; 4],
    /// Mean seconds of a trial: load, warm-up, windows, the rest.
    times: Option<[f64; 4]>,
    /// Mean joules of a trial's windows: prefill, decode, idle, not attributed.
    split: Option<[f64; 4]>,
}

#[derive(Debug, Serialize)]
struct Objectives {
    objectives: Vec<&'static str>,
    /// How many experiments take no part, by why.
    left_out: Vec<(String, usize)>,
}

/// Figures that a reader looks at first, beside the primary one.
const HEADLINES: [&str; 3] = [
    "output_token_throughput_per_second",
    "time_to_first_token_p50_seconds",
    "average_power_watts",
];

/// Point, low, high and marks.
type Estimated = (f64, Option<f64>, Option<f64>, u8);

/// A latency of a window.
type Pick = fn(&WindowRecord) -> Option<&Distribution>;

/// In the order of their names.
const PICKS: [Pick; 4] = [
    |it| it.metrics.time_to_first_token.as_ref(),
    |it| it.metrics.inter_token_latency.as_ref(),
    |it| it.metrics.time_per_output_token.as_ref(),
    |it| it.metrics.request_latency.as_ref(),
];

/// Gathers the page's data.
pub(super) fn of<'a>(
    results: &'a ResultSet,
    trials: &'a [Trial<'a>],
    summary: &'a Summary,
    front: &Front,
    options: &Options,
) -> Page<'a> {
    let names = figure_names(summary);
    let parameters = parameters(results.plan());
    let mut standings = vec![None; summary.experiments.len()];
    for it in &front.points {
        standings[it.experiment] = Some((it.on_front, rounded(it.probability), it.dominated_by));
    }
    let mut measured: Vec<Vec<(&Measured, f64)>> = vec![Vec::new(); summary.experiments.len()];
    for trial in trials {
        if let Some(it) = trial.record.measured() {
            measured[trial.index].push((it, trial.record.duration_seconds));
        }
    }
    let experiments = summary.experiments.iter().enumerate().map(|(at, it)| Experiment {
        id: &it.id,
        label: &it.label,
        plugin: &it.plugin,
        mode: it.mode,
        done: it.completed,
        failed: it.failures.len(),
        p: parameters.iter().map(|parameter| parameter.of_experiment[at]).collect(),
        f: names.iter().map(|name| figure(it, name)).collect(),
        front: standings[at],
        latency: PICKS.map(|pick| latency(&measured[at], pick)),
        times: times(&measured[at]),
        split: split::of(measured[at].iter().map(|(it, _)| *it)),
    });
    let (traces, traces_note) = trace::of(results, trials, options);
    Page {
        study: &summary.study,
        primary: &summary.primary,
        coverage: summary.coverage,
        experiments: experiments.collect(),
        figures: names.iter().map(|name| described(name, &summary.primary)).collect(),
        parameters: parameters.into_iter().map(varied).collect(),
        front: Objectives {
            left_out: counted(&front.left_out),
            objectives: front.objectives.clone(),
        },
        effects: &summary.effects,
        places: places::of(trials, summary),
        latencies: LATENCIES.map(|(name, _)| name),
        spreads: spread::of(results, trials, options),
        traces,
        traces_note,
        traces_missing: "The results hold no raw series to draw.",
    }
}

/// Names of all figures, the primary one first.
fn figure_names(summary: &Summary) -> Vec<&str> {
    let mut names: Vec<&str> =
        summary.experiments.iter().flat_map(|it| it.figures.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let rank = |name: &&str| {
        let headline = HEADLINES.iter().position(|it| it == name);
        (**name != *summary.primary, headline.unwrap_or(HEADLINES.len()))
    };
    names.sort_by_key(rank);
    names
}

fn described<'a>(name: &'a str, primary: &str) -> Figure<'a> {
    let column = column(name);
    Figure {
        name,
        title: column.title,
        unit: column.unit,
        better: column.better,
        headline: name == primary || HEADLINES.contains(&name),
    }
}

fn varied(parameter: Parameter) -> Varied {
    let label = |it: Setting| it.label;
    Varied { name: parameter.name, levels: parameter.levels.into_iter().map(label).collect() }
}

fn figure(of: &ExperimentSummary, name: &str) -> Option<Estimated> {
    let FigureSummary { statistics, estimated, ranked } = of.figures.get(name)?;
    let marks = u8::from(*estimated) + 2 * u8::from(!*ranked);
    Some(match &statistics.estimate {
        None => (rounded(statistics.mean), None, None, marks),
        Some(it) => {
            let (low, high) = (rounded(it.interval.low), rounded(it.interval.high));
            (rounded(it.point), Some(low), Some(high), marks)
        }
    })
}

/// Means over the windows of all trials; none of a quantile that any of them lacks.
fn latency(measured: &[(&Measured, f64)], pick: Pick) -> Option<[Option<f64>; 6]> {
    let windows = || measured.iter().flat_map(|(it, _)| &it.windows).filter_map(pick);
    let quantiles: [fn(&Distribution) -> Option<f64>; 6] = [
        |it| Some(it.min),
        |it| Some(it.p50.point),
        |it| Some(it.p90.point),
        |it| Some(it.p95.point),
        |it| it.p99.as_ref().map(|it| it.point),
        |it| Some(it.max),
    ];
    windows().next()?;
    Some(quantiles.map(|quantile| {
        let values: Vec<f64> = windows().map(quantile).collect::<Option<_>>()?;
        Some(rounded(mean(values.into_iter())))
    }))
}

/// How many experiments are left out for each reason, the commonest first.
fn counted(left_out: &[LeftOut]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for it in left_out {
        *counts.entry(&it.why).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(why, count)| (why.to_owned(), count)).collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts
}

fn times(measured: &[(&Measured, f64)]) -> Option<[f64; 4]> {
    (!measured.is_empty()).then(|| {
        let over = |of: fn(&Measured) -> f64| mean(measured.iter().map(|(it, _)| of(it)));
        let whole = mean(measured.iter().map(|(_, seconds)| *seconds));
        let known = [
            over(|it| it.load_seconds),
            over(|it| it.warmup.seconds),
            over(|it| it.windows.iter().map(|it| it.metrics.window_seconds).sum()),
        ];
        let rest = (whole - known.iter().sum::<f64>()).max(0.0);
        [known[0], known[1], known[2], rest].map(rounded)
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}

/// Six significant digits: more than a chart shows, fewer than make the page large.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(5.0 - value.abs().log10().floor());
    if scale.is_finite() && scale > 0.0 { (value * scale).round() / scale } else { value }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn six_digits_remain() {
        let shown = [1.234_567_89, -98_765.432_1, 0.0, 3.3e-7, 12.0].map(rounded);
        assert_eq!(format!("{shown:?}"), "[1.23457, -98765.4, 0.0, 3.3e-7, 12.0]");
    }
}
