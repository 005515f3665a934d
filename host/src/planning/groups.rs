//! Experiments that one running engine serves: it is planned for the largest of them.

use std::collections::BTreeMap;

use llem_core::{
    study::{Experiment, NEVER_SHARED, Traffic},
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
        Self {
            input_tokens: longest(&experiment.workload.input_tokens),
            output_tokens: longest(&experiment.workload.output_tokens),
            concurrency: match experiment.traffic.as_deref() {
                Some(Traffic::ClosedLoop { concurrency }) => Some(concurrency.get()),
                _ => None,
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
    use super::*;

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
