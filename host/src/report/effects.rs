//! How much each swept setting changed the primary figure, others averaged over.

use std::collections::BTreeMap;

use llem_core::{
    record::{Record, figure},
    stats::effects::{Observation, of_factors},
    study::Expansion,
};
use serde::{Deserialize, Serialize};

/// What one swept setting did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Effect {
    /// Backend.
    pub(crate) plugin: String,
    /// Path of the axis, or name of the zip or variants.
    pub(crate) setting: String,
    /// Share of the logarithms' variance that it explains alone.
    pub(crate) variance_share: f64,
    /// Probability of such an effect if there were none.
    pub(crate) p_value: f64,
    /// Its levels.
    pub(crate) levels: Vec<Level>,
}

/// One level of a setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Level {
    /// For people.
    pub(crate) name: String,
    /// The figure at this level, relative to that at the first one.
    pub(crate) ratio: f64,
    /// Lower end of its interval.
    pub(crate) low: f64,
    /// Upper end of its interval.
    pub(crate) high: f64,
}

/// The effects of each plugin's factors on a figure.
pub(crate) fn of(
    expansion: &Expansion,
    records: &[Record],
    name: &str,
    coverage: f64,
) -> Vec<Effect> {
    let mut plugins: Vec<&str> = expansion.factors.iter().map(|it| &*it.plugin).collect();
    plugins.dedup();
    plugins
        .into_iter()
        .flat_map(|plugin| of_plugin(expansion, records, name, coverage, plugin))
        .collect()
}

fn of_plugin(
    expansion: &Expansion,
    records: &[Record],
    name: &str,
    coverage: f64,
    plugin: &str,
) -> Vec<Effect> {
    let factors: Vec<_> = expansion.factors.iter().filter(|it| &*it.plugin == plugin).collect();
    let levels: BTreeMap<String, &[u32]> = expansion
        .experiments
        .iter()
        .filter(|it| &*it.plugin == plugin)
        .filter_map(|it| Some((it.id.to_string(), it.levels.as_deref()?)))
        .collect();
    let observation = |record: &Record| {
        let levels = levels.get(&record.trial.experiment)?.to_vec();
        Some(Observation {
            levels,
            block: record.trial.repeat,
            value: figure(record.measured()?, name)?,
        })
    };
    let observations: Vec<Observation> = records.iter().filter_map(observation).collect();
    let Some(effects) = of_factors(&observations, coverage) else { return Vec::new() };
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
        Some(Effect {
            plugin: plugin.to_owned(),
            setting: factor.name.clone(),
            variance_share: term.share,
            p_value: term.p_value,
            levels: term.levels.into_iter().map(level).collect(),
        })
    });
    main.collect()
}
