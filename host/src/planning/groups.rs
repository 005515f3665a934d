//! Experiments that one running engine serves: it is planned for the largest of them.

use std::collections::BTreeMap;

use llem_core::{
    study::{Experiment, NEVER_SHARED, SearchSettings, Traffic},
    workload::Length,
};

/// The most that an engine will be asked; unknown where it is not known of each experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) input_tokens: Option<u32>,
    pub(crate) output_tokens: Option<u32>,
    pub(crate) concurrency: Option<u32>,
}

/// All groups of a plan.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    bounds: BTreeMap<u64, Bounds>,
    /// Of each experiment, how many of its group come before it.
    members: Vec<u64>,
}

impl Bounds {
    fn of(experiment: &Experiment) -> Self {
        let longest = |length: &Option<Length>| length.as_ref().map(Length::max);
        let turns = experiment.workload.turns.get();
        let (input, output) = (
            longest(&experiment.workload.input_tokens),
            longest(&experiment.workload.output_tokens),
        );
        Self {
            input_tokens: longest_prompt(input, output, turns),
            output_tokens: output,
            concurrency: match experiment.traffic.as_deref() {
                Some(traffic) => most_in_flight(traffic, experiment.measure.search.as_ref()),
                None => None,
            },
        }
    }

    fn and(self, other: Self) -> Self {
        let larger = |one: Option<u32>, other: Option<u32>| Some(one?.max(other?));
        Self {
            input_tokens: larger(self.input_tokens, other.input_tokens),
            output_tokens: larger(self.output_tokens, other.output_tokens),
            concurrency: larger(self.concurrency, other.concurrency),
        }
    }
}

/// The last prompt of a session holds all its turns and all answers but the last.
fn longest_prompt(input: Option<u32>, output: Option<u32>, turns: u32) -> Option<u32> {
    let answers = match turns - 1 {
        0 => 0,
        before => output?.saturating_mul(before),
    };
    Some(input?.saturating_mul(turns).saturating_add(answers))
}

/// The most requests in flight at one time: a search goes up to its highest level.
fn most_in_flight(traffic: &Traffic, search: Option<&SearchSettings>) -> Option<u32> {
    let most = search.map_or_else(|| traffic.clone(), |it| traffic.at_level(it.highest));
    match most {
        Traffic::ClosedLoop { concurrency } => Some(concurrency.get()),
        _ => None,
    }
}

impl Groups {
    /// Of all experiments of a plan, whatever their order: a resumed study plans the same engines.
    pub(crate) fn of(experiments: &[Experiment]) -> Self {
        let mut groups = Self::default();
        let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
        for experiment in experiments {
            let key = experiment.engine_key;
            if key == NEVER_SHARED {
                groups.members.push(0);
                continue;
            }
            let size = sizes.entry(key).or_default();
            groups.members.push(*size);
            *size += 1;
            let own = Bounds::of(experiment);
            groups.bounds.entry(key).and_modify(|it| *it = it.and(own)).or_insert(own);
        }
        groups
    }

    /// The same for a plan that keeps one experiment.
    pub(crate) fn only(mut self, experiment: usize) -> Self {
        self.members = vec![self.members[experiment]];
        self
    }

    /// What the engine of an experiment must hold.
    pub(crate) fn bounds(&self, experiment: &Experiment) -> Bounds {
        self.bounds.get(&experiment.engine_key).copied().unwrap_or_else(|| Bounds::of(experiment))
    }

    /// Place of an experiment in its group.
    pub(crate) fn member(&self, experiment: usize) -> u64 {
        self.members[experiment]
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use llem_core::search::Goal;

    use super::*;

    #[test]
    fn an_engine_is_planned_for_the_highest_level_of_a_search() {
        let traffic = Traffic::ClosedLoop { concurrency: NonZeroU32::MIN };
        let search = SearchSettings { goal: Goal::HighestLoad, highest: 63.6, tolerance: 0.1 };
        assert_eq!(most_in_flight(&traffic, None), Some(1));
        assert_eq!(most_in_flight(&traffic, Some(&search)), Some(64));
        assert_eq!(most_in_flight(&Traffic::Poisson { rate: 1.0 }, Some(&search)), None);
    }

    #[test]
    fn an_engine_is_planned_for_the_last_turn_of_a_session() {
        assert_eq!(longest_prompt(Some(8), None, 1), Some(8));
        assert_eq!(longest_prompt(Some(8), Some(4), 3), Some(8 + 4 + 8 + 4 + 8));
        assert_eq!(longest_prompt(Some(8), None, 3), None);
    }

    #[test]
    fn a_group_needs_the_largest_of_each_and_nothing_where_one_is_unknown() {
        let bounds = |input_tokens, concurrency| Bounds {
            input_tokens,
            output_tokens: Some(1),
            concurrency,
        };
        let both = bounds(Some(8), Some(64)).and(bounds(Some(2048), None));
        assert_eq!(both, bounds(Some(2048), None));
    }
}
