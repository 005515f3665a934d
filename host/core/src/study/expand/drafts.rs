//! Experiments in the making: identity, merging, and what is said about the rest.

use std::{collections::BTreeMap, sync::Arc};

use indexmap::{IndexMap, map::Entry};
use serde::Serialize;

use super::{
    super::{
        Experiment, ExperimentId, Settings, Study,
        experiment::{NEVER_SHARED, Table, compact, first_word},
        settings::{
            Baseline, GpuSettings, MeasureSettings, Model, SearchSettings, Source, Traffic, Warmup,
            Workload,
        },
    },
    Expansion, Factor, Merged, Skipped,
    points::Points,
    space::Space,
};
use crate::backend::{Mode, Path, Phase};

/// Slots and the positions of their values.
pub(super) type Picks = Box<[(u32, u32)]>;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) label: String,
    pub(super) levels: Option<Box<[u32]>>,
    /// Index of its part outside the engine.
    pub(super) part: usize,
}

/// What experiments share outside the engine's settings.
pub(super) struct Part {
    pub(super) mode: Mode,
    model: Arc<Model>,
    workload: Arc<Workload>,
    traffic: Option<Arc<Traffic>>,
    gpu: GpuSettings,
    /// What goes into the identity.
    identity: Vec<u8>,
    /// What goes into the engine's key; none where no engine may be shared.
    engine: Option<Vec<u8>>,
}

/// The measurement settings that decide what a figure means; how often it is taken is not among them.
#[derive(Serialize)]
struct Measured {
    warmup: Warmup,
    window_seconds: Option<f64>,
    windows: Option<u32>,
    baseline: Baseline,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<SearchSettings>,
}

impl Part {
    pub(super) fn new(
        plugin: &str,
        model: Model,
        workload: Workload,
        traffic: Option<Traffic>,
        gpu: GpuSettings,
        measure: &MeasureSettings,
    ) -> Self {
        let mode = if traffic.is_some() { Mode::Server } else { Mode::Offline };
        // Offline, the batch is the window.
        let server = mode == Mode::Server;
        let measured = Measured {
            warmup: measure.warmup,
            window_seconds: server.then_some(measure.window.as_secs_f64()),
            windows: server.then_some(measure.windows.get()),
            baseline: measure.baseline,
            search: measure.search.filter(|_| server),
        };
        let mut identity = serde_json::to_vec(&(
            "llem-experiment/1",
            plugin,
            mode,
            &model,
            &workload,
            &traffic,
            measured,
        ))
        .expect("settings serialise");
        // Recorded prompts come again in every trial: a running engine would answer them from its prefix cache.
        let mut engine = (workload.source == Source::Synthetic)
            .then(|| serde_json::to_vec(&(plugin, mode, &model)).expect("settings serialise"));
        // Nothing is added where nothing is set, so that such experiments keep their identity. An engine is not shared
        // between settings of its GPUs: what it tunes when it loads, and its idle power, are those of the first.
        if !gpu.is_empty() {
            let set = serde_json::to_vec(&gpu).expect("settings serialise");
            for key in [Some(&mut identity), engine.as_mut()].into_iter().flatten() {
                key.extend(&set);
            }
        }
        Self {
            mode,
            model: Arc::new(model),
            workload: Arc::new(workload),
            traffic: traffic.map(Arc::new),
            gpu,
            identity,
            engine,
        }
    }
}

/// An experiment without the table that its settings point into.
struct Draft {
    id: ExperimentId,
    origin: Origin,
    picks: Picks,
    engine_key: u64,
}

/// Collects the configurations of one plugin.
pub(super) struct Drafts {
    plugin: Arc<str>,
    measure: Arc<MeasureSettings>,
    pub(super) parts: Vec<Part>,
    known: IndexMap<[u8; 16], usize>,
    made: Vec<Draft>,
    skipped: Vec<(String, Arc<str>, Arc<str>, Picks)>,
    merged: BTreeMap<usize, Vec<String>>,
    pub(super) notes: Vec<super::Note>,
    pub(super) undecided: Vec<super::Undecided>,
    pub(super) declared: usize,
    /// Rendered `path=value` lines of settings, by slot and value.
    lines: Vec<Vec<Vec<u8>>>,
}

