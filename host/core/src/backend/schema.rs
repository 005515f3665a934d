//! The parameter space of one engine release.

use serde::{Deserialize, Serialize};

use super::{Config, Path, Value};

/// All parameters and rules of one engine release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Engine release that this describes.
    pub release: String,
    /// Sections of paths, in the order to show them.
    pub sections: Vec<Section>,
    /// Parameters, unique by path.
    pub parameters: Vec<Parameter>,
    /// Rules across parameters.
    pub rules: Vec<Rule>,
    /// Whether the plugin's `canonicalise` does more than the rules.
    pub has_code_rules: bool,
    /// What to do with a path that is not listed.
    pub unknown: UnknownPolicy,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

impl Schema {
    /// The parameter at a path.
    pub fn parameter(&self, path: &Path) -> Option<&Parameter> {
        self.parameters.iter().find(|it| it.path == *path)
    }
}

/// Policy for paths that the schema does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownPolicy {
    /// An error.
    Reject,
    /// Kept, with a warning.
    PassThrough,
}

/// The first segment of paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Segment.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// What its parameters have in common.
    pub doc: String,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Where it stands.
    pub path: Path,
    /// Accepted types, tried in order.
    pub types: Vec<ParamType>,
    /// Whether null is a value.
    pub nullable: bool,
    /// What holds when it is not given.
    pub default: DefaultValue,
    /// Documentation.
    pub doc: String,
    /// Unit of its value.
    pub unit: Option<String>,
    /// When it takes effect.
    pub phase: Phase,
    /// Modes in which it can reach the engine; empty: all.
    pub modes: Vec<super::Mode>,
    /// Its name in the engine: `--max-num-seqs`.
    pub native: Option<String>,
    /// Expected to change energy, speed or memory.
    pub energy_relevant: bool,
    /// Values worth sweeping, best first.
    pub suggested: Vec<Value>,
    /// First engine version that has it.
    pub since: Option<String>,
    /// First engine version that no longer has it.
    pub until: Option<String>,
    /// Deprecation notice.
    pub deprecated: Option<String>,
    /// Where this was read.
    pub source: Option<String>,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// An accepted type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// `true` or `false`.
    Boolean,
    /// Integer within bounds, both included.
    Integer {
        /// Least value.
        min: Option<i64>,
        /// Greatest value.
        max: Option<i64>,
        /// Divisor of every value.
        multiple_of: Option<i64>,
        /// How a sweep spaces points.
        scale: Scale,
    },
    /// Finite number within bounds.
    Number {
        /// Lower bound.
        min: Option<f64>,
        /// Upper bound.
        max: Option<f64>,
        /// Whether the lower bound itself is excluded.
        exclusive_min: bool,
        /// Whether the upper bound itself is excluded.
        exclusive_max: bool,
        /// How a sweep spaces points.
        scale: Scale,
    },
    /// Text.
    Text {
        /// Anchored regular expression.
        pattern: Option<String>,
        /// Greatest length in characters.
        max_len: Option<u32>,
        /// `model-id`, `path`, `json`, `dtype`, …
        format: Option<String>,
    },
    /// One of some values.
    Choice(Vec<Choice>),
    /// Homogeneous list.
    Items {
        /// Type of each item; never a list itself.
        item: Box<Self>,
        /// Least number of items.
        min_items: Option<u32>,
        /// Greatest number of items.
        max_items: Option<u32>,
    },
    /// Any JSON object.
    Object,
}

/// How a sweep spaces points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Equal differences.
    Linear,
    /// Equal ratios.
    Log,
    /// Powers of two.
    Pow2,
}

/// One allowed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// What it means.
    pub doc: String,
}

/// What holds when a parameter is not given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultValue {
    /// The user must give it.
    Required,
    /// The engine decides; the note says how.
    Engine(String),
    /// A fixed value.
    Fixed(Value),
}

/// When a parameter takes effect, which decides what a change costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Changes a built artefact.
    Build,
    /// Needs a restart of the engine.
    Load,
    /// Travels with each request or batch.
    Request,
}

/// A rule across parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Stable id, `vllm.chunked-prefill-needs-…`.
    pub id: String,
    /// What a match means.
    pub severity: Severity,
    /// CEL expression that is true where the rule applies.
    pub when: String,
    /// Changes of the configuration, for `coerce` and `dormant`.
    pub effects: Vec<Effect>,
    /// For people.
    pub message: String,
    /// Where this was read.
    pub source: Option<String>,
}

/// What a rule's match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The engine refuses the configuration.
    Error,
    /// The engine accepts it, with a caveat.
    Warning,
    /// The engine uses other values, those of the effects.
    Coerce,
    /// The engine ignores the values that the effects name.
    Dormant,
}

/// One change of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Which parameter.
    pub path: Path,
    /// Its new value; none: removed.
    pub becomes: Option<Value>,
}

/// A configuration with everything removed that has no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Canonical {
    /// Equal canonical configurations launch alike.
    pub config: Config,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// What a rule or the plugin says of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its weight.
    pub severity: Severity,
    /// Parameter at fault.
    pub path: Option<Path>,
    /// Rule id.
    pub rule: String,
    /// For people.
    pub message: String,
    /// The value that the engine will use.
    pub effective: Option<Value>,
}
