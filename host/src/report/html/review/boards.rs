//! The nodes and boards of a study that ran on several: which, how many trials each, and the intervals that hold for
//! other boards of the kind.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{super::markup::Text, table};
use crate::results::{Boards, ResultSet, Summary, column};

pub(super) fn of(results: &ResultSet, summary: &Summary) -> String {
    let Some(boards) = &summary.boards else { return String::new() };
    let mut text =
        String::from("<h2 id=\"boards\">Nodes and boards</h2>\n<div class=\"panel\"><ul>");
    for it in &boards.statements {
        write!(text, "<li>{}</li>", Text(it)).expect("writing to a string does not fail");
    }
    text.push_str("</ul>");
    let mut counts: BTreeMap<(&str, String, &str), (u32, u32)> = BTreeMap::new();
    for record in results.records() {
        let Some(site) = &record.site else { continue };
        let model = site.model.as_deref().unwrap_or("unknown");
        let (trials, failed) = counts.entry((&site.node, site.hardware(), model)).or_default();
        *trials += 1;
        *failed += u32::from(!record.is_completed());
    }
    let rows: Vec<Vec<String>> = counts
        .into_iter()
        .map(|((node, board, model), (trials, failed))| {
            vec![node.to_owned(), board, model.to_owned(), trials.to_string(), failed.to_string()]
        })
        .collect();
    text.push_str(&table(&["node", "board", "model", "trials", "failed"], &rows));
    text.push_str(&intervals(boards, summary));
    text.push_str("</div>\n");
    text
}

/// With the board as a random effect.
fn intervals(boards: &Boards, summary: &Summary) -> String {
    if boards.intervals.is_empty() {
        return String::new();
    }
    let figure = column(&summary.primary);
    let rows: Vec<Vec<String>> = summary
        .experiments
        .iter()
        .filter_map(|it| {
            let other = boards.intervals.get(&it.id)?;
            let own = it.figures.get(&summary.primary)?.statistics.estimate.as_ref()?;
            let range = |low: f64, high: f64| format!("[{low:.4e}, {high:.4e}]");
            Some(vec![
                it.label.clone(),
                format!("{:.4e}", own.point),
                range(own.interval.low, own.interval.high),
                range(other.low, other.high),
            ])
        })
        .collect();
    let title = format!("{} ({})", figure.title, figure.unit);
    let header = ["experiment", title.as_str(), "on these boards", "on other boards of the kind"];
    format!(
        "<details><summary>{} % intervals with the board as a random effect ({})</summary>{}</details>",
        100.0 * summary.coverage,
        rows.len(),
        table(&header, &rows)
    )
}
