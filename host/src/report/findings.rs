//! What a study shows beyond each experiment alone, as text: comparisons, effects, sensitivity, front, drift, outliers.

use std::fmt::Write as _;

use comfy_table::Table;

use super::table::table;
use crate::{
    diagnostics::printable,
    results::{Contrast, Effect, Sensitivity, Summary, front},
};

/// More comparisons than these are in `summary.json` alone.
const LISTED: usize = 40;

/// All of it; each part only where the study has it.
pub(super) fn findings(summary: &Summary) -> String {
    let mut text = String::new();
    let mut part = |heading: &str, table: &Table| {
        write!(text, "\n{heading}:\n{table}\n").expect("writing to a string does not fail");
    };
    let label = |id: &str| {
        let found = summary.experiments.iter().find(|it| it.id == id);
        found.map_or_else(|| id.to_owned(), |it| printable(&it.label))
    };
    if let Some(first) = summary.contrasts.first()
        && summary.contrasts.len() <= LISTED
    {
        let heading = format!(
            "{} beside that of {}, within the same repeats",
            summary.primary,
            label(&first.reference)
        );
        part(&heading, &contrasts(&summary.contrasts, &label));
    }
    if !summary.effects.is_empty() {
        let heading = format!("What changed {} how much, others averaged over", summary.primary);
        part(&heading, &effects(&summary.effects));
    }
    if let Some(first) = summary.sensitivity.first() {
        let heading = format!(
            "What causes the variance of {} (the fit predicts {:.0} % of unseen points' variance)",
            summary.primary,
            100.0 * first.predicted
        );
        part(&heading, &sensitivity(&summary.sensitivity));
    }
    for line in lines(summary, &label) {
        writeln!(text, "{line}").expect("writing to a string does not fail");
    }
    text
}

fn lines(summary: &Summary, label: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    let front = front(summary);
    let leaders = front.points.iter().filter(|it| it.on_front).take(LISTED).map(|it| {
        let name = printable(&summary.experiments[it.experiment].label);
        format!("{name} ({:.0} %)", 100.0 * it.probability)
    });
    let leaders: Vec<String> = leaders.collect();
    if front.points.len() > 1 {
        lines.push(format!(
            "none is better at once in {}, with its probability, than: {}",
            front.objectives.join(", "),
            leaders.join("; ")
        ));
    }
    if let Some(drift) = &summary.drift {
        let percent = |factor: f64| 100.0 * (factor - 1.0);
        let (change, interval) = (drift.change.point, drift.change.interval);
        lines.push(format!(
            "drift of {} over the study: {:+.2} % [{:+.2}, {:+.2}], p {:.2e}",
            summary.primary,
            percent(change),
            percent(interval.low),
            percent(interval.high),
            drift.p_value
        ));
    }
    for it in &summary.experiments {
        let outliers = it.figures.get(&summary.primary).map(|it| &it.statistics.outliers);
        for outlier in outliers.into_iter().flatten().take(LISTED) {
            lines.push(format!(
                "outlier, kept: {} of {} is {:.4e}, {:.1} robust standard deviations off the median",
                summary.primary,
                label(&it.id),
                outlier.value,
                outlier.score
            ));
        }
    }
    lines
}

fn contrasts(contrasts: &[Contrast], label: &dyn Fn(&str) -> String) -> Table {
    let mut table = table(&["experiment", "ratio [interval]", "p, adjusted", "repeats"]);
    for it in contrasts {
        table.add_row([
            label(&it.experiment),
            format!("{:.3} [{:.3}, {:.3}]", it.ratio, it.low, it.high),
            format!("{:.2e}", it.p_value),
            it.repeats.to_string(),
        ]);
    }
    table
}

fn effects(effects: &[Effect]) -> Table {
    let mut table = table(&[
        "setting",
        "level",
        "ratio to the first level [interval]",
        "share of variance [interval]",
    ]);
    let share = |share: f64, low: Option<f64>, high: Option<f64>| match (low, high) {
        (Some(low), Some(high)) => {
            format!("{:.0} % [{:.0}, {:.0}]", 100.0 * share, 100.0 * low, 100.0 * high)
        }
        _ => format!("{:.0} %", 100.0 * share),
    };
    for effect in effects {
        for (place, level) in effect.levels.iter().enumerate() {
            let (setting, share) = match place {
                0 => (
                    printable(&effect.setting),
                    share(effect.variance_share, effect.share_low, effect.share_high),
                ),
                _ => (String::new(), String::new()),
            };
            let ratio = format!("{:.3} [{:.3}, {:.3}]", level.ratio, level.low, level.high);
            table.add_row([setting, printable(&level.name), ratio, share]);
        }
    }
    // Each pair is listed with both of its settings; the first one shows it.
    for effect in effects {
        for it in effect.interactions.iter().filter(|it| it.settings[0] == effect.setting) {
            table.add_row([
                format!("{} with {}", printable(&it.settings[0]), printable(&it.settings[1])),
                String::new(),
                format!("p {:.2e}", it.p_value),
                share(it.variance_share, it.share_low, it.share_high),
            ]);
        }
    }
    table
}

fn sensitivity(parameters: &[Sensitivity]) -> Table {
    let mut table = table(&["setting", "alone [interval]", "with others [interval]"]);
    let share = |share: f64, of: &llem_core::stats::Interval| {
        format!("{:.0} % [{:.0}, {:.0}]", 100.0 * share, 100.0 * of.low, 100.0 * of.high)
    };
    for it in parameters {
        table.add_row([
            printable(&it.setting),
            share(it.index.first_order, &it.index.first_interval),
            share(it.index.total, &it.index.total_interval),
        ]);
    }
    table
}
