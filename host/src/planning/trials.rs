//! The plan of a run: experiments, their order over repeats, and each trial made runnable.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use llem_core::{
    backend::{Context, GpuFacts, Mode, ModelSource},
    event::Phase,
    latency,
    record::TrialId,
    schedule::{self, Schedule},
    study::{self, Expansion, Experiment, Facts, Source, Study},
    workload::{
        Dataset, Form, Length, Replay, Sessions, Synthetic, Workload, corpus, parse_dataset,
        parse_trace,
    },
};

use super::{
    Backend, Backends,
    backend::is_path,
    directory_of, faults,
    groups::{Bounds, Groups},
};
use crate::{
    diagnostics::Failure,
    exit::ExitStatus,
    machine,
    models::{Models, ResolvedModel},
    runner::{Fault, Trial},
};

/// Distance of the seeds of experiments that share an engine, further than repeats count.
const MEMBER_SEEDS: u64 = 1 << 32;

/// Everything that a run needs.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) study: Study,
    pub(crate) backends: BTreeMap<String, Arc<Backend>>,
    pub(crate) expansion: Expansion,
    /// Trials in their order.
    pub(crate) schedule: Schedule,
    pub(crate) gpu: Option<GpuFacts>,
    /// The block of each place, in a part of a study that runs by itself.
    pub(crate) blocks: Option<Vec<u32>>,
    models: BTreeMap<String, ResolvedModel>,
    directory: PathBuf,
    /// What experiments have in common with those that share their engine; made when first asked for.
    groups: OnceLock<Groups>,
}

/// A trial, or why it can't run.
pub(crate) struct PlannedTrial {
    pub(crate) id: TrialId,
    pub(crate) position: u32,
    pub(crate) block: Option<u32>,
    pub(crate) label: String,
    pub(crate) mode: Mode,
    pub(crate) runnable: Result<Box<Trial>, Fault>,
}

/// A study with what its plan needs of plugins and models.
struct Loaded {
    study: Study,
    backends: BTreeMap<String, Arc<Backend>>,
    models: BTreeMap<String, ResolvedModel>,
    directory: PathBuf,
}

/// Plans a study. Relative paths in it are relative to `directory`, by default that of the file; `plugin` restricts it
/// to one backend; `probe` looks for installed engines.
pub(crate) fn plan(
    path: &Path,
    directory: Option<&Path>,
    plugin: Option<&str>,
    backends: &Backends,
    gpu: Option<GpuFacts>,
    probe: bool,
) -> Result<Planned, Failure> {
    let loaded = load(path, directory, plugin, backends, probe)?;
    let facts = facts(&loaded.models, gpu.as_ref());
    let schemas = loaded.backends.iter().map(|(id, it)| (id.clone(), it.schema.clone())).collect();
    let study = &loaded.study;
    let expansion = study::expand(study, &schemas, &facts, &mut |id, configs| {
        let backend: &Arc<Backend> =
            loaded.backends.get(id).expect("only loaded plugins are expanded");
        backend.canonicalise(&configs)
    })
    .map_err(|it| faults(&it, study.text()))?;
    let measure = study.measure();
    let schedule = schedule::of_experiments(
        &expansion.experiments,
        measure.order,
        measure.repeats.max,
        study.seed(),
    );
    Ok(loaded.planned(expansion, schedule, gpu, None))
}

/// Plans a part of a study that was expanded elsewhere: these experiments, these trials of them in this order, with
/// the block of each.
pub(crate) fn part(
    path: &Path,
    plugin: Option<&str>,
    backends: &Backends,
    gpu: Option<GpuFacts>,
    experiments: Vec<Experiment>,
    trials: Vec<(schedule::Trial, u32)>,
) -> Result<Planned, Failure> {
    let loaded = load(path, None, plugin, backends, true)?;
    let expansion = Expansion { experiments, ..Expansion::default() };
    let (trials, blocks) = trials.into_iter().unzip();
    let schedule = Schedule { trials, loads: 0 };
    Ok(loaded.planned(expansion, schedule, gpu, Some(blocks)))
}

