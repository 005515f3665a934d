//! The record of one trial: the versioned result format.
//!
//! A record says what was asked, what the engine really used, every figure with its instrument and
//! window, and what must be known to judge it. Absent is null with a reason, never 0.

mod figures;
mod gpu;
mod outcome;

pub use figures::{Figure, figure, figure_of, figures, primary_scope, window_figures};
pub use gpu::{GpuSetting, PowerLimitSetting, SmClockSetting};

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    account::{Basis, PhaseRecord, ScopeEmission, WorkRecord},
    backend::{Measure, Mode, Value},
    energy::{Baseline, EnergyReading, Total},
    latency::WindowMetrics,
    search::Goal,
    server::ServerFigure,
    steady::Steadiness,
};

/// Version of the record format that this code writes.
pub const FORMAT: u32 = 1;

/// Names a trial: an experiment and which of its repeats.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
pub struct TrialId {
    /// Id of the experiment.
    pub experiment: String,
    /// Counted from 1.
    pub repeat: u32,
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.experiment, self.repeat)
    }
}

/// What one trial gave.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format.
    pub format: u32,
    /// Which trial.
    pub trial: TrialId,
    /// Place in the order of the study, from 0.
    pub position: u32,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// How long it took from first to last step.
    pub duration_seconds: f64,
    /// How the engine was driven.
    pub mode: Mode,
    /// Where it ran; absent in records of the first releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// Figures or failure.
    pub outcome: Outcome,
    /// What is known of the engine.
    pub engine: EngineReport,
    /// How its GPUs were set, one entry each; empty where the experiment sets none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_settings: Vec<GpuSetting>,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// Where a trial ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Site {
    /// Host name.
    pub node: String,
    /// The metered GPU boards, by UUID; empty where there are none.
    pub boards: Vec<String>,
    /// Their model, where they are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Number of the block of trials that ran together on these boards; absent where the whole study did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u32>,
}

impl Site {
    /// One name for the hardware: the boards, or the node where it has none.
    pub fn hardware(&self) -> String {
        if self.boards.is_empty() { self.node.clone() } else { self.boards.join("+") }
    }
}

/// Figures or failure.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// All windows were measured.
    Completed(Box<Measured>),
    /// It gave no figures.
    Failed(TrialFailure),
}

/// Why a trial gave no figures.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct TrialFailure {
    /// In which phase.
    pub phase: crate::event::Phase,
    /// Class: `out-of-memory`, `port-in-use`, `not-ready`, `crash`, `plugin-fault`, `refused`, …
    pub kind: String,
    /// For people.
    pub message: String,
    /// What the user can do.
    pub hint: Option<String>,
    /// The same configuration will fail again.
    pub permanent: bool,
    /// Last part of the engine's log.
    pub log_tail: String,
}

/// What was measured in a trial.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds from start to readiness.
    pub load_seconds: f64,
    /// The work before the first window.
    pub warmup: WarmupReport,
    /// Idle power without any engine, where the study asks for it.
    #[serde(default)]
    pub baselines_bare: Vec<Baseline>,
    /// Idle power with the model loaded, before the windows; empty with a warning where not taken.
    pub baselines: Vec<Baseline>,
    /// The same after the windows.
    #[serde(default)]
    pub baselines_after: Vec<Baseline>,
    /// The windows, in order; after a search those of the load that it found.
    pub windows: Vec<WindowRecord>,
    /// What the figures rest on besides the raw data; absent in records of the first releases.
    #[serde(default)]
    pub basis: Option<Basis>,
    /// The loads that a search tried, and what it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchReport>,
}

/// What a search for a load that meets the objective tried and found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SearchReport {
    /// What was looked for.
    pub goal: Goal,
    /// The load: requests a second, or requests in flight; null where even the least one missed the objective.
    pub found: Option<f64>,
    /// What was tried, in order.
    pub levels: Vec<SearchLevel>,
}

/// One load that a search tried.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SearchLevel {
    /// Requests a second, or requests in flight.
    pub level: f64,
    /// Whether the objective was met, over all windows of the level.
    pub is_met: bool,
    /// Part of the requests that met every bound; null without requests.
    pub attainment_ratio: Option<f64>,
    /// Energy for each output token in joules, of the primary scope; null where unknown.
    pub energy_per_output_token_joules: Option<f64>,
    /// Output tokens a second.
    pub output_token_throughput_per_second: Option<f64>,
    /// Begin of the first window, `CLOCK_MONOTONIC` nanoseconds.
    pub begin_ns: u64,
    /// End of the last window.
    pub end_ns: u64,
}

/// The work before the first window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WarmupReport {
    /// How long it took.
    pub seconds: f64,
    /// Whether power and speed had settled; null where the study asked for a fixed warm-up.
    pub settled: Option<bool>,
    /// How steady each measured device was at its end.
    #[serde(default)]
    pub devices: Vec<Steadiness>,
}

/// One measured window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WindowRecord {
    /// Begin, `CLOCK_MONOTONIC` nanoseconds.
    pub begin_ns: u64,
    /// End, `CLOCK_MONOTONIC` nanoseconds.
    pub end_ns: u64,
    /// One reading a device.
    pub energy: Vec<EnergyReading>,
    /// Sums over devices of one scope; scopes are never summed.
    pub totals: Vec<Total>,
    /// Tokens, throughputs and latencies in the same interval.
    pub metrics: WindowMetrics,
    /// What the engine said of itself; empty where it has no metrics page.
    #[serde(default)]
    pub server: Vec<ServerFigure>,
    /// Arithmetic and utilisation.
    #[serde(default)]
    pub work: WorkRecord,
    /// Energy by phase, one entry a measured GPU.
    #[serde(default)]
    pub phases: Vec<PhaseRecord>,
    /// Emissions by scope, where an intensity was given.
    #[serde(default)]
    pub emissions: Vec<ScopeEmission>,
    /// Processor time of llem itself in the window.
    pub host_cpu_seconds: Option<f64>,
}

/// What is known of the engine.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EngineReport {
    /// Version that the engine or its installation reports.
    pub version: Option<String>,
    /// Settings that the launch plan says it uses.
    pub planned: BTreeMap<String, Value>,
    /// Settings that the engine says it uses.
    pub effective: BTreeMap<String, Value>,
    /// Quantities that the engine reported of itself.
    pub measures: Vec<Measure>,
    /// Memory of the loaded model, where the engine can tell.
    pub memory_bytes: Option<u64>,
    /// UUIDs of the GPUs that it sees; only these are measured.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// Program and arguments as they were started.
    pub command: Vec<String>,
    /// Content of its container's image; null where it ran as a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Trials that it served before this one; null where it was started for this trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedEngine>,
}

/// An engine that was running already when a trial began.
///
/// Its load time, its log and the quantities that it reports of itself are those since its start.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct SharedEngine {
    /// When it was started, RFC 3339 in UTC.
    pub since: String,
    /// The trial that it was started for; its logs have this name.
    pub started_for: TrialId,
    /// Trials that it had served before.
    pub served: u32,
}

impl Record {
    /// The figures, if there are any.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Completed(measured) => Some(measured),
            Outcome::Failed(_) => None,
        }
    }

    /// Whether it has figures.
    pub fn is_completed(&self) -> bool {
        self.measured().is_some()
    }
}
