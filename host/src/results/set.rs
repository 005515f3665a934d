//! A results directory, read whole.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use llem_core::{
    energy::Series,
    latency::RequestLog,
    record::{self, Figure, Record, TrialId, figures},
    study::{Expansion, Experiment},
};

use serde::de::DeserializeOwned;

use super::Summary;
use crate::store::{self, Entry, Header, Origin, RawError, ResultsError};

/// Everything that a results directory holds beside raw series, request logs and engine logs.
///
/// ```
/// use llem::results::ResultSet;
///
/// # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-batch");
/// let results = ResultSet::open(directory)?;
/// assert_eq!(results.study(), "pytorch-batch");
/// assert_eq!(results.experiments().len(), 3);
/// for experiment in &results.summary().experiments {
///     let energy = &experiment.figures["energy_per_output_token_joules"].statistics;
///     let estimate = energy.estimate.expect("there are several repeats");
///     println!("{}: {} J, {:?}", experiment.label, estimate.point, estimate.interval);
/// }
/// # Ok::<(), llem::results::ResultsError>(())
/// ```
#[derive(Debug)]
pub struct ResultSet {
    path: PathBuf,
    header: Header,
    plan: Expansion,
    records: Vec<Record>,
    unfinished: Vec<TrialId>,
    environment: Option<serde_json::Value>,
    study_file: Option<String>,
    origin: Option<PathBuf>,
    /// Index of each experiment in the plan.
    index: BTreeMap<String, usize>,
}

/// One trial of an experiment, with its figures.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// Index of the experiment in the plan.
    pub index: usize,
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its record.
    pub record: &'a Record,
    /// Its figures; empty where it failed.
    pub figures: Vec<Figure>,
}

impl Trial<'_> {
    /// A figure by its name, such as `energy_per_output_token_joules`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|it| it.name == name).map(|it| it.value)
    }
}