fn load(
    path: &Path,
    directory: Option<&Path>,
    plugin: Option<&str>,
    backends: &Backends,
    probe: bool,
) -> Result<Loaded, Failure> {
    let study = super::read(path)?;
    let (study, names) = restrict(study, plugin, backends)?;
    let directory = directory.map_or_else(|| directory_of(path), Path::to_owned);
    let mut loaded = BTreeMap::new();
    for wanted in study.plugins() {
        let known = backends.names();
        let name = names.get(&wanted.id).unwrap_or(&wanted.id);
        if !is_path(name) && !known.contains(name) {
            let message = format!("no plugin `{name}`; there are {}", known.join(", "));
            let failure = Failure::message(ExitStatus::Usage, message);
            return Err(match study::nearest(name, known.iter().map(String::as_str)) {
                Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
                None => failure.hint("a path to a `.wasm` component works as well"),
            });
        }
        loaded.insert(wanted.id.clone(), backends.backend(wanted, name, probe)?);
    }
    let mut resolver =
        Models::new(machine::cache_directory(), directory.clone(), machine::hub_models());
    let mut models = BTreeMap::new();
    for id in study.model_ids() {
        let model = resolver.resolve(id, &study.model_revision()).map_err(|error| {
            Failure::new(ExitStatus::Environment, &error)
                .hint("name a hub id, a directory, a `.gguf` file, or `random:SHAPE`")
        })?;
        models.insert(id.to_owned(), model);
    }
    Ok(Loaded { study, backends: loaded, models, directory })
}

impl Loaded {
    fn planned(
        self,
        expansion: Expansion,
        schedule: Schedule,
        gpu: Option<GpuFacts>,
        blocks: Option<Vec<u32>>,
    ) -> Planned {
        let Self { study, backends, models, directory } = self;
        let groups = OnceLock::new();
        Planned { study, backends, expansion, schedule, gpu, blocks, models, directory, groups }
    }
}

/// The study for one plugin, and where a plugin's component is if not under its own name.
fn restrict(
    study: Study,
    plugin: Option<&str>,
    backends: &Backends,
) -> Result<(Study, BTreeMap<String, String>), Failure> {
    let Some(name) = plugin else { return Ok((study, BTreeMap::new())) };
    let (_, descriptor) = backends.open(name)?;
    let names = BTreeMap::from([(descriptor.id.clone(), name.to_owned())]);
    Ok((study.with_plugin(&descriptor.id), names))
}

fn facts(models: &BTreeMap<String, ResolvedModel>, gpu: Option<&GpuFacts>) -> Facts {
    let facts = gpu.map_or_else(Facts::default, |it| Facts::default().with_gpu(it));
    let configs = models.iter().filter_map(|(id, it)| Some((id, it.config.as_ref()?)));
    configs.fold(facts, |facts, (id, config)| facts.with_model(id, config))
}

