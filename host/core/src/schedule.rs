//! The order of trials over repeats, balanced against drift, and which of them can share an engine.
//!
//! Decides nothing about time and starts nothing. The order is a function of method, seed and the
//! engines that experiments need.

mod order;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::study::{Experiment, NEVER_SHARED, Order};

/// One run of one experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trial {
    /// Index of the experiment.
    pub experiment: usize,
    /// Which of its repeats, from 0; also the block that comparisons are paired in.
    pub repeat: u32,
    /// Position in the study, from 0.
    pub position: usize,
}

/// Trials in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The trials.
    pub trials: Vec<Trial>,
    /// How often an engine must be loaded, if one is kept while the next trial can use it.
    pub loads: usize,
}

impl Schedule {
    /// Engine loads that sharing saves, against one load a trial.
    pub fn loads_saved(&self) -> usize {
        self.trials.len() - self.loads
    }
}

/// Orders trials of experiments: each of them `repeats` times.
///
/// `engines` says for each experiment which engine it needs; equal keys can share a running one.
///
/// ```
/// use llem_core::{schedule, study::Order};
/// let schedule = schedule::plan(Order::Grouped, &[7, 8, 7], 2, 1);
/// let order: Vec<_> = schedule.trials.iter().map(|it| (it.experiment, it.repeat)).collect();
/// assert_eq!(order, [(0, 0), (2, 0), (0, 1), (2, 1), (1, 0), (1, 1)]);
/// assert_eq!((schedule.loads, schedule.loads_saved()), (2, 4));
/// ```
pub fn plan(method: Order, engines: &[u64], repeats: u32, seed: u64) -> Schedule {
    let order = match method {
        Order::Sequential => order::sequential(engines.len(), repeats),
        Order::Interleaved => order::interleaved(engines.len(), repeats),
        Order::Grouped => order::grouped(engines, repeats),
        Order::Shuffled => order::shuffled(engines.len(), repeats, seed),
        Order::Counterbalanced => order::counterbalanced(engines.len(), repeats, seed),
    };
    let trials: Vec<Trial> = order
        .into_iter()
        .enumerate()
        .map(|(position, (experiment, repeat))| Trial { experiment, repeat, position })
        .collect();
    let loads = loads(&trials, engines);
    Schedule { trials, loads }
}

/// Orders the trials of a study; repeats that only an adaptive rule may ask for are included.
pub fn of_experiments(
    experiments: &[Experiment],
    method: Order,
    repeats: u32,
    seed: u64,
) -> Schedule {
    plan(method, &engine_keys(experiments), repeats, seed)
}

/// The engine that each experiment needs.
pub fn engine_keys(experiments: &[Experiment]) -> Vec<u64> {
    experiments.iter().map(|experiment| experiment.engine_key).collect()
}

/// Experiments by the engine that they share, in order of first use.
pub fn groups(engines: &[u64]) -> Vec<Vec<usize>> {
    let mut found: BTreeMap<u64, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (experiment, engine) in engines.iter().enumerate() {
        let group = *found.entry(*engine).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(experiment);
    }
    groups
}

/// Engine loads of the order that needs fewest.
pub fn fewest_loads(engines: &[u64], repeats: u32) -> usize {
    let alone = engines.iter().filter(|it| **it == NEVER_SHARED).count();
    let shared: BTreeSet<u64> = engines.iter().copied().filter(|it| *it != NEVER_SHARED).collect();
    if repeats == 0 {
        0
    } else {
        shared.len() + alone * usize::try_from(repeats).unwrap_or(usize::MAX)
    }
}

