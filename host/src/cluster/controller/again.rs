//! What a controller that goes on knows of an earlier one, and what it tries again.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    record::{Record, TrialId},
    schedule::Trial,
};

use super::{Controller, index};
use crate::{
    cluster::{ledger::Decision, state::Status},
    diagnostics::Failure,
    runner::Progress,
};

impl Controller<'_> {
    /// What an earlier controller decided.
    pub(super) fn replay(&mut self, decisions: Vec<Decision>, earlier: &[Record]) {
        // The last shard of a trial that is tried again: what earlier ones have of it counts no more.
        let mut owners: BTreeMap<TrialId, usize> = BTreeMap::new();
        for decision in decisions {
            match decision {
                Decision::Round { shards: plans, until_repeat } => {
                    self.next_repeat = until_repeat;
                    for plan in plans {
                        self.add_shard(plan);
                    }
                }
                Decision::Retry { shards: plans } => {
                    for plan in plans {
                        let trials = plan.blocks.iter().flat_map(|(_, it)| it).cloned();
                        owners.extend(trials.map(|it| (it, self.shards.len())));
                        self.add_shard(plan);
                    }
                }
                Decision::Job { name, shards } => {
                    self.job_count += 1;
                    let shards: Vec<usize> = shards.into_iter().map(index).collect();
                    for shard in &shards {
                        self.shards[*shard].status = Status::Submitted;
                    }
                    self.jobs.insert(name, shards);
                }
                Decision::Ended { shard, .. } => {
                    let shard = &mut self.shards[index(shard)];
                    shard.ended += 1;
                    shard.status = Status::Open;
                }
                Decision::Excluded { node, .. } => self.excluded.push(node),
            }
        }
        // Whether the new record is there already is not to be seen; to merge it once more does no harm.
        let failed = earlier.iter().filter(|it| !it.is_completed()).map(|it| &it.trial);
        for trial in failed.filter(|it| owners.contains_key(it)) {
            self.merger.forget(trial);
        }
        for record in earlier.iter().filter(|it| self.merger.has(&it.trial)) {
            self.progress.add(record);
        }
        for at in 0..self.shards.len() {
            let shard = &mut self.shards[at];
            let is_settled = |it: &TrialId| {
                self.merger.has(it) || owners.get(it).is_some_and(|owner| *owner > at)
            };
            for (merged, (_, trials)) in shard.merged.iter_mut().zip(&shard.plan.blocks) {
                *merged = trials.iter().all(is_settled);
            }
            if shard.merged.iter().all(|it| *it) {
                shard.status = Status::Complete;
            } else if shard.status == Status::Open && shard.ended >= self.options.settings.tries {
                shard.status = Status::GivenUp;
            }
        }
    }

    /// Makes shards of what has failed, and of what no task could finish although it is owed.
    pub(super) fn retry(&mut self, earlier: &[Record]) -> Result<(), Failure> {
        let settled = self.shards.iter().filter(|it| it.is_settled());
        let settled: BTreeSet<&TrialId> =
            settled.flat_map(|it| &it.plan.blocks).flat_map(|(_, it)| it).collect();
        let (failed, whole): (Vec<&Record>, Vec<&Record>) =
            earlier.iter().partition(|it| !it.is_completed() && settled.contains(&it.trial));
        self.progress = Progress::new(self.planned.study.measure(), false);
        for record in whole.into_iter().filter(|it| self.merger.has(&it.trial)) {
            self.progress.add(record);
        }
        for record in failed {
            self.merger.forget(&record.trial);
        }
        let experiments = &self.planned.expansion.experiments;
        let is_wanted = |it: &&Trial| {
            let experiment = experiments[it.experiment].id.to_string();
            let trial = TrialId { experiment, repeat: it.repeat + 1 };
            settled.contains(&trial)
                && !self.merger.has(&trial)
                && !self.progress.has_enough(&trial.experiment)
        };
        let trials: Vec<Trial> =
            self.planned.schedule.trials.iter().filter(is_wanted).copied().collect();
        if trials.is_empty() {
            self.warn("nothing has failed that could be tried again".to_owned());
            return Ok(());
        }
        self.add_shards(&trials, |shards| Decision::Retry { shards })
    }
}
