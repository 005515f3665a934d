//! Splits the trials of a study into shards, each of which one machine runs by itself.
//!
//! Comparisons are paired in blocks, and a block never spans two boards: so a block is never split over shards. Where a
//! whole repeat takes too long for one task, it becomes several smaller blocks, drawn anew in each repeat so that all
//! experiments stay comparable. Decides nothing about when or where a shard runs.

mod estimate;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use estimate::trial_seconds;

use crate::{schedule::Trial, study::NEVER_SHARED, units::length};

/// What splitting must know of an experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// The engine that it shares with others; [`NEVER_SHARED`] where with none.
    pub engine: u64,
    /// GPUs that a trial takes.
    pub gpus: u32,
    /// Estimated length of a trial, in seconds.
    pub seconds: f64,
}

/// How large shards may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A block that is estimated to take longer is split where engines allow it, in seconds.
    pub longest_seconds: f64,
    /// Blocks that are estimated to take less are put together up to this, in seconds.
    pub shortest_seconds: f64,
    /// Make at least this many shards, where there are enough engines.
    pub at_least: usize,
}

/// Trials that are compared with each other, on one board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Numbers the blocks of a study, from the number that was given.
    pub number: u32,
    /// Places in the order of the study, ascending.
    pub places: Vec<usize>,
}

/// What one task runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// GPUs that its trials take; all of a shard take equally many.
    pub gpus: u32,
    /// Estimated length, in seconds.
    pub seconds: f64,
    /// Its blocks, in their order.
    pub blocks: Vec<Block>,
}

impl Shard {
    /// All places, in the order in which they run.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.blocks.iter().flat_map(|it| it.places.iter().copied())
    }
}

/// Experiments that stay together: those of one engine.
struct Unit {
    experiments: Vec<usize>,
    seconds: f64,
}

/// Splits trials; `needs` are those of the experiments, blocks are numbered from `first_block`.
///
/// The units of a repeat (the experiments of one engine) are laid out in rows of as many as there are blocks, sorted by
/// their length. In repeat *r*, the unit of row *j* and column *i* is in block *(i + r·j) mod k*: a cyclic incomplete
/// block design (John and Williams, Cyclic and Computer Generated Designs, 2nd ed., 1995, ch. 4). It takes two rows and
/// two repeats to connect all units through blocks that they share.
///
/// ```
/// use llem_core::{schedule, shard::{Limits, Need, split}, study::Order};
/// let needs = vec![Need { engine: 0, gpus: 1, seconds: 60.0 }; 8];
/// let schedule = schedule::plan(Order::Counterbalanced, &[0; 8], 3, 1);
/// let limits = Limits { longest_seconds: 3600.0, shortest_seconds: 0.0, at_least: 1 };
/// assert_eq!(split(&needs, &schedule.trials, limits, 0).len(), 3, "a repeat each");
/// let smaller = Limits { longest_seconds: 240.0, ..limits };
/// assert_eq!(split(&needs, &schedule.trials, smaller, 0).len(), 6);
/// ```
pub fn split(needs: &[Need], trials: &[Trial], limits: Limits, first_block: u32) -> Vec<Shard> {
    let mut repeats: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, trial) in trials.iter().enumerate() {
        repeats.entry(trial.repeat).or_default().push(place);
    }
    let wanted = limits.at_least.div_ceil(repeats.len().max(1));
    let mut blocks = Vec::new();
    for (repeat, places) in &repeats {
        blocks.extend(of_repeat(needs, trials, *repeat, places, limits, wanted));
    }
    for (number, (_, _, block)) in (first_block..).zip(&mut blocks) {
        block.number = number;
    }
    pack(blocks, limits)
}

/// A block with its GPUs and seconds.
type Weighed = (u32, f64, Block);

