//! What a reviewer asks for: warnings first, then method, instruments, uncertainty, environment, and
//! every configuration that gave no figure, with its reason. Plain HTML, readable without scripts.

mod alike;
mod boards;
mod budget;
mod method;
mod problems;

use std::fmt::Write as _;

use super::markup::{Name, Text};
use crate::results::{Front, ResultSet, Summary};

/// The parts of the page.
pub(super) struct Review {
    /// To stand before everything else; empty where there is nothing to warn of.
    pub(super) warnings: String,
    /// To stand below the charts.
    pub(super) body: String,
}

/// Writes the parts.
pub(super) fn of(results: &ResultSet, summary: &Summary, front: &Front) -> Review {
    let mut body = String::from("<section class=\"review\">\n");
    body.push_str(&method::of(results, summary));
    body.push_str(&budget::of(results));
    body.push_str(&boards::of(results, summary));
    body.push_str(&environment(results));
    body.push_str(&problems::configurations(results, summary, front));
    body.push_str(&again(results));
    body.push_str("</section>\n");
    Review { warnings: problems::warnings(results, summary), body }
}

/// A list of terms; values that are absent are left out.
fn terms(pairs: &[(&str, Option<String>)]) -> String {
    let mut list = String::from("<dl>\n");
    for (term, value) in pairs {
        if let Some(value) = value {
            writeln!(list, "<dt>{}</dt><dd>{}</dd>", Name(term), Text(value))
                .expect("writing to a string does not fail");
        }
    }
    list.push_str("</dl>\n");
    list
}

/// A table; cells are texts.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = String::from("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for title in header {
        write!(table, "<th scope=\"col\">{}</th>", Text(title))
            .expect("writing to a string does not fail");
    }
    table.push_str("</tr></thead><tbody>\n");
    for row in rows {
        table.push_str("<tr>");
        for cell in row {
            write!(table, "<td>{}</td>", Text(cell)).expect("writing to a string does not fail");
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table></div>\n");
    table
}

fn environment(results: &ResultSet) -> String {
    let mut text = String::from("<h2 id=\"environment\">Environment</h2>\n<div class=\"panel\">");
    match results.environment() {
        None => text.push_str("<p>The results hold no <code>environment.json</code>.</p>"),
        Some(environment) => {
            let empty = serde_json::Map::new();
            let facts = environment.as_object().unwrap_or(&empty).iter();
            let facts = facts.filter(|(name, _)| *name != "devices");
            let rows: Vec<Vec<String>> =
                facts.map(|(name, value)| vec![name.replace('_', " "), shown(value)]).collect();
            text.push_str(&table(&["fact", "value"], &rows));
        }
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, sha256) in &results.header().plugins {
        rows.push(vec![format!("plugin {name}"), format!("SHA-256 {sha256}")]);
    }
    for trial in results.trials() {
        let engine = &trial.record.engine;
        if let Some(version) = &engine.version {
            rows.push(vec![format!("engine of {}", trial.experiment.plugin), version.clone()]);
        }
    }
    rows.sort();
    rows.dedup();
    text.push_str("<h3>Plugins and engines</h3>");
    text.push_str(&table(&["what", "version"], &rows));
    text.push_str("</div>\n");
    text
}

/// A fact for people; what is unknown says so.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "unknown".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How to get the same figures again.
fn again(results: &ResultSet) -> String {
    let mut text = String::from(
        "<h2 id=\"again\">To run it again</h2>\n<div class=\"panel\"><p><code>llem run study.toml</code> \
         runs the whole study, which is:</p>",
    );
    match results.study_file() {
        Some(study) => {
            write!(
                text,
                "<details open><summary>study.toml</summary><pre>{}</pre></details>",
                Text(study)
            )
            .expect("writing to a string does not fail");
        }
        None => text.push_str("<p>The results hold no study file.</p>"),
    }
    text.push_str("</div>\n");
    text
}

/// The name that a value has on the wire, in words; of an object, each part.
fn words(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name.replace(['_', '-'], " "),
        Ok(serde_json::Value::Object(parts)) => {
            let part = |(name, value)| format!("{} {}", words(name), words(value));
            parts
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(part)
                .collect::<Vec<_>>()
                .join(", ")
        }
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