impl Drafts {
    pub(super) fn new(study: &Study, plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
            measure: Arc::new(study.measure.clone()),
            parts: Vec::new(),
            known: IndexMap::new(),
            made: Vec::new(),
            skipped: Vec::new(),
            merged: BTreeMap::new(),
            notes: Vec::new(),
            undecided: Vec::new(),
            declared: 0,
            lines: Vec::new(),
        }
    }

    pub(super) fn plugin(&self) -> Arc<str> {
        Arc::clone(&self.plugin)
    }

    pub(super) fn skip(&mut self, label: String, rule: Arc<str>, message: Arc<str>, picks: Picks) {
        self.skipped.push((label, rule, message, picks));
    }

    /// Takes a canonical configuration; `picks` are in the order of paths.
    pub(super) fn take(&mut self, space: &Space<'_>, origin: Origin, picks: Picks) {
        let part = &self.parts[origin.part];
        let mut identity = blake3::Hasher::new();
        let mut engine = blake3::Hasher::new();
        identity.update(&part.identity);
        engine.update(part.engine.as_deref().unwrap_or_default());
        for (slot, value) in &picks {
            let slot = super::super::experiment::index(*slot);
            let line = line(&mut self.lines, space, slot, super::super::experiment::index(*value));
            identity.update(line);
            if space.slots[slot].parameter().is_none_or(|it| it.phase != Phase::Request) {
                engine.update(line);
            }
        }
        let hash = *identity.finalize().as_bytes();
        let short = <[u8; 16]>::try_from(&hash[..16]).expect("half of 32");
        match self.known.entry(short) {
            Entry::Occupied(at) => self.merged.entry(*at.get()).or_default().push(origin.label),
            Entry::Vacant(at) => {
                at.insert(self.made.len());
                let engine_key = match part.engine {
                    Some(_) => first_word(engine.finalize().as_bytes()),
                    None => NEVER_SHARED,
                };
                self.made.push(Draft {
                    id: ExperimentId::from_hash(&hash),
                    origin,
                    picks,
                    engine_key,
                });
            }
        }
    }

    /// Adds what was collected to an expansion.
    pub(super) fn finish(self, space: &Space<'_>, points: &Points, expansion: &mut Expansion) {
        let nowhere: Path = "study.key".parse().expect("has a section and a name");
        let slots = space.slots.iter().map(|slot| match slot.path() {
            Some(path) => (path.clone(), slot.values.clone()),
            None => (nowhere.clone(), Vec::new()),
        });
        let table = Arc::new(Table { slots: slots.collect() });
        let first = expansion.experiments.len();
        for draft in self.made {
            let part = &self.parts[draft.origin.part];
            expansion.experiments.push(Experiment {
                id: draft.id,
                label: draft.origin.label,
                plugin: Arc::clone(&self.plugin),
                mode: part.mode,
                settings: Settings::new(Arc::clone(&table), draft.picks),
                model: Arc::clone(&part.model),
                workload: Arc::clone(&part.workload),
                traffic: part.traffic.clone(),
                gpu: part.gpu,
                measure: Arc::clone(&self.measure),
                engine_key: draft.engine_key,
                levels: draft.origin.levels,
            });
        }
        for (label, rule, message, picks) in self.skipped {
            let settings = Settings::new(Arc::clone(&table), picks);
            expansion.skipped.push(Skipped {
                plugin: Arc::clone(&self.plugin),
                label,
                rule,
                message,
                settings,
            });
        }
        expansion.merged.extend(
            self.merged.into_iter().map(|(at, others)| Merged { experiment: first + at, others }),
        );
        expansion.notes.extend(self.notes);
        expansion.undecided.extend(self.undecided);
        expansion.declared += self.declared;
        expansion.factors.extend(points.dims.iter().map(|dim| Factor {
            plugin: Arc::clone(&self.plugin),
            name: dim.name.clone(),
            levels: dim.levels.iter().map(|level| level.label.clone()).collect(),
            numbers: dim.levels.iter().map(|level| level.number).collect(),
        }));
    }
}

/// The line of a setting in the identity, rendered once.
fn line<'a>(
    lines: &'a mut Vec<Vec<Vec<u8>>>,
    space: &Space<'_>,
    slot: usize,
    value: usize,
) -> &'a [u8] {
    if lines.len() <= slot {
        lines.resize_with(space.slots.len(), Vec::new);
    }
    let rendered = &mut lines[slot];
    if rendered.len() <= value {
        let from = rendered.len();
        let path = space.slots[slot].path().expect("only settings of the plugin are picked");
        for value in &space.slots[slot].values[from..] {
            let json = serde_json::to_string(value).expect("values serialise");
            rendered.push(format!("\n{path}={json}").into_bytes());
        }
    }
    &rendered[value]
}

/// The picks of a state, in the order of paths.
pub(super) fn picks(order: &[usize], state: &[u32], absent: u32) -> Picks {
    order
        .iter()
        .filter(|slot| state[**slot] != absent)
        .map(|slot| (compact(*slot), state[*slot]))
        .collect()
}
