//! Experiments: one configuration of engine, model, workload and traffic, and its identity.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::settings::{GpuSettings, MeasureSettings, Model, Traffic, Workload};
use crate::backend::{Config, Mode, Path, Value};

/// Identity of an experiment: the same for every way of writing the same configuration, on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExperimentId(u64);

impl ExperimentId {
    pub(super) fn from_hash(hash: &[u8; 32]) -> Self {
        Self(first_word(hash))
    }
}

/// The engine key of experiments that need an engine of their own in every trial.
pub const NEVER_SHARED: u64 = 0;

/// The first eight bytes of a hash.
pub(super) fn first_word(hash: &[u8; 32]) -> u64 {
    hash[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Why a text is no experiment id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 16 hexadecimal digits, found `{0}`")]
pub struct IdError(String);

impl FromStr for ExperimentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError(text.chars().take(40).collect());
        if text.len() != 16 {
            return Err(error());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| error())
    }
}

impl Serialize for ExperimentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExperimentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// All values that the settings of an expansion have, shared by its experiments.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Paths, and for each the values that it takes.
    pub(super) slots: Vec<(Path, Vec<Value>)>,
}

/// The settings of one configuration, by their path, in the order of their paths.
#[derive(Clone)]
pub struct Settings {
    table: Arc<Table>,
    /// Slots and the positions of their values.
    picks: Box<[(u32, u32)]>,
}

/// An index of a vector from its compact form.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).expect("usize has at least 32 bits")
}

/// The compact form of an index.
pub(super) fn compact(index: usize) -> u32 {
    u32::try_from(index).expect("expansions stay below 2^32")
}

impl Settings {
    pub(super) fn new(table: Arc<Table>, picks: Box<[(u32, u32)]>) -> Self {
        Self { table, picks }
    }

    /// Paths and values, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Value)> {
        self.picks.iter().map(|(slot, value)| {
            let (path, values) = &self.table.slots[index(*slot)];
            (path, &values[index(*value)])
        })
    }

    /// The value at a path.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        self.iter().find(|(it, _)| *it == path).map(|(_, value)| value)
    }

    /// As a configuration that owns its values.
    pub fn config(&self) -> Config {
        self.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
    }
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        let picks = (0..config.len()).map(|slot| (compact(slot), 0)).collect();
        let slots = config.into_iter().map(|(path, value)| (path, vec![value])).collect();
        Self { table: Arc::new(Table { slots }), picks }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Config::deserialize(deserializer).map(Self::from)
    }
}

/// One configuration of engine, model, workload and traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Experiment {
    /// Its identity.
    pub id: ExperimentId,
    /// What makes it differ from the others of its study, for people.
    pub label: String,
    /// The plugin.
    pub plugin: Arc<str>,
    /// How the engine is driven.
    pub mode: Mode,
    /// The engine's settings, canonical.
    pub settings: Settings,
    /// The model.
    pub model: Arc<Model>,
    /// What is asked of it.
    pub workload: Arc<Workload>,
    /// How requests arrive; none: offline.
    pub traffic: Option<Arc<Traffic>>,
    /// How the engine's GPUs are set.
    pub gpu: GpuSettings,
    /// How it is measured.
    pub measure: Arc<MeasureSettings>,
    /// Equal for experiments that one running engine can serve: same plugin, mode, model, settings of GPUs and settings of
    /// the phases before requests. [`NEVER_SHARED`] where every trial needs a fresh one.
    pub engine_key: u64,
    /// Its level of each factor of its plugin, none for an explicit experiment.
    pub levels: Option<Box<[u32]>>,
}

impl Experiment {
    /// The engine's settings as a configuration that owns its values.
    pub fn config(&self) -> Config {
        self.settings.config()
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    id: ExperimentId,
    label: String,
    plugin: String,
    mode: Mode,
    settings: Settings,
    model: Model,
    workload: Workload,
    traffic: Option<Traffic>,
    #[serde(default, skip_serializing_if = "GpuSettings::is_empty")]
    gpu: GpuSettings,
    measure: MeasureSettings,
    engine_key: String,
    levels: Option<Vec<u32>>,
}

impl From<Experiment> for Wire {
    fn from(it: Experiment) -> Self {
        Self {
            id: it.id,
            label: it.label,
            plugin: it.plugin.to_string(),
            mode: it.mode,
            settings: it.settings,
            model: (*it.model).clone(),
            workload: (*it.workload).clone(),
            traffic: it.traffic.as_deref().cloned(),
            gpu: it.gpu,
            measure: (*it.measure).clone(),
            engine_key: format!("{:016x}", it.engine_key),
            levels: it.levels.map(Into::into),
        }
    }
}

impl From<Wire> for Experiment {
    fn from(it: Wire) -> Self {
        Self {
            id: it.id,
            label: it.label,
            plugin: it.plugin.into(),
            mode: it.mode,
            settings: it.settings,
            model: Arc::new(it.model),
            workload: Arc::new(it.workload),
            traffic: it.traffic.map(Arc::new),
            gpu: it.gpu,
            measure: Arc::new(it.measure),
            engine_key: u64::from_str_radix(&it.engine_key, 16).unwrap_or(0),
            levels: it.levels.map(Into::into),
        }
    }
}
