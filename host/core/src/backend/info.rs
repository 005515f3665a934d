//! Who a plugin is and what its launch plans may contain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an engine is driven.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A running HTTP server under offered load.
    Server,
    /// Batches through the line protocol `llem-batch/1`.
    Offline,
}

/// Where a launch step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runner {
    /// A child process of the host.
    Process,
    /// A container.
    Container,
}

/// Identity of a plugin and the upper bound of what it will ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Stable id, `[a-z][a-z0-9-]{0,31}`.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Plugin version, not the engine's.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Web page.
    pub homepage: Option<String>,
    /// SPDX expression.
    pub license: Option<String>,
    /// Supported modes.
    pub modes: Vec<Mode>,
    /// Supported runners.
    pub runners: Vec<Runner>,
    /// Upper bound of what launch plans may contain.
    pub permissions: Vec<Permission>,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// Something that launch plans may contain once the user has granted it.
///
/// Patterns are exact or end in `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Container images of a repository, without tag.
    Image(String),
    /// A program by name, found on the host's `PATH` or in a given virtual environment.
    Program(String),
    /// An engine that is linked into the host, by name.
    Bundled(String),
    /// A named secret; the plugin never sees its value.
    Secret(String),
    /// Environment variables that plans may set.
    EnvSet(String),
    /// Environment variables copied from the host.
    EnvPass(String),
    /// A host directory.
    HostPath(HostPath),
    /// Outbound network, with the reason.
    Network(String),
}

/// A host directory that plans may mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPath {
    /// Absolute path.
    pub path: String,
    /// Whether plans may write there.
    pub writable: bool,
    /// Shown to the user.
    pub reason: String,
}

/// A container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// `registry/repository`.
    pub repository: String,
    /// Tag.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

/// An engine release that the plugin has a schema for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRelease {
    /// Exact engine version, the key of the schema.
    pub id: String,
    /// Engine versions that the schema is right for: `>=0.33.0, <0.34.0`.
    pub covers: String,
    /// Default image.
    pub image: Option<ImageRef>,
    /// Modes of this release.
    pub modes: Vec<Mode>,
    /// Lowest CUDA compute capability, times ten.
    pub min_compute_capability: Option<u32>,
    /// `stable`, `preview` or `end-of-life`.
    pub status: String,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// How the host finds out which engine version is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionProbe {
    /// Where to run it.
    pub runner: Runner,
    /// Program name.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Regular expression with a group named `version`.
    pub pattern: String,
}

/// Why a plugin can't do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// Class.
    pub kind: BackendErrorKind,
    /// For people.
    pub message: String,
    /// Parameter at fault.
    pub path: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
}

/// Class of a [`BackendError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendErrorKind {
    /// No schema for this engine release.
    UnknownRelease,
    /// A combination that the plugin does not support.
    Unsupported,
    /// The configuration breaks a rule.
    InvalidConfig,
    /// Engine output could not be read.
    Unparseable,
    /// A bug in the plugin that it noticed itself.
    Internal,
}
