//! Which experiments no other one beats in energy, throughput and latency together.

use llem_core::stats::{
    Estimate, Interval,
    confidence::Method,
    pareto::{self, Better},
};

use super::{ExperimentSummary, Summary, column};

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

/// The front of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// The objectives: those of [`FRONT`] that any experiment has; none where that leaves fewer than two.
    pub objectives: Vec<&'static str>,
    /// The standing of each experiment that takes part.
    pub points: Vec<FrontPoint>,
    /// Experiments that take no part.
    pub left_out: Vec<LeftOut>,
}

/// An experiment that takes no part in the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Index of the experiment in the plan.
    pub experiment: usize,
    /// Why, for people.
    pub why: String,
}

/// The front of energy, throughput and latency. An experiment takes part where it has all objectives and no instrument
/// contradicts one.
///
/// ```
/// use llem::results::{ResultSet, front};
///
/// # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-batch");
/// let summary = ResultSet::open(directory)?.summary();
/// let front = front(&summary);
/// for it in front.points.iter().filter(|it| it.on_front) {
///     println!("{}: on the front, p = {}", summary.experiments[it.experiment].label, it.probability);
/// }
/// # assert_eq!(front.points.len() + front.left_out.len(), summary.experiments.len());
/// # Ok::<(), llem::results::ResultsError>(())
/// ```
pub fn front(summary: &Summary) -> Front {
    let has = |name: &str| summary.experiments.iter().any(|it| it.figures.contains_key(name));
    let objectives: Vec<(&'static str, Better)> =
        FRONT.into_iter().filter(|(name, _)| has(name)).collect();
    if objectives.len() < 2 {
        return Front::default();
    }
    let better: Vec<Better> = objectives.iter().map(|(_, better)| *better).collect();
    let mut places = Vec::new();
    let mut estimates: Vec<Vec<Estimate>> = Vec::new();
    let mut left_out = Vec::new();
    for (at, experiment) in summary.experiments.iter().enumerate() {
        let found: Result<Vec<Estimate>, String> =
            objectives.iter().map(|(name, _)| objective(experiment, name)).collect();
        match found {
            Ok(found) => {
                places.push(at);
                estimates.push(found);
            }
            Err(why) => left_out.push(LeftOut { experiment: at, why }),
        }
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
    let points = points.collect();
    Front { objectives: objectives.iter().map(|(name, _)| *name).collect(), points, left_out }
}

/// An experiment's estimate of an objective, or why it can't be placed by it.
fn objective(experiment: &ExperimentSummary, name: &str) -> Result<Estimate, String> {
    let title = || column(name).title.to_lowercase();
    match experiment.figures.get(name) {
        None if experiment.completed == 0 => Err("no trial has figures".to_owned()),
        None => Err(format!("it has no {}", title())),
        Some(it) if !it.ranked => Err(format!("a check contradicts its {}", title())),
        Some(it) => Ok(it.statistics.estimate.unwrap_or(single(it.statistics.mean))),
    }
}

/// A single trial says nothing of its error; its point takes part as it is.
fn single(point: f64) -> Estimate {
    let interval = Interval { low: point, high: point, coverage: 0.0 };
    Estimate { point, standard_error: 0.0, interval, method: Method::T }
}
