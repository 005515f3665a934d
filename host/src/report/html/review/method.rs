//! How the study was run and its figures computed.

use std::{collections::BTreeMap, num::NonZeroU32};

use llem_core::{
    study::{Baseline, Repeats, Rest, Warmup},
    workload::Length,
};

use super::{table, terms, words};
use crate::results::{ResultSet, Summary};

pub(super) fn of(results: &ResultSet, summary: &Summary) -> String {
    let Some(first) = results.experiments().first() else { return String::new() };
    let measure = &first.measure;
    let repeats = |it: &Repeats| match it.half_width {
        Some(width) => format!(
            "{} to {}, until the interval of the primary figure is ±{} % at two looks in a row",
            it.min,
            it.max,
            100.0 * width
        ),
        None => it.max.to_string(),
    };
    let seconds = |it: std::time::Duration| format!("{} s", it.as_secs_f64());
    let count = |count: usize| count.to_string();
    let plan = results.plan();
    let mut text = String::from("<h2 id=\"method\">Method</h2>\n<div class=\"panel\">");
    text.push_str(&terms(&[
        ("primary figure", Some(summary.primary.clone())),
        (
            "intervals",
            Some(format!(
                "{} % of the mean over trials: Student's t on logarithms below 20 trials, BCa bootstrap from there on; a \
                 trial's windows are taken together",
                100.0 * summary.coverage
            )),
        ),
        ("repeats", Some(repeats(&measure.repeats))),
        ("order of trials", Some(words(&measure.order))),
        (
            "rest between trials",
            Some(match measure.rest {
                Rest::Auto => "until power settles".to_owned(),
                Rest::Duration(it) => seconds(it),
            }),
        ),
        (
            "warm-up",
            Some(match measure.warmup {
                Warmup::Steady => "until power and latency settle".to_owned(),
                Warmup::Requests(it) => format!("{it} requests"),
                Warmup::Duration(it) => seconds(it),
            }),
        ),
        (
            "windows",
            Some(format!(
                "server mode: {} of {}, cut out of the running load and moved to publications of the energy counter; offline: \
                 the whole workload, with idle guards",
                measure.windows,
                seconds(measure.window)
            )),
        ),
        (
            "baseline",
            Some(match measure.baseline {
                Baseline::Context => "idle power with the model loaded; net energies are above it".to_owned(),
                Baseline::Bare => "idle power of the bare device; net energies are above it".to_owned(),
                Baseline::None => "none: energies are gross".to_owned(),
            }),
        ),
        ("seed", Some(results.header().seed.to_string())),
        (
            "configurations",
            Some(format!(
                "{} declared, {} run, {} skipped, {} merged",
                plan.declared,
                count(plan.experiments.len()),
                count(plan.skipped.len()),
                summary.merged
            )),
        ),
    ]));
    text.push_str("<h3>What was held constant or varied</h3>");
    text.push_str(&table(&["setting", "values"], &workloads(results)));
    text.push_str("<h3>What was varied</h3>");
    let rows: Vec<Vec<String>> = plan
        .factors
        .iter()
        .map(|it| vec![it.plugin.to_string(), it.name.clone(), it.levels.join(", ")])
        .collect();
    text.push_str(&table(&["backend", "setting", "levels"], &rows));
    text.push_str("</div>\n");
    text
}

/// The most values of one setting that stand in the table.
const MOST: usize = 20;

/// Model, workload, traffic and settings of GPUs, with all values that they take.
fn workloads(results: &ResultSet) -> Vec<Vec<String>> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut add = |name: &'static str, value: String| {
        let known = values.entry(name).or_default();
        if !known.contains(&value) && known.len() <= MOST {
            known.push(if known.len() < MOST { value } else { "…".to_owned() });
        }
    };
    let length = |it: Option<&Length>| it.map_or_else(|| "as recorded".to_owned(), words);
    for it in results.experiments() {
        add("model", format!("{} ({})", it.model.id, it.model.revision));
        add("requests of a trial", it.workload.requests.to_string());
        add("source of requests", words(&it.workload.source));
        add("prompt tokens", length(it.workload.input_tokens.as_ref()));
        add("output tokens", length(it.workload.output_tokens.as_ref()));
        add("shared prefix, tokens", it.workload.shared_prefix_tokens.to_string());
        add("turns of a session", it.workload.turns.to_string());
        let gpu = |value: Option<NonZeroU32>, unit: &str| {
            value.map_or_else(|| "as it was".to_owned(), |it| format!("{it} {unit}"))
        };
        add("power limit of GPUs", gpu(it.gpu.power_limit, "W"));
        add("SM clock of GPUs", gpu(it.gpu.sm_clock, "MHz"));
        add("traffic", it.traffic.as_deref().map_or_else(|| "offline".to_owned(), words));
    }
    values.into_iter().map(|(name, values)| vec![name.to_owned(), values.join("; ")]).collect()
}
