//! Paths and values of settings.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Path of a parameter: a section and a name, `engine.max_num_seqs`.
///
/// The name may itself contain dots where the engine nests settings
/// (`engine.compilation_config.mode`).
///
/// ```
/// let path: llem_core::backend::Path = "engine.max_num_seqs".parse().unwrap();
/// assert_eq!((path.section(), path.name()), ("engine", "max_num_seqs"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(String);

/// Why a text is no [`Path`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `section.name` of letters, digits, `_` and `-`, found `{0}`")]
pub struct PathError(String);

impl Path {
    /// Its first segment.
    pub fn section(&self) -> &str {
        self.0.split_once('.').map_or("", |(section, _)| section)
    }

    /// Everything after the section.
    pub fn name(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(_, name)| name)
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let ok = |segment: &str| {
            !segment.is_empty()
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        if text.contains('.') && text.len() <= 256 && text.split('.').all(ok) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PathError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Path {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One value of a setting.
///
/// Serialised as the plain JSON value. Numbers are finite.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(from = "serde_json::Value", into = "serde_json::Value")]
#[schemars(with = "serde_json::Value")]
pub enum Value {
    /// Explicit null, different from a setting that is absent.
    Null,
    /// Boolean.
    Boolean(bool),
    /// Integer.
    Integer(i64),
    /// Finite number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list or an object.
    Json(serde_json::Value),
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(it) => Self::Boolean(it),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Self::Integer(integer),
                (None, Some(float)) => Self::Number(float),
                (None, None) => Self::Json(serde_json::Value::Number(number)),
            },
            serde_json::Value::String(text) => Self::Text(text),
            nested => Self::Json(nested),
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(it) => it.into(),
            Value::Integer(it) => it.into(),
            Value::Number(it) => it.into(),
            Value::Text(it) => it.into(),
            Value::Json(it) => it,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(it) => it.fmt(f),
            Self::Integer(it) => it.fmt(f),
            Self::Number(it) => it.fmt(f),
            Self::Text(it) => f.write_str(it),
            Self::Json(it) => it.fmt(f),
        }
    }
}

/// A configuration of one backend: settings by path, in the order of their paths.
pub type Config = BTreeMap<Path, Value>;
