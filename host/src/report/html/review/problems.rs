//! What went wrong or did not run: warnings, failed, skipped, merged and unfinished configurations.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{super::markup::Text, alike, table};
use crate::results::{Front, ResultSet, Summary};

/// The most labels that stand with one reason.
const LABELS: usize = 50;

/// Everything that changes how the figures may be read, before the figures.
pub(super) fn warnings(results: &ResultSet, summary: &Summary) -> String {
    let mut found = Vec::new();
    let figures = || summary.experiments.iter().flat_map(|it| it.figures.values());
    if figures().any(|it| it.estimated) {
        found.push(
            "Energies marked ~ are a model's estimate from processor time, not a measurement: they rank settings on this \
             machine and are no energies to cite."
                .to_owned(),
        );
    }
    if figures().any(|it| !it.ranked) {
        found.push("Figures marked ! are contradicted by a second instrument or check and take no part in the front.".to_owned());
    }
    let failed: usize = summary.experiments.iter().map(|it| it.failures.len()).sum();
    if failed > 0 {
        found.push(format!("{} failed: see Configurations.", counted(failed, "trial")));
    }
    let without = summary.experiments.iter().filter(|it| it.completed == 0).count();
    if without > 0 {
        found.push(format!("{} without figures.", counted(without, "experiment")));
    }
    let single = summary.experiments.iter().filter(|it| it.completed == 1).count();
    if single > 0 {
        found.push(format!(
            "{} with one trial only, so without an interval.",
            counted(single, "experiment")
        ));
    }
    if let Some(boards) = summary.boards.as_ref().filter(|it| it.need_care()) {
        found.push(format!("{}: see Nodes and boards.", boards.statements.join("; ")));
    }
    if !results.unfinished().is_empty() {
        found.push(format!(
            "The run was stopped within {}; what was begun is not in the figures.",
            counted(results.unfinished().len(), "trial")
        ));
    }
    found.extend(alike::grouped(&summary.warnings).into_iter().map(|(text, trials)| {
        format!("{text} ({})", counted(usize::try_from(trials).unwrap_or(usize::MAX), "trial"))
    }));
    if found.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<section class=\"warnings\" aria-label=\"Warnings\"><strong>Before you read the figures</strong><ul>\n",
    );
    for it in found {
        writeln!(text, "<li>{}</li>", Text(&it)).expect("writing to a string does not fail");
    }
    text.push_str("</ul></section>\n");
    text
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Configurations that gave no figures or stand for others.
pub(super) fn configurations(results: &ResultSet, summary: &Summary, front: &Front) -> String {
    let plan = results.plan();
    let mut text = String::from(
        "<h2 id=\"configurations\">Configurations without figures of their own</h2>\n<div class=\"panel\">",
    );
    let failed: Vec<Vec<String>> = summary
        .experiments
        .iter()
        .flat_map(|it| it.failures.iter().map(|why| vec![it.label.clone(), why.clone()]))
        .collect();
    section(&mut text, "Failed trials", &["experiment", "why"], &failed);
    let mut skipped: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for it in &plan.skipped {
        skipped.entry((&it.rule, &it.message)).or_default().push(&it.label);
    }
    let skipped = skipped.into_iter().map(|((rule, message), labels)| {
        vec![rule.to_owned(), message.to_owned(), labels.len().to_string(), listed(&labels)]
    });
    section(
        &mut text,
        "Skipped",
        &["rule", "why", "configurations", "which"],
        &skipped.collect::<Vec<_>>(),
    );
    let merged = plan.merged.iter().map(|it| {
        let kept = plan.experiments.get(it.experiment).map_or("?", |it| it.label.as_str());
        let others: Vec<&str> = it.others.iter().map(String::as_str).collect();
        vec![kept.to_owned(), listed(&others)]
    });
    section(
        &mut text,
        "Merged: the same to the engine",
        &["kept", "merged into it"],
        &merged.collect::<Vec<_>>(),
    );
    let mut apart: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for it in &front.left_out {
        apart.entry(&it.why).or_default().push(&summary.experiments[it.experiment].label);
    }
    let apart = apart
        .into_iter()
        .map(|(why, labels)| vec![why.to_owned(), labels.len().to_string(), listed(&labels)])
        .collect::<Vec<_>>();
    section(&mut text, "Not placed on the Pareto front", &["why", "experiments", "which"], &apart);
    let unfinished: Vec<Vec<String>> =
        results.unfinished().iter().map(|it| vec![it.to_string()]).collect();
    section(&mut text, "Begun and never finished", &["trial"], &unfinished);
    let notes = plan
        .notes
        .iter()
        .map(|it| vec![it.rule.clone(), it.message.clone(), it.configurations.to_string()]);
    section(
        &mut text,
        "Rules that applied without refusing",
        &["rule", "what", "configurations"],
        &notes.collect::<Vec<_>>(),
    );
    let undecided = plan.undecided.iter().map(|it| {
        vec![
            it.rule.clone(),
            it.message.clone(),
            it.unknown.join(", "),
            it.configurations.to_string(),
        ]
    });
    section(
        &mut text,
        "Rules that could not be decided",
        &["rule", "what", "unknown", "configurations"],
        &undecided.collect::<Vec<_>>(),
    );
    text.push_str("</div>\n");
    text
}

fn section(text: &mut String, title: &str, header: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        write!(text, "<p>{title}: none.</p>").expect("writing to a string does not fail");
        return;
    }
    let open = if rows.len() <= 20 { " open" } else { "" };
    write!(
        text,
        "<details{open}><summary>{title} ({})</summary>{}</details>",
        rows.len(),
        table(header, rows)
    )
    .expect("writing to a string does not fail");
}

fn listed(labels: &[&str]) -> String {
    let mut text = labels.iter().take(LABELS).copied().collect::<Vec<_>>().join("; ");
    if labels.len() > LABELS {
        write!(text, "; and {} more, in plan.json", labels.len() - LABELS)
            .expect("writing to a string does not fail");
    }
    text
}
