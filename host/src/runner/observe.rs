//! The engine's own metrics page during a trial: read once a second and at the edges of windows.

use std::time::Duration;

use llem_core::{
    backend::{MetricSeries, Metrics, SeriesKind},
    energy::Series,
    latency::{RequestLog, Window},
    record::WindowRecord,
    server::{self, Interval, Reading, Target, histogram_parts},
};
use llem_load::{
    prometheus::Series as Wanted,
    scrape::{ScrapePlan, Scraper, Scrapes},
};
use serde::Serialize;

use super::engine::Engine;

const INTERVAL: Duration = Duration::from_secs(1);
/// Client and engine may differ by this part before a warning says so.
const TOLERANCE: f64 = 0.02;

/// The page of a running engine, if it has one that can be read.
pub(super) struct Observer {
    scraper: Option<Scraper>,
    targets: Vec<Target>,
    problem: Option<String>,
}

/// All readings of a trial, and power and load on the same axis.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Observed {
    readings: Vec<Reading>,
    failures: u64,
    last_failure: Option<String>,
    #[serde(skip)]
    targets: Vec<Target>,
    timeline: Vec<Interval>,
}

impl Observer {
    /// Starts to read the page of an engine.
    pub(super) fn start(engine: &Engine) -> Self {
        let Some(metrics) = &engine.subject().metrics else {
            return Self { scraper: None, targets: Vec::new(), problem: None };
        };
        let targets = metrics.series.iter().map(meaning).collect();
        let started = match metrics.format.as_str() {
            "prometheus" => scraper(metrics, engine),
            other => Err(format!("the format `{other}` is unknown; `prometheus` is known")),
        };
        match started {
            Ok(scraper) => Self { scraper: Some(scraper), targets, problem: None },
            Err(problem) => Self { scraper: None, targets, problem: Some(problem) },
        }
    }

    /// Reads the page now: at the edges of a window.
    pub(super) fn edge(&self) {
        if let Some(scraper) = &self.scraper {
            scraper.read_now();
        }
    }

    /// Ends the readings.
    pub(super) fn stop(self) -> Observed {
        let scrapes = self.scraper.map(Scraper::stop).unwrap_or_default();
        let Scrapes { readings, failures, last_failure } = scrapes;
        let last_failure = last_failure.or(self.problem);
        Observed { readings, failures, last_failure, targets: self.targets, timeline: Vec::new() }
    }
}

impl Observed {
    /// Adds what the engine said to each window; returns what a reader must know.
    pub(super) fn complete(
        &self,
        windows: &mut [WindowRecord],
        log: Option<&RequestLog>,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(failure) = &self.last_failure {
            let failures = self.failures;
            warnings.push(format!(
                "the engine's metrics page could not be read {failures} times, last: {failure}"
            ));
        }
        for window in windows {
            let span = Window { from_ns: window.begin_ns, to_ns: window.end_ns };
            window.server = server::figures(&self.readings, &self.targets, span);
            warnings.extend(difference(window));
            warnings.extend(log.and_then(|it| front_end(window, it, span)));
        }
        warnings
    }

    /// Puts power and load beside the readings.
    pub(super) fn align(&mut self, series: &[Series], log: &RequestLog) {
        self.timeline = server::timeline(&self.readings, series, log);
    }

    /// Whether there is anything to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }
}

/// Tokens that the engine counted in the window against those that the client received.
fn difference(window: &WindowRecord) -> Option<String> {
    let counted = window.server.iter().find(|it| it.target.name == "generation_tokens")?.increase?;
    let received = u32::try_from(window.metrics.output_tokens).map_or(f64::INFINITY, f64::from);
    // A step of the engine's at either edge may be on one side for it and on the other for the client.
    let edge = 2.0 * window.server.iter().find(|it| it.target.name == "requests_running")?.most?;
    ((counted - received).abs() > received * TOLERANCE + edge).then(|| {
        format!(
            "the engine counted {counted:.0} generated tokens in a window, the client received {received:.0}"
        )
    })
}

/// Requests that stay in the server's front end.
fn front_end(window: &WindowRecord, log: &RequestLog, span: Window) -> Option<String> {
    let held = server::held(&window.server, log, span)?;
    Some(format!(
        "of {:.0} requests in flight the engine ran or queued {:.0} in a window's mean; the others were in its server's \
         front end, which then limits what is measured",
        held.in_flight, held.in_engine
    ))
}

fn meaning(series: &MetricSeries) -> Target {
    Target { name: series.target.clone(), kind: series.kind, unit: series.unit.clone() }
}

fn scraper(metrics: &Metrics, engine: &Engine) -> Result<Scraper, String> {
    let plan = ScrapePlan {
        target: engine.target(""),
        path: metrics.path.clone(),
        series: metrics.series.iter().flat_map(wanted).collect(),
        interval: INTERVAL,
    };
    Scraper::start(plan).map_err(|it| it.to_string())
}

/// A histogram is two series of the page; only its sum has the unit that the factor leads to.
fn wanted(series: &MetricSeries) -> Vec<Wanted> {
    let one = |name: &str, target: &str, scale| Wanted {
        name: name.to_owned(),
        labels: series.labels.clone(),
        target: target.to_owned(),
        scale,
    };
    match series.kind {
        SeriesKind::Counter | SeriesKind::Gauge => {
            vec![one(&series.name, &series.target, series.scale)]
        }
        SeriesKind::Histogram => {
            let [sum, count] = histogram_parts(&series.name);
            let [sum_target, count_target] = histogram_parts(&series.target);
            vec![one(&sum, &sum_target, series.scale), one(&count, &count_target, 1.0)]
        }
    }
}
