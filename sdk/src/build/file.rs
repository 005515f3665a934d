//! The form of a schema file.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

/// What is wrong with a schema file.
///
/// ```
/// let error = llem_sdk::build::of_toml("release = 1").unwrap_err();
/// assert!(error.to_string().contains("string"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError(String);

impl FileError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) release: String,
    #[serde(default)]
    pub(super) pass_through: bool,
    #[serde(default)]
    pub(super) code_rules: bool,
    #[serde(default, rename = "section")]
    pub(super) sections: Vec<Section>,
    #[serde(default, rename = "parameter")]
    pub(super) parameters: Vec<Parameter>,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) doc: String,
}

/// One parameter. How it reaches the engine is at most one of `flag`, `switch`, `on_off`, `comma`, `repeat`,
/// `words`, `request`, `field` and `env`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    pub(super) path: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) min: Option<Value>,
    pub(super) max: Option<Value>,
    pub(super) multiple_of: Option<i64>,
    pub(super) scale: Option<String>,
    pub(super) pattern: Option<String>,
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    /// Of a list: type of its items.
    pub(super) items: Option<Kind>,
    pub(super) default: Default,
    #[serde(default)]
    pub(super) nullable: bool,
    pub(super) doc: String,
    pub(super) unit: Option<String>,
    pub(super) phase: Option<String>,
    #[serde(default)]
    pub(super) modes: Vec<String>,
    #[serde(default)]
    pub(super) energy: bool,
    #[serde(default)]
    pub(super) suggest: Vec<Value>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) deprecated: Option<String>,
    pub(super) source: Option<String>,
    pub(super) flag: Option<String>,
    pub(super) switch: Option<String>,
    pub(super) on_off: Option<(String, String)>,
    pub(super) comma: Option<String>,
    pub(super) repeat: Option<String>,
    pub(super) words: Option<String>,
    pub(super) request: Option<String>,
    pub(super) field: Option<String>,
    pub(super) env: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
    Choice,
    List,
    Object,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    pub(super) value: Value,
    pub(super) doc: String,
}

/// What holds where a parameter is not given: one of the three.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Default {
    /// The user must give it.
    Required(bool),
    /// The engine decides; the note says how.
    Engine(String),
    /// A fixed value.
    Value(Value),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) severity: String,
    pub(super) when: String,
    pub(super) message: String,
    #[serde(default)]
    pub(super) unset: Vec<String>,
    #[serde(default)]
    pub(super) set: BTreeMap<String, Value>,
    pub(super) source: Option<String>,
}