fn of_repeat(
    needs: &[Need],
    trials: &[Trial],
    repeat: u32,
    places: &[usize],
    limits: Limits,
    wanted: usize,
) -> Vec<Weighed> {
    let present: BTreeSet<usize> = places.iter().map(|it| trials[*it].experiment).collect();
    let by_gpus = units(needs, &present);
    let all: f64 = by_gpus.values().flatten().map(|it| it.seconds).sum();
    let mut weighed = Vec::new();
    for (gpus, units) in by_gpus {
        let seconds: f64 = units.iter().map(|it| it.seconds).sum();
        let by_time = ceiling(seconds / limits.longest_seconds);
        let share = seconds / all.max(f64::MIN_POSITIVE);
        // A share that is whole but for rounding must not become one more.
        let by_wish = ceiling(length(wanted) * share - 1e-9);
        let count = by_time.max(by_wish).clamp(1, units.len());
        let shift = usize::try_from(repeat).unwrap_or(usize::MAX) % count;
        let mut block_of: BTreeMap<usize, usize> = BTreeMap::new();
        let mut lengths = vec![0.0; count];
        for (at, unit) in units.iter().enumerate() {
            let (row, column) = (at / count, at % count);
            let block = (column + shift * (row % count)) % count;
            lengths[block] += unit.seconds;
            block_of.extend(unit.experiments.iter().map(|it| (*it, block)));
        }
        let mut blocks = vec![Vec::new(); count];
        for place in places {
            if let Some(block) = block_of.get(&trials[*place].experiment) {
                blocks[*block].push(*place);
            }
        }
        let own = blocks.into_iter().zip(lengths);
        weighed.extend(own.map(|(places, length)| (gpus, length, Block { number: 0, places })));
    }
    weighed
}

/// Units of the experiments that are present, by the GPUs that they take, the longest first.
fn units(needs: &[Need], present: &BTreeSet<usize>) -> BTreeMap<u32, Vec<Unit>> {
    let mut found: BTreeMap<(u32, u64), usize> = BTreeMap::new();
    let mut units: BTreeMap<u32, Vec<Unit>> = BTreeMap::new();
    for experiment in present {
        let need = &needs[*experiment];
        let own = units.entry(need.gpus).or_default();
        let shares = need.engine != NEVER_SHARED;
        let at = if shares { found.get(&(need.gpus, need.engine)).copied() } else { None };
        if let Some(at) = at {
            own[at].experiments.push(*experiment);
            own[at].seconds += need.seconds;
        } else {
            found.insert((need.gpus, need.engine), own.len());
            own.push(Unit { experiments: vec![*experiment], seconds: need.seconds });
        }
    }
    for own in units.values_mut() {
        own.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    }
    units
}

/// Puts short blocks together, as long as there are shards enough.
fn pack(blocks: Vec<Weighed>, limits: Limits) -> Vec<Shard> {
    let mut spare = blocks.len().saturating_sub(limits.at_least.max(1));
    let mut shards: Vec<Shard> = Vec::new();
    for (gpus, seconds, block) in blocks {
        let fits = |shard: &&mut Shard| {
            shard.gpus == gpus
                && shard.seconds < limits.shortest_seconds
                && shard.seconds + seconds <= limits.longest_seconds
        };
        match shards.last_mut().filter(|it| spare > 0 && fits(it)) {
            Some(shard) => {
                spare -= 1;
                shard.seconds += seconds;
                shard.blocks.push(block);
            }
            None => shards.push(Shard { gpus, seconds, blocks: vec![block] }),
        }
    }
    shards
}

