//! Studies: read from a file, checked, expanded into experiments.
//!
//! Everything here is a function of the file's text, the plugins' schemas and known facts. Nothing
//! reads files, calls plugins by itself or knows an engine by name.

mod check;
mod duration;
mod executor;
mod expand;
mod experiment;
mod import;
mod json_schema;
mod keys;
mod node;
mod parse;
mod problem;
mod rules;
mod settings;
mod sweep;
#[cfg(test)]
mod tests;
mod write;

use std::{collections::BTreeMap, ops::Range};

pub use check::refusal;
pub use duration::{duration_text, parse_duration};
pub use executor::{ExecutorKind, ExecutorSettings};
pub use expand::{
    Canonicalise, Expansion, Factor, Facts, Merged, Note, Skipped, Undecided, broken_rules, expand,
    no_code_rules,
};
pub use experiment::{Experiment, ExperimentId, NEVER_SHARED, Settings};
pub use import::{ImportError, Imported, import};
pub use json_schema::json_schema;
pub use parse::parse;
pub use problem::{Problem, nearest};
pub use settings::{
    Baseline, GpuSettings, Limits, MeasureSettings, Model, Order, Repeats, Rest, SearchSettings,
    Slo, Source, Traffic, Warmup, Workload,
};

pub use write::{Init, init, resolved};

use self::sweep::{Assignment, Dimension, DimensionKind, Exclude, Explicit, Sample, Target};
use crate::backend::{Runner, Value};

/// A study that was read without a fault.
#[derive(Clone, Debug)]
pub struct Study {
    name: String,
    seed: u64,
    slo: Option<Slo>,
    measure: MeasureSettings,
    limits: Limits,
    source: problem::Source,
    /// Whether there is a `[traffic]` table, even an empty one.
    traffic_table: bool,
    values: BTreeMap<String, Value>,
    spans: BTreeMap<String, Range<usize>>,
    plugins: Vec<PluginUse>,
    /// Ids of the plugins that the file names.
    named: Vec<String>,
    vary: Vary,
}

/// A plugin that a study uses, and how.
#[derive(Clone, Debug)]
pub struct PluginUse {
    /// The plugin's id.
    pub id: String,
    /// Engine release; none: the installed one.
    pub release: Option<String>,
    /// Where it runs; none: decided by what is granted and found.
    pub runner: Option<Runner>,
    /// Container image instead of the release's.
    pub image: Option<String>,
    /// Directories of virtual environments, searched for programs before `PATH`.
    pub venv: Vec<String>,
    /// Names of secrets that the engine may have.
    pub secrets: Vec<String>,
    /// Names of environment variables of the host that the engine gets, whatever its plugin plans.
    pub pass_env: Vec<String>,
    settings: Vec<Assignment>,
    span: Range<usize>,
}

impl PluginUse {
    /// A plugin as it is used where no study says more.
    pub fn of(id: &str) -> Self {
        Self::named(id, 0..0)
    }

    fn named(id: &str, span: Range<usize>) -> Self {
        Self {
            id: id.to_owned(),
            release: None,
            runner: None,
            image: None,
            venv: Vec::new(),
            secrets: Vec::new(),
            pass_env: Vec::new(),
            settings: Vec::new(),
            span,
        }
    }
}

/// What a study varies.
#[derive(Clone, Debug, Default)]
struct Vary {
    dimensions: Vec<Dimension>,
    sample: Option<Sample>,
    excludes: Vec<Exclude>,
    explicit: Vec<Explicit>,
}

impl Vary {
    fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        let options = self.dimensions.iter().flat_map(|dimension| match &dimension.kind {
            DimensionKind::Variants(options) => options.as_slice(),
            DimensionKind::Columns(_) => &[],
        });
        options
            .flat_map(|option| &option.assignments)
            .chain(self.explicit.iter().flat_map(|explicit| &explicit.assignments))
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        let columns = self.dimensions.iter().flat_map(|dimension| match &dimension.kind {
            DimensionKind::Columns(columns) => columns.as_slice(),
            DimensionKind::Variants(_) => &[],
        });
        columns.map(|column| &column.target).chain(self.assignments().map(|it| &it.target))
    }

    /// The keys of the study itself that vary.
    fn study_paths(&self) -> impl Iterator<Item = &'static str> {
        self.targets().filter_map(|target| match target {
            Target::Study(path) => Some(*path),
            Target::Plugin { .. } => None,
        })
    }
}

impl Study {
    /// Names the results directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every random choice derives from it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Bounds that requests are judged by.
    pub fn slo(&self) -> Option<&Slo> {
        self.slo.as_ref()
    }

    /// How experiments are measured.
    pub fn measure(&self) -> &MeasureSettings {
        &self.measure
    }

    /// What ends the study early.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where its trials run.
    pub fn executor(&self) -> ExecutorSettings {
        executor::settings(&settings::Values(&self.values))
    }

    /// The plugins that it uses, in the order of the file.
    pub fn plugins(&self) -> &[PluginUse] {
        &self.plugins
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The hub revision of its models, unless a configuration says otherwise.
    pub fn model_revision(&self) -> String {
        settings::Values(&self.values).text("model.revision").expect("has a default")
    }

    /// Model ids that the study names, fixed or swept: what facts are wanted of.
    pub fn model_ids(&self) -> Vec<&str> {
        let listed = self.vary.dimensions.iter().flat_map(|dimension| match &dimension.kind {
            DimensionKind::Columns(columns) => columns.as_slice(),
            DimensionKind::Variants(_) => &[],
        });
        let listed =
            listed.filter(|column| column.target == Target::Study("model.id")).flat_map(|column| {
                match &column.levels {
                    sweep::Levels::List(values) => values.as_slice(),
                    _ => &[],
                }
            });
        let assigned = self.vary.assignments().filter(|it| it.target == Target::Study("model.id"));
        let mut ids: Vec<&str> = self
            .values
            .get("model.id")
            .into_iter()
            .chain(listed.map(|(value, _)| value))
            .chain(assigned.map(|it| &it.value))
            .filter_map(text_of)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The same study for one plugin only: restricted to it, or supplied with it where the study names none.
    #[must_use]
    pub fn with_plugin(mut self, id: &str) -> Self {
        self.plugins.retain(|plugin| plugin.id == id);
        if self.plugins.is_empty() {
            self.plugins.push(PluginUse::named(id, 0..0));
        }
        let concerns =
            |assignments: &mut Vec<Assignment>| assignments.retain(|it| it.target.concerns(id));
        self.vary.dimensions.retain_mut(|dimension| match &mut dimension.kind {
            DimensionKind::Columns(columns) => {
                columns.retain(|column| column.target.concerns(id));
                !columns.is_empty()
            }
            DimensionKind::Variants(options) => {
                options.retain(|option| {
                    option.assignments.is_empty()
                        || option.assignments.iter().any(|it| it.target.concerns(id))
                });
                for option in &mut *options {
                    concerns(&mut option.assignments);
                }
                options.iter().any(|option| !option.assignments.is_empty())
            }
        });
        self.vary.explicit.retain_mut(|explicit| {
            let own = explicit.plugin.as_deref().is_none_or(|plugin| plugin == id)
                && (explicit.assignments.is_empty()
                    || explicit.assignments.iter().any(|it| it.target.concerns(id)));
            concerns(&mut explicit.assignments);
            own
        });
        self
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