fn loads(trials: &[Trial], engines: &[u64]) -> usize {
    let changes = trials
        .windows(2)
        .filter(|pair| {
            let (one, next) = (engines[pair[0].experiment], engines[pair[1].experiment]);
            one != next || one == NEVER_SHARED
        })
        .count();
    changes + usize::from(!trials.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Order; 5] = [
        Order::Counterbalanced,
        Order::Shuffled,
        Order::Interleaved,
        Order::Sequential,
        Order::Grouped,
    ];

    /// How often each experiment follows each other one within a repeat.
    fn followers(schedule: &Schedule, experiments: usize) -> Vec<Vec<u32>> {
        let mut counts = vec![vec![0; experiments]; experiments];
        for pair in schedule.trials.windows(2).filter(|pair| pair[0].repeat == pair[1].repeat) {
            counts[pair[0].experiment][pair[1].experiment] += 1;
        }
        counts
    }

    /// The position of each trial within its repeat.
    fn places(schedule: &Schedule, experiments: usize) -> Vec<Vec<u32>> {
        let mut counts = vec![vec![0; experiments]; experiments];
        for trial in &schedule.trials {
            counts[trial.experiment][trial.position % experiments] += 1;
        }
        counts
    }

    #[test]
    fn a_full_square_balances_positions_and_predecessors_for_even_numbers() {
        for experiments in [2_u32, 4, 6, 10] {
            let count = usize::try_from(experiments).unwrap();
            let schedule = plan(Order::Counterbalanced, &vec![0; count], experiments, 9);
            assert!(places(&schedule, count).iter().flatten().all(|it| *it == 1));
            for (first, row) in followers(&schedule, count).iter().enumerate() {
                assert!(
                    row.iter().enumerate().all(|(second, it)| *it == u32::from(first != second)),
                    "{experiments}: {row:?}"
                );
            }
        }
    }

    #[test]
    fn a_pair_of_squares_balances_odd_numbers() {
        for experiments in [3_u32, 5, 7, 9] {
            let count = usize::try_from(experiments).unwrap();
            let schedule = plan(Order::Counterbalanced, &vec![0; count], 2 * experiments, 9);
            assert!(places(&schedule, count).iter().flatten().all(|it| *it == 2));
            for (first, row) in followers(&schedule, count).iter().enumerate() {
                assert!(
                    row.iter()
                        .enumerate()
                        .all(|(second, it)| *it == 2 * u32::from(first != second)),
                    "{experiments}: {row:?}"
                );
            }
        }
    }

    #[test]
    fn two_repeats_of_a_counterbalanced_order_mirror_each_other() {
        let schedule = plan(Order::Counterbalanced, &[0; 8], 2, 3);
        let order: Vec<usize> = schedule.trials.iter().map(|it| it.experiment).collect();
        let mirrored: Vec<usize> = order[8..].iter().rev().copied().collect();
        assert_eq!(order[..8], mirrored);
    }

    #[test]
    fn the_simple_orders_are_what_they_are_called() {
        let order = |method| {
            plan(method, &[1, 2], 2, 0)
                .trials
                .iter()
                .map(|it| (it.experiment, it.repeat))
                .collect::<Vec<_>>()
        };
        assert_eq!(order(Order::Sequential), [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(order(Order::Interleaved), [(0, 0), (1, 0), (0, 1), (1, 1)]);
    }

    #[test]
    fn an_engine_that_is_never_shared_is_loaded_for_every_trial() {
        let schedule = plan(Order::Sequential, &[NEVER_SHARED, NEVER_SHARED, 7], 2, 0);
        assert_eq!((schedule.loads, schedule.loads_saved()), (5, 1));
    }

    proptest! {
        #[test]
        fn every_order_runs_every_trial_once(
            engines in proptest::collection::vec(0_u64..4, 0..12), repeats in 1_u32..7, seed: u64
        ) {
            for method in ALL {
                let schedule = plan(method, &engines, repeats, seed);
                let mut seen: Vec<(usize, u32)> = schedule.trials.iter().map(|it| (it.experiment, it.repeat)).collect();
                seen.sort_unstable();
                let all: Vec<(usize, u32)> = (0..engines.len()).flat_map(|it| (0..repeats).map(move |repeat| (it, repeat))).collect();
                prop_assert_eq!(&seen, &all, "{:?}", method);
                prop_assert!(schedule.trials.iter().enumerate().all(|(at, trial)| trial.position == at));
                prop_assert_eq!(&schedule, &plan(method, &engines, repeats, seed));
            }
        }

        #[test]
        fn grouping_loads_each_engine_once_and_no_order_loads_fewer(engines in proptest::collection::vec(0_u64..5, 0..12), repeats in 1_u32..5, seed: u64) {
            let schedule = plan(Order::Grouped, &engines, repeats, 0);
            prop_assert_eq!(schedule.loads, fewest_loads(&engines, repeats));
            for method in ALL {
                prop_assert!(plan(method, &engines, repeats, seed).loads >= schedule.loads);
            }
        }

        #[test]
        fn repeats_of_an_experiment_run_in_order(experiments in 1_usize..9, repeats in 1_u32..7, seed: u64) {
            for method in ALL {
                let schedule = plan(method, &vec![0; experiments], repeats, seed);
                let mut next = vec![0; experiments];
                for trial in &schedule.trials {
                    prop_assert_eq!(trial.repeat, next[trial.experiment]);
                    next[trial.experiment] += 1;
                }
            }
        }
    }
}
