//! The report: one HTML file that needs no network, with every chart's data in it.
//!
//! Figures, intervals, effects and the front are computed by core; the page only draws. Texts of
//! studies, plugins and logs reach it escaped, as data or as text, never as markup or script.

mod data;
mod library;
mod markup;
mod places;
mod review;
mod split;
mod spread;
mod trace;

use std::fmt::Write as _;

use self::markup::{Name, Text};
use crate::results::{ResultSet, Trial, front};

/// What a report is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Experiments whose raw series are shown first, however many there are.
    pub(crate) traced: Vec<String>,
}

const STYLE: &str = include_str!("../../assets/report/page.css");
const SCRIPTS: [&str; 5] = [
    include_str!("../../assets/report/data.js"),
    include_str!("../../assets/report/chart.js"),
    include_str!("../../assets/report/figures.js"),
    include_str!("../../assets/report/study.js"),
    include_str!("../../assets/report/page.js"),
];

/// The charts, with the widths that suit them.
const CHARTS: [(&str, bool); 13] = [
    ("energy", false),
    ("speed", false),
    ("front", false),
    ("latency", false),
    ("spread", true),
    ("parallel", true),
    ("effects", false),
    ("shares", false),
    ("heat", false),
    ("phases", false),
    ("trace", true),
    ("drift", true),
    (BOARDS, true),
];

/// The chart that is there only where trials ran on several boards.
const BOARDS: &str = "boards";

/// Writes the report of some results.
pub(crate) fn page(results: &ResultSet, options: &Options) -> String {
    let trials: Vec<Trial<'_>> = results.trials().collect();
    let summary = results.summary_of(&trials);
    let front = front(&summary);
    let data = markup::json(&data::of(results, &trials, &summary, &front, options));
    let review = review::of(results, &summary, &front);
    // Only scripts with this word run. It depends on all the data, so that no data can hold it.
    let nonce = blake3::hash(data.as_bytes()).to_hex();
    let library = library::script();
    let mut page = String::with_capacity(data.len() + library.len() + review.body.len() + 200_000);
    let study = Name(results.study());
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'nonce-{nonce}'; \
         style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"generator\" content=\"llem {}\">\n\
         <title>{study} – llem report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        env!("CARGO_PKG_VERSION"),
    )
    .expect("writing to a string does not fail");
    head(&mut page, results, summary.boards.is_some(), &review.warnings);
    page.push_str(
        "<section aria-labelledby=\"figures\">\n<h2 id=\"figures\">Results</h2>\n<div class=\"grid\">\n\
         <div class=\"panel wide\"><div class=\"follow\" role=\"group\" aria-label=\"Filter\"><strong>Shown:</strong> \
         <span id=\"status\" role=\"status\"></span> <span id=\"chips\"></span> <button type=\"button\" id=\"clear\" hidden>show all</button></div>\
         <details open><summary>Filter by setting</summary><div id=\"filter\"></div></details></div>\n",
    );
    let is_shown = |(chart, _): &(&str, bool)| *chart != BOARDS || summary.boards.is_some();
    for (chart, wide) in CHARTS.into_iter().filter(is_shown) {
        let wide = if wide { " wide" } else { "" };
        writeln!(page, "<section class=\"panel chart{wide}\" id=\"chart-{chart}\"></section>")
            .expect("writing to a string does not fail");
    }
    page.push_str(
        "</div>\n<h2 id=\"table\">Experiments</h2>\n<div class=\"panel\"><p class=\"note\">Means with their intervals; ~ marks a \
         model's estimate, ! what another instrument or check contradicts. Headings sort.</p><div id=\"experiments\" class=\"scroll\" tabindex=\"0\"></div></div>\n</section>\n",
    );
    page.push_str(&review.body);
    write!(
        page,
        "</main>\n<footer>Written by llem {} from {}. Charts are drawn by Vega, Vega-Lite and Vega-Embed.\
         <details><summary>Licences of the chart library</summary><pre>{}</pre></details></footer>\n",
        env!("CARGO_PKG_VERSION"),
        Name(&results.path().file_name().unwrap_or_default().to_string_lossy()),
        Text(&library::licences()),
    )
    .expect("writing to a string does not fail");
    page.push_str("<noscript><p class=\"warnings\">The charts need JavaScript; the method, the environment and the problems below do not.</p></noscript>\n");
    page.push_str("<script type=\"application/json\" id=\"llem-data\">");
    page.push_str(&data);
    page.push_str("</script>\n");
    for script in std::iter::once(library.as_str()).chain(SCRIPTS) {
        write!(page, "<script nonce=\"{nonce}\">\n{script}</script>\n")
            .expect("writing to a string does not fail");
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, results: &ResultSet, has_boards: bool, warnings: &str) {
    let boards = if has_boards { "<a href=\"#boards\">Boards</a>" } else { "" };
    let header = results.header();
    write!(
        page,
        "<a class=\"skip\" href=\"#figures\">To the results</a>\n<header><h1><bdi>{}</bdi></h1>\
         <nav aria-label=\"Parts\"><a href=\"#figures\">Results</a><a href=\"#table\">Experiments</a><a href=\"#method\">Method</a>\
         <a href=\"#instruments\">Instruments</a>{boards}<a href=\"#environment\">Environment</a><a href=\"#configurations\">Configurations</a></nav>\
         <span class=\"tools\"><button type=\"button\" id=\"theme\">Dark colours</button><button type=\"button\" id=\"print\">Print</button></span>\
         <p class=\"facts\">begun {} · {} experiments · {} trials · seed {} · llem {}</p></header>\n<main>\n{warnings}",
        Name(results.study()),
        Name(&minute(&header.started_at)),
        results.experiments().len(),
        results.records().len(),
        header.seed,
        Name(&header.llem),
    )
    .expect("writing to a string does not fail");
}

/// A time without what nobody reads: `2026-11-24 13:15 UTC`.
fn minute(at: &str) -> String {
    at.parse::<jiff::Timestamp>()
        .map_or_else(|_| at.to_owned(), |it| it.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