impl ResultSet {
    /// Reads a results directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ResultsError> {
        Self::read(path.as_ref(), &|_| ())
    }

    /// The summary of a results directory alone, which needs less memory than all that its records say.
    pub(crate) fn only_summary(path: &Path) -> Result<Summary, ResultsError> {
        // No statistics are of what engines say of their own settings.
        let lighten = |record: &mut Record| record.engine.effective = BTreeMap::new();
        Ok(Self::read(path, &lighten)?.summary())
    }

    fn read(path: &Path, lighten: &dyn Fn(&mut Record)) -> Result<Self, ResultsError> {
        let path = path.to_owned();
        let mut first = None;
        let mut records: Vec<Record> = Vec::new();
        // Which of them each trial has; none where it was begun only.
        let mut places: BTreeMap<TrialId, Option<usize>> = BTreeMap::new();
        store::Results::read_each(&path, &mut |entry| match entry {
            Entry::Header(header) => first = first.take().or(Some(header)),
            Entry::TrialStarted { trial } => drop(places.entry(trial).or_default()),
            Entry::Record(mut record) => {
                lighten(&mut record);
                let place = places.entry(record.trial.clone()).or_default();
                if let Some(earlier) = place.and_then(|at| records.get_mut(at)) {
                    // A trial that was run again replaces its earlier record.
                    *earlier = *record;
                } else {
                    *place = Some(records.len());
                    records.push(*record);
                }
            }
            Entry::Resumed { .. } => (),
        })?;
        let Some(header) = first else {
            return Err(ResultsError::NotResults(path));
        };
        let too_new = |found, known| ResultsError::TooNew { path: path.clone(), found, known };
        if header.format > store::FORMAT {
            return Err(too_new(header.format, store::FORMAT));
        }
        let plan: Expansion = store::Results::read_json(&path, "plan.json")?;
        let environment = optional(&path, "environment.json")?;
        let origin: Option<Origin> = optional(&path, "origin.json")?;
        let origin = origin.map(|it| it.directory);
        let index: BTreeMap<String, usize> =
            plan.experiments.iter().enumerate().map(|(at, it)| (it.id.to_string(), at)).collect();
        let begun_only =
            |(trial, place): (TrialId, Option<usize>)| place.is_none().then_some(trial);
        let unfinished: Vec<TrialId> = places.into_iter().filter_map(begun_only).collect();
        if let Some(newer) = records.iter().map(|it| it.format).find(|it| *it > record::FORMAT) {
            return Err(too_new(newer, record::FORMAT));
        }
        records
            .sort_unstable_by_key(|it| (index.get(&it.trial.experiment).copied(), it.trial.repeat));
        let study_file = std::fs::read_to_string(path.join("study.toml")).ok();
        Ok(Self { path, header, plan, records, unfinished, environment, study_file, origin, index })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the study.
    pub fn study(&self) -> &str {
        &self.header.study
    }

    /// What the run began with: version, seed, plugins.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the study came to, skipped and merged configurations included.
    pub fn plan(&self) -> &Expansion {
        &self.plan
    }

    /// The experiments, in the order of the plan.
    pub fn experiments(&self) -> &[Experiment] {
        &self.plan.experiments
    }

    /// The record of each trial, in the order of the plan, then of the repeats.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Trials that were begun and never recorded: the run was stopped in them.
    pub fn unfinished(&self) -> &[TrialId] {
        &self.unfinished
    }

    /// The machine, as `environment.json` describes it; none where the file is missing.
    pub fn environment(&self) -> Option<&serde_json::Value> {
        self.environment.as_ref()
    }

    /// The study file as it was run.
    pub fn study_file(&self) -> Option<&str> {
        self.study_file.as_deref()
    }

    /// The directory that relative paths in the study file are relative to, on the machine of the run; none in results
    /// of the first releases.
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// The trials with their figures.
    pub fn trials(&self) -> impl Iterator<Item = Trial<'_>> {
        self.records.iter().filter_map(|record| {
            let index = *self.index.get(&record.trial.experiment)?;
            Some(Trial {
                index,
                experiment: &self.plan.experiments[index],
                record,
                figures: record.measured().map(figures).unwrap_or_default(),
            })
        })
    }

    /// Statistics of each experiment and the effects of what was varied.
    pub fn summary(&self) -> Summary {
        super::summary::of(self, self.trials())
    }

    /// The same from trials that are at hand, in the order of [`trials`](Self::trials).
    pub fn summary_of(&self, trials: &[Trial<'_>]) -> Summary {
        super::summary::of(self, trials.iter().cloned())
    }

    /// The experiments whose id begins with a text or whose label is it.
    pub fn find(&self, wanted: &str) -> Vec<&Experiment> {
        let exact: Vec<&Experiment> =
            self.plan.experiments.iter().filter(|it| it.label == wanted).collect();
        if !exact.is_empty() || wanted.is_empty() {
            return exact;
        }
        self.plan.experiments.iter().filter(|it| it.id.to_string().starts_with(wanted)).collect()
    }

    /// What the meters recorded in a trial, one entry a device; none where it was not kept.
    ///
    /// ```no_run
    /// use llem::results::ResultSet;
    ///
    /// let results = ResultSet::open("results/batching-2026")?;
    /// for trial in results.trials() {
    ///     for series in results.series(&trial.record.trial)?.unwrap_or_default() {
    ///         let hottest = series.lane.temperature_celsius.iter().flatten().max();
    ///         println!("{} {}: {hottest:?} °C", trial.record.trial, series.device.id);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn series(&self, trial: &TrialId) -> Result<Option<Vec<Series>>, RawError> {
        store::read_series(&self.path, trial)
    }

    /// The request log of a trial, with the time of each token; none where it was not kept.
    pub fn requests(&self, trial: &TrialId) -> Result<Option<RequestLog>, RawError> {
        store::read_requests(&self.path, trial)
    }
}

/// A file beside the journal that early releases did not write.
fn optional<T: DeserializeOwned>(results: &Path, name: &str) -> Result<Option<T>, ResultsError> {
    match store::Results::read_json(results, name) {
        Ok(value) => Ok(Some(value)),
        Err(ResultsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