impl Planned {
    /// Absolute path of the directory that the study's relative paths are relative to.
    pub(crate) fn directory(&self) -> PathBuf {
        std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone())
    }

    /// The same with one experiment only, by id, start of the id, or label. Its engine is planned and its prompts are
    /// drawn as in the whole study, so that its figures can be compared.
    pub(crate) fn only(mut self, wanted: &str) -> Result<Self, Failure> {
        let all = std::mem::take(&mut self.expansion.experiments);
        let found: Vec<usize> = (0..all.len())
            .filter(|at| all[*at].label == wanted || all[*at].id.to_string().starts_with(wanted))
            .collect();
        let [at] = found[..] else {
            let message = match found.len() {
                0 => format!("the study has no experiment `{wanted}`"),
                many => format!("{many} experiments of the study match `{wanted}`"),
            };
            return Err(Failure::message(ExitStatus::Usage, message)
                .hint("`llem plan --json` lists ids and labels; another release of an engine or of llem may give others"));
        };
        self.groups = OnceLock::from(Groups::of(&all).only(at));
        self.expansion.experiments = all.into_iter().skip(at).take(1).collect();
        self.expansion.merged.retain(|it| it.experiment == at);
        self.expansion.merged.iter_mut().for_each(|it| it.experiment = 0);
        self.expansion.skipped.clear();
        let measure = self.study.measure();
        self.schedule = schedule::of_experiments(
            &self.expansion.experiments,
            measure.order,
            measure.repeats.max,
            self.study.seed(),
        );
        Ok(self)
    }

    /// The study with every default that holds.
    pub(crate) fn resolved(&self) -> String {
        let schemas =
            self.backends.iter().map(|(id, it)| (id.clone(), it.schema.clone())).collect();
        study::resolved(&self.study, &schemas)
    }

    /// Rules that could not be decided, and what would decide them.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = String> {
        self.expansion.undecided.iter().map(|it| {
            format!(
                "rule {} is undecided without {}: {}",
                it.rule,
                it.unknown.join(", "),
                it.message
            )
        })
    }

    /// What of the plan the user should know before it runs.
    pub(crate) fn notes(&self) -> Vec<String> {
        let releases = self.backends.values().filter_map(|it| it.release.note.clone());
        let expansion = &self.expansion;
        let notes = expansion.notes.iter().map(|it| {
            format!("{} ({}, {} configurations)", it.message, it.rule, it.configurations)
        });
        let skipped = expansion.skipped.len();
        let skipped = (skipped > 0)
            .then(|| format!("{skipped} configurations can't run; `llem plan` says why"));
        releases.chain(notes).chain(skipped).collect()
    }

    /// Which trial is at a place of the order.
    pub(crate) fn trial_id(&self, place: usize) -> TrialId {
        let slot = &self.schedule.trials[place];
        TrialId {
            experiment: self.expansion.experiments[slot.experiment].id.to_string(),
            repeat: slot.repeat + 1,
        }
    }

    /// The trial at a place of the order.
    pub(crate) fn trial(&self, place: usize) -> PlannedTrial {
        let index = self.schedule.trials[place].experiment;
        let experiment = &self.expansion.experiments[index];
        let id = self.trial_id(place);
        let position = u32::try_from(self.schedule.trials[place].position).unwrap_or(u32::MAX);
        let block = self.blocks.as_ref().and_then(|it| it.get(place)).copied();
        PlannedTrial {
            runnable: self.runnable(index, id.clone(), position, block).map(Box::new),
            id,
            position,
            block,
            label: experiment.label.clone(),
            mode: experiment.mode,
        }
    }

    /// Index of the experiment at a place of the order.
    pub(crate) fn experiment(&self, place: usize) -> usize {
        self.schedule.trials[place].experiment
    }

    /// Which engine the trial at a place of the order needs.
    pub(crate) fn engine_key(&self, place: usize) -> u64 {
        self.expansion.experiments[self.schedule.trials[place].experiment].engine_key
    }

    /// GPUs that an experiment takes, as its plugin plans it.
    pub(crate) fn gpus(&self, experiment: usize) -> Result<u32, Fault> {
        let experiment = &self.expansion.experiments[experiment];
        let groups = self.groups.get_or_init(|| Groups::of(&self.expansion.experiments));
        let backend = &self.backends[&*experiment.plugin];
        let model = self.model(experiment)?;
        let context = self.context(experiment, groups.bounds(experiment), backend, &model);
        let launch = backend
            .plan(&experiment.config(), &context)
            .map_err(|it| Fault::from_error(Phase::Load, "plugin", &it))?;
        Ok(launch.steps.iter().map(|it| it.gpus.count).max().unwrap_or(0))
    }

    fn model(&self, experiment: &Experiment) -> Result<ResolvedModel, Fault> {
        self.models.get(&experiment.model.id).cloned().ok_or_else(|| {
            Fault::new(
                Phase::Load,
                "model-not-found",
                format!("no model `{}`", experiment.model.id),
            )
        })
    }

    fn runnable(
        &self,
        index: usize,
        id: TrialId,
        position: u32,
        block: Option<u32>,
    ) -> Result<Trial, Fault> {
        let experiment = &self.expansion.experiments[index];
        let groups = self.groups.get_or_init(|| Groups::of(&self.expansion.experiments));
        let backend = &self.backends[&*experiment.plugin];
        let model = self.model(experiment)?;
        let context = self.context(experiment, groups.bounds(experiment), backend, &model);
        let config = experiment.config();
        let launch = backend
            .plan(&config, &context)
            .map_err(|it| Fault::from_error(Phase::Load, "plugin", &it))?;
        // Every repeat draws other prompts, the same for all experiments, so that they stay comparable.
        let seed = self.study.seed().wrapping_add(u64::from(id.repeat));
        // Experiments that share an engine must not find each other's prompts in its prefix cache.
        let prompts = seed.wrapping_add(groups.member(index).wrapping_mul(MEMBER_SEEDS));
        Ok(Trial {
            workload: workload(experiment, &model, &self.directory, prompts)?,
            engine_key: experiment.engine_key,
            limit: self.study.limits().trial,
            id,
            position,
            block,
            mode: experiment.mode,
            backend: Arc::clone(backend),
            config,
            context,
            launch: Arc::new(launch),
            model,
            settings: (*experiment.workload).clone(),
            traffic: experiment.traffic.as_deref().cloned(),
            gpu: experiment.gpu,
            slo: self.study.slo().map(objective),
            measure: (*experiment.measure).clone(),
            seed,
        })
    }

    fn context(
        &self,
        experiment: &Experiment,
        bounds: Bounds,
        backend: &Backend,
        model: &ResolvedModel,
    ) -> Context {
        let mut reference = model.reference.clone();
        if reference.source == ModelSource::Hub {
            reference.revision = Some(experiment.model.revision.clone());
        }
        Context {
            release: backend.release.id.clone(),
            mode: experiment.mode,
            runner: backend.runner,
            model: reference,
            image: backend.image.clone(),
            gpu: self.gpu.clone(),
            secrets: backend.environment.host.secrets.keys().cloned().collect(),
            max_input_tokens: bounds.input_tokens,
            max_output_tokens: bounds.output_tokens,
            max_concurrency: bounds.concurrency,
            seed: i64::try_from(self.study.seed()).ok(),
            extra: Vec::new(),
        }
    }
}

