//! What the engine said of itself, for the plugin to read, and what the plugin made of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, PlanFile, Value};

/// Output of a finished trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOutput {
    /// Exit code, where the process ended by itself.
    pub exit_code: Option<i32>,
    /// Signal number that ended it.
    pub signal: Option<i32>,
    /// Whether the host stopped it.
    pub stopped_by_host: bool,
    /// First part of the log.
    pub log_head: String,
    /// Last part of the log.
    pub log_tail: String,
    /// Answers to the plan's inspections.
    pub inspections: Vec<Inspection>,
    /// Log signals that were seen.
    pub signals: Vec<SeenSignal>,
}

/// Answer to one inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Id of the request.
    pub id: String,
    /// `ready` or `end`.
    pub moment: String,
    /// HTTP status.
    pub status: u16,
    /// Body, capped.
    pub body: String,
}

/// A log signal that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenSignal {
    /// Id of the signal.
    pub id: String,
    /// Milliseconds after the step's start.
    pub at_ms: u32,
    /// What its groups captured, by the setting or metric that the plan names.
    pub captures: Vec<(String, Value)>,
}

/// What came of a prepare step, for a plugin that revises its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Id of the step.
    pub step: String,
    /// The artefact came from the cache; the step did not run.
    pub cached: bool,
    /// Exit code, where the process ended by itself.
    pub exit_code: Option<i32>,
    /// How long it ran, milliseconds.
    pub duration_ms: u32,
    /// What its log signals captured, by the setting or metric that the plan names.
    pub observed: Vec<(String, Value)>,
    /// The files that make the artefact complete, capped.
    pub files: Vec<PlanFile>,
    /// Last part of the log.
    pub log_tail: String,
}

/// What the plugin read from a [`RunOutput`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Engine version seen.
    pub engine_version: Option<String>,
    /// Values that the engine says it used.
    pub effective: Config,
    /// Quantities that the engine reported.
    pub measures: Vec<Measure>,
    /// Warnings for the report.
    pub warnings: Vec<String>,
    /// Why the engine failed, if it did.
    pub failure: Option<Failure>,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// A quantity that the engine reported of itself.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Measure {
    /// Name with its unit as suffix.
    pub name: String,
    /// Value.
    pub value: f64,
    /// Unit.
    pub unit: String,
}

/// Why an engine failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `out-of-memory`, `gated-model`, `model-not-found`, `unsupported-hardware`, `bad-parameter`,
    /// `port-in-use`, `crash`; an open set.
    pub kind: String,
    /// For people.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// The same configuration will fail again.
    pub permanent: bool,
}
