//! How much each swept setting changed the primary figure, others averaged over.

use std::collections::BTreeSet;

use llem_core::{
    stats::effects::{Observation, of_factors},
    study::Expansion,
};
use serde::{Deserialize, Serialize};

use super::Trial;

/// What one swept setting did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Effect {
    /// Backend.
    pub plugin: String,
    /// Path of the axis, or name of the zip or variants.
    pub setting: String,
    /// Share of the logarithms' variance that it explains alone.
    pub variance_share: f64,
    /// Lower end of the share's interval; absent in summaries of early versions.
    #[serde(default)]
    pub share_low: Option<f64>,
    /// Upper end of the share's interval.
    #[serde(default)]
    pub share_high: Option<f64>,
    /// Probability of such an effect if there were none.
    pub p_value: f64,
    /// Its levels.
    pub levels: Vec<Level>,
    /// What it did together with each other setting.
    #[serde(default)]
    pub interactions: Vec<Interaction>,
}

/// One level of a setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Level {
    /// For people.
    pub name: String,
    /// The figure at this level, relative to that at the first one.
    pub ratio: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// What two settings did together beyond what each did alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interaction {
    /// Their names.
    pub settings: [String; 2],
    /// Share of the logarithms' variance that it explains.
    pub variance_share: f64,
    /// Lower end of the share's interval; absent in summaries of early versions.
    #[serde(default)]
    pub share_low: Option<f64>,
    /// Upper end of the share's interval.
    #[serde(default)]
    pub share_high: Option<f64>,
    /// Probability of such an effect if there were none.
    pub p_value: f64,
}

/// The effects of each plugin's factors on a figure.
pub(super) fn of(plan: &Expansion, trials: &[Trial<'_>], name: &str, coverage: f64) -> Vec<Effect> {
    let mut plugins: Vec<&str> = plan.factors.iter().map(|it| &*it.plugin).collect();
    plugins.dedup();
    plugins.into_iter().flat_map(|plugin| of_plugin(plan, trials, name, coverage, plugin)).collect()
}

/// More blocks than this would leave no columns for settings; repeats stand for them then.
const MOST_BLOCKS: usize = 100;

/// The block of a study that ran in several places.
fn site_block(trial: &Trial<'_>) -> Option<u32> {
    trial.record.site.as_ref()?.block
}

/// What a trial is paired in: what ran together on one board, else the repeat.
fn block_of(trial: &Trial<'_>, by_site: bool) -> u32 {
    site_block(trial).filter(|_| by_site).unwrap_or(trial.record.trial.repeat)
}

fn of_plugin(
    plan: &Expansion,
    trials: &[Trial<'_>],
    name: &str,
    coverage: f64,
    plugin: &str,
) -> Vec<Effect> {
    let factors: Vec<_> = plan.factors.iter().filter(|it| &*it.plugin == plugin).collect();
    let experiments = plan.experiments.iter().filter(|it| &*it.plugin == plugin).count();
    // A continuous axis has a level a point: its effect is for the indices of a sample to tell.
    if factors.iter().any(|it| 2 * it.levels.len() > experiments && plan.sampled) {
        return Vec::new();
    }
    let blocks: BTreeSet<u32> = trials.iter().filter_map(site_block).collect();
    let by_site = (1..=MOST_BLOCKS).contains(&blocks.len());
    let observation = |trial: &Trial<'_>| {
        Some(Observation {
            levels: trial.experiment.levels.as_deref()?.to_vec(),
            block: block_of(trial, by_site),
            value: trial.figure(name)?,
        })
    };
    let own = trials.iter().filter(|it| &*it.experiment.plugin == plugin);
    let observations: Vec<Observation> = own.filter_map(observation).collect();
    let Some(effects) = of_factors(&observations, coverage) else { return Vec::new() };
    let setting = |at: usize| factors.get(at).map(|it| it.name.clone());
    let pairs: Vec<Interaction> = effects
        .pairs
        .iter()
        .filter_map(|term| {
            Some(Interaction {
                settings: [setting(*term.factors.first()?)?, setting(*term.factors.get(1)?)?],
                variance_share: term.share,
                share_low: Some(term.share_interval.low),
                share_high: Some(term.share_interval.high),
                p_value: term.p_value,
            })
        })
        .collect();
    let main = effects.main.into_iter().filter_map(|term| {
        let factor = factors.get(*term.factors.first()?)?;
        let level = |it: llem_core::stats::effects::LevelEffect| Level {
            name: usize::try_from(it.level)
                .ok()
                .and_then(|at| factor.levels.get(at))
                .cloned()
                .unwrap_or_default(),
            ratio: it.ratio.point,
            low: it.ratio.interval.low,
            high: it.ratio.interval.high,
        };
        let with = |it: &&Interaction| it.settings.contains(&factor.name);
        Some(Effect {
            plugin: plugin.to_owned(),
            setting: factor.name.clone(),
            variance_share: term.share,
            share_low: Some(term.share_interval.low),
            share_high: Some(term.share_interval.high),
            p_value: term.p_value,
            levels: term.levels.into_iter().map(level).collect(),
            interactions: pairs.iter().filter(with).cloned().collect(),
        })
    });
    main.collect()
}
