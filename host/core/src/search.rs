//! Which load to try next, to find the highest one, or the most energy-efficient one, that meets an objective.
//!
//! A function of what has been seen: it replays its own course over the outcomes so far and asks for the first level
//! that it lacks. Drives nothing and judges nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The highest load that meets the objective.
    HighestLoad,
    /// The load with the least energy for each output token among those that meet the objective.
    LeastEnergy,
}

/// A search between two levels of load.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Search {
    /// What is looked for.
    pub goal: Goal,
    /// The least load: requests a second, or requests in flight.
    pub lowest: f64,
    /// The greatest load.
    pub highest: f64,
    /// The search ends where the bracket's ratio is at most one more than this.
    pub tolerance: f64,
    /// Levels are whole numbers.
    pub whole: bool,
}

/// What a level came to.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Outcome {
    /// The load.
    pub level: f64,
    /// Whether the objective was met.
    pub is_met: bool,
    /// Energy for each output token, joules; none where it is unknown.
    pub energy: Option<f64>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Measure this level.
    Try(f64),
    /// The search is over; none: even the least load misses the objective.
    Done(Option<f64>),
}

/// The inverse of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Search {
    /// The next step after what has been seen.
    ///
    /// The highest load is found by bisection of the logarithm (a load above one that misses the objective is taken to
    /// miss it too), the least energy by golden-section search up to there (Kiefer, 1953, "Sequential minimax search for
    /// a maximum": energy for each token is taken to fall with load and then to rise, at most once).
    ///
    /// ```
    /// use llem_core::search::{Goal, Outcome, Search, Step};
    /// let search = Search { goal: Goal::HighestLoad, lowest: 1.0, highest: 64.0, tolerance: 0.05, whole: true };
    /// let mut seen = Vec::new();
    /// let found = loop {
    ///     match search.next(&seen) {
    ///         Step::Try(level) => seen.push(Outcome { level, is_met: level <= 23.0, energy: None }),
    ///         Step::Done(found) => break found,
    ///     }
    /// };
    /// assert_eq!((found, seen.len()), (Some(23.0), 8));
    /// ```
    pub fn next(&self, seen: &[Outcome]) -> Step {
        self.replay(seen).unwrap_or_else(|step| step)
    }

    fn replay(&self, seen: &[Outcome]) -> Result<Step, Step> {
        let of = |level: f64| {
            let found = seen.iter().find(|it| (it.level / level - 1.0).abs() < 1e-9);
            found.copied().ok_or(Step::Try(level))
        };
        let Some(highest) = self.highest_met(of)? else { return Ok(Step::Done(None)) };
        if self.goal == Goal::HighestLoad {
            return Ok(Step::Done(Some(highest)));
        }
        let (mut low, mut high) = (self.lowest, highest);
        while !self.is_narrow(low, high) {
            let span = high / low;
            let left = self.rounded(low * span.powf(1.0 - GOLDEN));
            let right = self.rounded(low * span.powf(GOLDEN));
            if left >= right {
                break;
            }
            let cost = |level| {
                of(level).map(|it| it.energy.filter(|_| it.is_met).unwrap_or(f64::INFINITY))
            };
            if cost(left)? <= cost(right)? {
                high = right;
            } else {
                low = left;
            }
        }
        of(low)?;
        of(high)?;
        let met = seen.iter().filter(|it| it.is_met && it.energy.is_some());
        let best = met
            .min_by(|a, b| a.energy.unwrap_or_default().total_cmp(&b.energy.unwrap_or_default()));
        Ok(Step::Done(Some(best.map_or(highest, |it| it.level))))
    }

    fn highest_met(&self, of: impl Fn(f64) -> Result<Outcome, Step>) -> Result<Option<f64>, Step> {
        let (mut met, mut missed) = (self.lowest, self.highest);
        if !of(met)?.is_met {
            return Ok(None);
        }
        if of(missed)?.is_met {
            return Ok(Some(missed));
        }
        while !self.is_narrow(met, missed) {
            let middle = self.rounded((met * missed).sqrt());
            let middle = if middle <= met { met + 1.0 } else { middle };
            if of(middle)?.is_met {
                met = middle;
            } else {
                missed = middle;
            }
        }
        Ok(Some(met))
    }

    fn is_narrow(&self, low: f64, high: f64) -> bool {
        high / low <= 1.0 + self.tolerance || (self.whole && high - low < 1.5)
    }

    fn rounded(&self, level: f64) -> f64 {
        if self.whole { level.round() } else { level }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(search: Search, mut measure: impl FnMut(f64) -> (bool, f64)) -> (Option<f64>, usize) {
        let mut seen: Vec<Outcome> = Vec::new();
        loop {
            match search.next(&seen) {
                Step::Done(found) => return (found, seen.len()),
                Step::Try(level) => {
                    assert!(
                        seen.iter().all(|it| (it.level - level).abs() > 0.0),
                        "{level} is tried twice"
                    );
                    let (is_met, energy) = measure(level);
                    seen.push(Outcome { level, is_met, energy: Some(energy) });
                }
            }
        }
    }

    fn search(goal: Goal, whole: bool) -> Search {
        Search { goal, lowest: 1.0, highest: 256.0, tolerance: 0.05, whole }
    }

    #[test]
    fn an_objective_that_nothing_meets_ends_after_one_level_and_one_that_all_meet_after_two() {
        assert_eq!(run(search(Goal::HighestLoad, false), |_| (false, 1.0)), (None, 1));
        assert_eq!(run(search(Goal::HighestLoad, false), |_| (true, 1.0)), (Some(256.0), 2));
    }

    proptest! {
        #[test]
        fn the_highest_load_is_found_within_the_tolerance(limit in 1.0_f64..256.0, whole: bool) {
            let (found, tried) = run(search(Goal::HighestLoad, whole), |level| (level <= limit, 1.0));
            let found = found.unwrap();
            let slack = if whole { 1.0 / found } else { 0.0 };
            prop_assert!(found <= limit);
            prop_assert!(limit / found <= 1.05 + slack);
            prop_assert!(tried <= 12, "{tried}");
        }

        #[test]
        fn the_least_energy_is_found_within_the_objective(limit in 2.0_f64..300.0, best in 1.0_f64..300.0, whole: bool) {
            let cost = |level: f64| (level / best).ln().powi(2) + 1.0;
            let (found, tried) = run(search(Goal::LeastEnergy, whole), |level| (level <= limit, cost(level)));
            let found = found.unwrap();
            let true_best = best.min(limit).min(256.0);
            prop_assert!(found <= limit);
            let slack = 1.12 + if whole { 1.0 / found } else { 0.0 };
            prop_assert!(found / true_best <= slack && true_best / found <= slack, "{found} for {true_best}");
            prop_assert!(tried <= 28, "{tried}");
        }
    }
}
