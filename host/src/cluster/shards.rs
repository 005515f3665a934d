//! The files by which a controller tells its tasks what to do: `shards/NUMBER/shard.json` in the results.
//!
//! A shard's file has its experiments with it, so that a task expands nothing and plans what the controller planned.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use llem_core::{
    record::TrialId,
    schedule::Trial,
    shard::{Block, Shard},
    study::{Experiment, NEVER_SHARED},
};
use serde::{Deserialize, Serialize};

use crate::{planning::Planned, store::Header};

/// What of the command line every task needs as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invocation {
    /// The study file.
    pub(crate) study: PathBuf,
    pub(crate) plugin: Option<String>,
    pub(crate) allow: Vec<String>,
}

/// A shard as its task reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShardFile {
    pub(crate) number: u32,
    /// What the study's results begin with.
    pub(crate) header: Header,
    pub(crate) invocation: Invocation,
    /// BLAKE3 of the study's text when it was split.
    pub(crate) study_hash: String,
    pub(crate) gpus: u32,
    /// How often the shard is tried.
    pub(crate) tries: u32,
    /// All experiments of the engines that it needs, in the order of the study.
    pub(crate) experiments: Vec<Experiment>,
    pub(crate) blocks: Vec<BlockFile>,
}

/// A block of a shard's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlockFile {
    pub(crate) number: u32,
    /// Its trials in their order; their experiments are indices into the file's.
    pub(crate) trials: Vec<Trial>,
}

impl ShardFile {
    /// Names of a block's trials.
    pub(crate) fn trial_ids(&self, block: &BlockFile) -> Vec<TrialId> {
        let name = |it: &Trial| TrialId {
            experiment: self.experiments[it.experiment].id.to_string(),
            repeat: it.repeat + 1,
        };
        block.trials.iter().map(name).collect()
    }
}

/// Directory of a shard.
pub(crate) fn directory(results: &Path, number: u32) -> PathBuf {
    results.join("shards").join(format!("{number:06}"))
}

/// What shards of one plan have in common.
pub(super) struct Common<'a> {
    pub(super) planned: &'a Planned,
    pub(super) header: &'a Header,
    pub(super) invocation: &'a Invocation,
    pub(super) tries: u32,
    /// Experiments by the engine that they share.
    by_engine: BTreeMap<u64, Vec<usize>>,
}

impl<'a> Common<'a> {
    pub(super) fn new(
        planned: &'a Planned,
        header: &'a Header,
        invocation: &'a Invocation,
        tries: u32,
    ) -> Self {
        let mut by_engine: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, experiment) in planned.expansion.experiments.iter().enumerate() {
            if experiment.engine_key != NEVER_SHARED {
                by_engine.entry(experiment.engine_key).or_default().push(index);
            }
        }
        Self { planned, header, invocation, tries, by_engine }
    }

    /// The file of a shard of these trials of the plan.
    pub(super) fn file(&self, number: u32, shard: &Shard, trials: &[Trial]) -> ShardFile {
        let all = &self.planned.expansion.experiments;
        let mut local: BTreeMap<usize, usize> = BTreeMap::new();
        for place in shard.places() {
            let index = trials[place].experiment;
            local.insert(index, 0);
            // An engine is planned for the largest of those that share it, also of those that need no further repeat.
            for other in self.by_engine.get(&all[index].engine_key).into_iter().flatten() {
                local.insert(*other, 0);
            }
        }
        for (at, place) in local.values_mut().enumerate() {
            *place = at;
        }
        let of_block = |block: &Block| BlockFile {
            number: block.number,
            trials: block
                .places
                .iter()
                .map(|it| Trial { experiment: local[&trials[*it].experiment], ..trials[*it] })
                .collect(),
        };
        ShardFile {
            number,
            header: self.header.clone(),
            invocation: self.invocation.clone(),
            study_hash: hash(self.planned.study.text()),
            gpus: shard.gpus,
            tries: self.tries,
            experiments: local.keys().map(|it| all[*it].clone()).collect(),
            blocks: shard.blocks.iter().map(of_block).collect(),
        }
    }
}

/// Tells whether a study's text is the one that was split.
pub(super) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
