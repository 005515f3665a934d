//! Which experiments no other one beats in energy, throughput and latency together.

use llem_core::stats::{
    Estimate, Interval,
    confidence::Method,
    pareto::{self, Better},
};

use super::Summary;

/// The objectives, with what is better.
pub const FRONT: [(&str, Better); 3] = [
    ("energy_per_output_token_joules", Better::Lower),
    ("output_token_throughput_per_second", Better::Higher),
    ("time_to_first_token_p50_seconds", Better::Lower),
];

/// An experiment's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrontPoint {
    /// Index of the experiment in the plan.
    pub experiment: usize,
    /// No other experiment is at least as good in everything and better in something.
    pub on_front: bool,
    /// Probability of that, given the estimates' errors.
    pub probability: f64,
    /// An experiment that is at least as good in everything, the best of them in the first objective.
    pub dominated_by: Option<usize>,
}

/// The standing of each experiment that has all of the objectives that any experiment has, and which
/// those are. Figures that an instrument contradicts take no part.
pub fn front(summary: &Summary) -> (Vec<&'static str>, Vec<FrontPoint>) {
    let has = |name: &str| summary.experiments.iter().any(|it| it.figures.contains_key(name));
    let objectives: Vec<(&'static str, Better)> =
        FRONT.into_iter().filter(|(name, _)| has(name)).collect();
    let better: Vec<Better> = objectives.iter().map(|(_, better)| *better).collect();
    let mut places = Vec::new();
    let mut estimates: Vec<Vec<Estimate>> = Vec::new();
    for (at, experiment) in summary.experiments.iter().enumerate() {
        let figures = objectives.iter().map(|(name, _)| experiment.figures.get(*name));
        let Some(figures) = figures.collect::<Option<Vec<_>>>() else { continue };
        if figures.iter().any(|it| !it.ranked) {
            continue;
        }
        places.push(at);
        estimates.push(
            figures
                .iter()
                .map(|it| it.statistics.estimate.unwrap_or(single(it.statistics.mean)))
                .collect(),
        );
    }
    if objectives.len() < 2 {
        return (Vec::new(), Vec::new());
    }
    let standings = pareto::front(&estimates, &better, 1);
    let leaders: Vec<usize> = (0..places.len()).filter(|at| standings[*at].on_front).collect();
    let points = places.iter().enumerate().map(|(at, experiment)| {
        let beats = |leader: &&usize| {
            let pairs = estimates[**leader].iter().zip(&estimates[at]).zip(&better);
            pairs.into_iter().all(|((one, other), better)| match better {
                Better::Lower => one.point <= other.point,
                Better::Higher => one.point >= other.point,
            })
        };
        let first = |it: &&usize| estimates[**it][0].point;
        let dominated_by = (!standings[at].on_front)
            .then(|| {
                leaders
                    .iter()
                    .filter(beats)
                    .min_by(|one, other| first(one).total_cmp(&first(other)))
            })
            .flatten()
            .map(|it| places[*it]);
        FrontPoint {
            experiment: *experiment,
            on_front: standings[at].on_front,
            probability: standings[at].probability,
            dominated_by,
        }
    });
    (objectives.iter().map(|(name, _)| *name).collect(), points.collect())
}

/// A single trial says nothing of its error; its point takes part as it is.
fn single(point: f64) -> Estimate {
    let interval = Interval { low: point, high: point, coverage: 0.0 };
    Estimate { point, standard_error: 0.0, interval, method: Method::T }
}