/// A positive number as the next whole one.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a usize holds"
)]
fn ceiling(number: f64) -> usize {
    number.ceil().clamp(0.0, 1e9) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{schedule, study::Order};

    const LIMITS: Limits = Limits { longest_seconds: 100.0, shortest_seconds: 0.0, at_least: 1 };

    fn needs(engines: &[u64], seconds: f64) -> Vec<Need> {
        engines.iter().map(|engine| Need { engine: *engine, gpus: 1, seconds }).collect()
    }

    fn shards(engines: &[u64], repeats: u32, seconds: f64, limits: Limits) -> Vec<Shard> {
        let schedule = schedule::plan(Order::Counterbalanced, engines, repeats, 7);
        split(&needs(engines, seconds), &schedule.trials, limits, 0)
    }

    #[test]
    fn as_many_shards_as_were_asked_for_are_made_where_engines_allow_it() {
        let engines: Vec<u64> = (1..=8).collect();
        let limits = Limits { at_least: 8, ..LIMITS };
        assert_eq!(shards(&engines, 3, 1.0, limits).len(), 9);
        // Two engines: a repeat splits into two at most.
        assert_eq!(shards(&[5, 5, 6, 6], 3, 1.0, Limits { at_least: 99, ..LIMITS }).len(), 6);
    }

    #[test]
    fn short_blocks_are_put_together_and_long_ones_are_not() {
        let limits = Limits { shortest_seconds: 20.0, ..LIMITS };
        let together = shards(&[1, 2], 6, 5.0, limits);
        assert_eq!(together.iter().map(|it| it.blocks.len()).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(shards(&[1, 2], 6, 50.0, limits).len(), 6);
    }

    #[test]
    fn trials_of_different_needs_are_in_different_shards() {
        let schedule = schedule::plan(Order::Interleaved, &[1, 2], 2, 0);
        let mut needs = needs(&[1, 2], 10.0);
        needs[1].gpus = 4;
        let shards = split(&needs, &schedule.trials, LIMITS, 0);
        assert_eq!(shards.iter().map(|it| it.gpus).collect::<Vec<_>>(), [1, 4, 1, 4]);
    }

    /// Whether every unit can be reached from the first through blocks that units share.
    fn is_connected(shards: &[Shard], trials: &[Trial]) -> bool {
        let experiments: BTreeSet<usize> = trials.iter().map(|it| it.experiment).collect();
        let mut reached: BTreeSet<usize> = experiments.iter().take(1).copied().collect();
        loop {
            let before = reached.len();
            for block in shards.iter().flat_map(|it| &it.blocks) {
                let own: Vec<usize> =
                    block.places.iter().map(|it| trials[*it].experiment).collect();
                if own.iter().any(|it| reached.contains(it)) {
                    reached.extend(own);
                }
            }
            if reached.len() == before {
                return reached == experiments;
            }
        }
    }

    proptest! {
        #[test]
        fn every_trial_is_in_one_block_and_engines_are_never_split(
            engines in proptest::collection::vec(0_u64..6, 1..20), repeats in 1_u32..6,
            seconds in 1.0_f64..200.0, at_least in 1_usize..30, shortest in 0.0_f64..300.0
        ) {
            let schedule = schedule::plan(Order::Shuffled, &engines, repeats, 3);
            let limits = Limits { longest_seconds: 100.0, shortest_seconds: shortest, at_least };
            let shards = split(&needs(&engines, seconds), &schedule.trials, limits, 5);
            let mut places: Vec<usize> = shards.iter().flat_map(Shard::places).collect();
            places.sort_unstable();
            prop_assert_eq!(places, (0..schedule.trials.len()).collect::<Vec<_>>());
            let numbers: Vec<u32> = shards.iter().flat_map(|it| &it.blocks).map(|it| it.number).collect();
            prop_assert!(numbers.iter().zip(5..).all(|(one, other)| *one == other));
            for block in shards.iter().flat_map(|it| &it.blocks) {
                let trials: Vec<Trial> = block.places.iter().map(|it| schedule.trials[*it]).collect();
                prop_assert!(!trials.is_empty() && trials.iter().all(|it| it.repeat == trials[0].repeat));
                for trial in trials.iter().filter(|it| engines[it.experiment] != NEVER_SHARED) {
                    let of_engine = |it: &&Trial| engines[it.experiment] == engines[trial.experiment];
                    let all = schedule.trials.iter().filter(|it| it.repeat == trial.repeat).filter(of_engine).count();
                    prop_assert_eq!(trials.iter().filter(of_engine).count(), all);
                }
            }
        }

        #[test]
        fn two_rows_and_two_repeats_connect_all_experiments(columns in 1_usize..12, rows in 2_usize..5, repeats in 2_u32..5) {
            let engines = vec![NEVER_SHARED; columns * rows];
            let schedule = schedule::plan(Order::Counterbalanced, &engines, repeats, 3);
            let limits = Limits { at_least: columns * usize::try_from(repeats).unwrap(), ..LIMITS };
            let shards = split(&needs(&engines, 1.0), &schedule.trials, limits, 0);
            prop_assert_eq!(shards.len(), columns * usize::try_from(repeats).unwrap());
            prop_assert!(is_connected(&shards, &schedule.trials));
        }
    }
}
