//! Which trials are split next: first the least number of repeats, then one more of each experiment that needs it.

use std::collections::BTreeSet;

use llem_core::{
    schedule::Trial,
    shard::{Limits, Need, Shard, split, trial_seconds},
    study::ExecutorSettings,
};

use super::ledger::Plan;
use crate::{diagnostics::Failure, exit::ExitStatus, planning::Planned};

/// Blocks that are estimated to take less are put into one task.
const SHORTEST_SECONDS: f64 = 300.0;
/// Minutes of a task beside its trials.
const MARGIN_MINUTES: f64 = 10.0;
/// Time limits are whole steps, so that one array holds many shards.
const STEP_MINUTES: f64 = 15.0;

/// What each experiment of a plan needs.
pub(super) fn needs(planned: &Planned, settings: &ExecutorSettings) -> Result<Vec<Need>, Failure> {
    let limits = planned.study.limits();
    let experiments = planned.expansion.experiments.iter().enumerate();
    experiments
        .map(|(index, experiment)| {
            let gpus = planned.gpus(index).map_err(|fault| {
                let message = format!("`{}`: {}", experiment.label, fault.message);
                Failure::message(ExitStatus::Usage, message)
            })?;
            let seconds = trial_seconds(experiment, limits, settings.trial_time);
            Ok(Need { engine: experiment.engine_key, gpus, seconds })
        })
        .collect()
}

/// The trials of a round: those of repeats in a range, of experiments that need them.
pub(super) fn trials(
    planned: &Planned,
    from_repeat: u32,
    until_repeat: u32,
    enough: impl Fn(&str) -> bool,
) -> Vec<Trial> {
    let experiments = planned.expansion.experiments.iter().enumerate();
    let wanted: BTreeSet<usize> = experiments
        .filter(|(_, it)| from_repeat == 0 || !enough(&it.id.to_string()))
        .map(|(index, _)| index)
        .collect();
    let is_wanted = |it: &&Trial| {
        (from_repeat..until_repeat).contains(&it.repeat) && wanted.contains(&it.experiment)
    };
    planned.schedule.trials.iter().filter(is_wanted).copied().collect()
}

/// Shards of these trials.
pub(super) fn shards(
    needs: &[Need],
    trials: &[Trial],
    settings: &ExecutorSettings,
    first_block: u32,
) -> Vec<Shard> {
    let limits = Limits {
        longest_seconds: settings.shard_time.as_secs_f64(),
        shortest_seconds: if settings.shards.is_some() { 0.0 } else { SHORTEST_SECONDS },
        at_least: settings.shards.map_or(1, |it| usize::try_from(it).unwrap_or(usize::MAX)),
    };
    split(needs, trials, limits, first_block)
}

/// What the controller must know of a shard.
pub(super) fn plan(
    planned: &Planned,
    shard: &Shard,
    trials: &[Trial],
    settings: &ExecutorSettings,
) -> Plan {
    let estimated = (2.0 * shard.seconds / 60.0 + MARGIN_MINUTES) / STEP_MINUTES;
    let minutes = settings
        .time
        .map_or(estimated.ceil() * STEP_MINUTES, |it| (it.as_secs_f64() / 60.0).ceil());
    let name = |place: &usize| {
        let Trial { experiment, repeat, .. } = trials[*place];
        llem_core::record::TrialId {
            experiment: planned.expansion.experiments[experiment].id.to_string(),
            repeat: repeat + 1,
        }
    };
    Plan {
        gpus: shard.gpus,
        minutes: whole(minutes),
        blocks: shard
            .blocks
            .iter()
            .map(|it| (it.number, it.places.iter().map(name).collect()))
            .collect(),
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "minutes are positive, and clamped to what fits"
)]
fn whole(minutes: f64) -> u32 {
    minutes.clamp(1.0, 1e6) as u32
}