fn objective(slo: &study::Slo) -> latency::Slo {
    latency::Slo {
        time_to_first_token: slo.time_to_first_token.map(|it| it.as_secs_f64()),
        time_per_output_token: slo.time_per_output_token.map(|it| it.as_secs_f64()),
        inter_token_latency: slo.inter_token_latency.map(|it| it.as_secs_f64()),
        request_latency: slo.request_latency.map(|it| it.as_secs_f64()),
        percentile: Some(slo.percentile),
    }
}

fn workload(
    experiment: &Experiment,
    model: &ResolvedModel,
    directory: &Path,
    seed: u64,
) -> Result<Workload, Fault> {
    let settings = &experiment.workload;
    let bad = |message: String| Fault::new(Phase::Load, "bad-workload", message);
    match &settings.source {
        Source::Synthetic => {
            let source = Synthetic {
                vocabulary: vocabulary(model),
                input_tokens: settings
                    .input_tokens
                    .clone()
                    .ok_or_else(|| bad("no prompt length".into()))?,
                output_tokens: settings
                    .output_tokens
                    .clone()
                    .ok_or_else(|| bad("no output length".into()))?,
                shared_prefix_tokens: settings.shared_prefix_tokens,
                form: Form::TokenIds,
                seed,
            };
            Ok(match settings.turns {
                NonZeroU32::MIN => Workload::Synthetic(source),
                turns => Workload::Sessions(Sessions { source, turns }),
            })
        }
        Source::Dataset(name) => {
            let text = match corpus(name) {
                Some(built_in) => built_in.map_err(|it| bad(it.to_string()))?.to_owned(),
                None => read(directory, name)?.1,
            };
            let length = settings.output_tokens.as_ref().map(Length::max);
            let mut prompts = parse_dataset(&text, length, &mut super::tokens::counter(model))
                .map_err(|it| bad(format!("`{name}`: {it}")))?;
            if let Some(limit) = settings.input_tokens.as_ref().map(Length::max) {
                super::tokens::truncate(&mut prompts, limit, model).map_err(bad)?;
            }
            let dataset = Dataset::new(prompts, seed);
            dataset.map(Workload::Dataset).ok_or_else(|| bad(format!("`{name}` has no records")))
        }
        Source::Trace(name) => {
            let (path, text) = read(directory, name)?;
            let entries =
                parse_trace(&text).map_err(|it| bad(format!("`{}`: {it}", path.display())))?;
            let replay = Replay::new(entries, vocabulary(model), seed);
            replay
                .map(Workload::Replay)
                .ok_or_else(|| bad(format!("`{}` has no requests", path.display())))
        }
    }
}

fn read(directory: &Path, name: &str) -> Result<(PathBuf, String), Fault> {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|it| {
        Fault::new(
            Phase::Load,
            "bad-workload",
            format!("failed to read the data set `{}`: {it}", path.display()),
        )
    })?;
    Ok((path, text))
}

/// Ids that are ordinary tokens of practically every vocabulary: the first ones are bytes and marks,
/// the last ones special.
fn vocabulary(model: &ResolvedModel) -> Range<u32> {
    let size = model.facts.as_ref().map_or(32_000, |it| it.vocabulary);
    (size / 32).min(1_000)..(size - size / 16).max(2)
}
