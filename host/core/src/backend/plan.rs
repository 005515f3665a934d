//! Launch plans: what is to run, as data that can be shown, hashed and checked before it starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ImageRef, Mode, Path, Runner, Value};

/// Facts that a launch plan may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Engine release.
    pub release: String,
    /// Mode.
    pub mode: Mode,
    /// Runner.
    pub runner: Runner,
    /// Model.
    pub model: ModelRef,
    /// The user's image instead of the release's.
    pub image: Option<ImageRef>,
    /// Devices that the host can give.
    pub gpu: Option<GpuFacts>,
    /// Names of secrets that are granted and set.
    pub secrets: Vec<String>,
    /// Longest prompt of the workload, tokens.
    pub max_input_tokens: Option<u32>,
    /// Longest output of the workload, tokens.
    pub max_output_tokens: Option<u32>,
    /// Greatest number of requests in flight.
    pub max_concurrency: Option<u32>,
    /// Seed of everything random in the engine.
    pub seed: Option<i64>,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// The model to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// As the study wrote it.
    pub id: String,
    /// Hub revision.
    pub revision: Option<String>,
    /// What [`ArgPart::Model`] will be.
    pub source: ModelSource,
}

/// Where a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// A hub id.
    Hub,
    /// A local directory with weights.
    Directory,
    /// A single local file, such as a GGUF.
    File,
    /// A local directory that holds `config.json` only: the engine draws seeded random weights.
    Random,
}

/// The GPUs that the host can give, all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFacts {
    /// `nvidia`.
    pub vendor: String,
    /// Product name.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Memory of each, MiB.
    pub memory_mib: u32,
    /// CUDA compute capability, times ten.
    pub compute_capability: Option<u32>,
    /// Driver version.
    pub driver: Option<String>,
}

/// What is to run, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// Each must finish or become ready before the next; the last, and only it, is the subject.
    pub steps: Vec<Step>,
    /// Settings that the plan really uses.
    pub effective: Config,
    /// Whether the plugin wants to revise the plan after each prepare step.
    pub revisable: bool,
    /// For the record.
    pub notes: Vec<String>,
    /// Documented extension keys.
    pub extra: Vec<(String, String)>,
}

/// An engine that runs already, which a plan measures instead of starting one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// The scheme, the host and a port, without a path.
    pub url: String,
    /// The secret that goes with every request as a bearer token.
    pub secret: Option<String>,
    /// It runs on another machine, although its address is one of this one: a tunnel's or a proxy's.
    pub is_elsewhere: bool,
}

impl LaunchPlan {
    /// The engine that runs already, where the plan is to measure that one: its subject is then not started.
    ///
    /// It travels in the keys `attach`, `attach-secret` and `attach-elsewhere` of `extra`.
    pub fn attach(&self) -> Option<Attach> {
        Some(Attach {
            url: self.extra("attach")?.to_owned(),
            secret: self.extra("attach-secret").map(str::to_owned),
            is_elsewhere: self.extra("attach-elsewhere") == Some("true"),
        })
    }

    /// The value of an extension key.
    pub fn extra(&self, key: &str) -> Option<&str> {
        self.extra.iter().find(|(it, _)| it == key).map(|(_, value)| value.as_str())
    }
}

/// One thing to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// For progress.
    pub title: String,
    /// Preparation or the measured engine.
    pub role: Role,
    /// Process or container.
    pub runner: Runner,
    /// Image of a container.
    pub image: Option<ImageRef>,
    /// Program and arguments.
    pub command: Command,
    /// Environment; it starts empty.
    pub env: Vec<EnvVar>,
    /// Mounts of a container.
    pub mounts: Vec<Mount>,
    /// Files to write into the scratch directory.
    pub files: Vec<PlanFile>,
    /// Devices.
    pub gpus: GpuNeed,
    /// Network.
    pub network: Network,
    /// Size of `/dev/shm` in a container, MiB.
    pub shm_mib: Option<u32>,
    /// When it counts as ready.
    pub readiness: Readiness,
    /// Patterns to look for in its output.
    pub signals: Vec<LogSignal>,
    /// Limits.
    pub limits: Limits,
    /// How to stop it.
    pub stop: Stop,
}

/// What a step is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs to exit 0, outside every window.
    Prepare {
        /// What it makes.
        produces: Option<Artefact>,
    },
    /// The measured engine.
    Subject(Subject),
}

/// A directory that a prepare step makes and later runs reuse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artefact {
    /// Name in the plan.
    pub id: String,
    /// Everything that changes its content.
    pub key: Vec<(Path, Value)>,
    /// Files that must exist for it to be complete.
    pub must_contain: Vec<String>,
    /// Estimated size, MiB.
    pub est_size_mib: Option<u32>,
}

/// How the measured engine is driven and observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// How work reaches it.
    pub drive: Drive,
    /// Its metrics page.
    pub metrics: Option<Metrics>,
    /// Requests made after readiness and after the last window.
    pub inspections: Vec<HttpRequest>,
}

/// How work reaches an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drive {
    /// Over HTTP.
    Http {
        /// `openai-completions` or `openai-chat`.
        protocol: String,
        /// Prefix of every path, such as `/v1`.
        base_path: String,
        /// Value of `model` in requests.
        served_model: String,
        /// Fields of every request body.
        body: Vec<(String, Value)>,
        /// Whether the stream reports token usage.
        reports_usage: bool,
    },
    /// Through `llem-batch/1` on standard input and output.
    Batch {
        /// `llem-batch/1`.
        protocol: String,
        /// Settings of the `load` message.
        load: Vec<(String, Value)>,
        /// Settings of every `generate` message.
        body: Vec<(String, Value)>,
        /// Prompts in one `generate` message; none: all of the workload.
        batch_size: Option<u32>,
    },
}

/// An engine's metrics page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// `prometheus`.
    pub format: String,
    /// Path of the page.
    pub path: String,
    /// What to keep of it.
    pub series: Vec<MetricSeries>,
}

/// One series of a metrics page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeries {
    /// Name in the engine.
    pub name: String,
    /// Labels that a sample must carry.
    pub labels: Vec<(String, String)>,
    /// Name in llem: `requests_running`, `requests_waiting`, `kv_cache_usage_ratio`, `prompt_tokens`, …
    pub target: String,
    /// Kind.
    pub kind: SeriesKind,
    /// Factor to llem's unit.
    pub scale: f64,
    /// llem's unit.
    pub unit: Option<String>,
}

/// Kind of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Only grows.
    Counter,
    /// Any value.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// Program and arguments; never a shell string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to run.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<Arg>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A granted program name; never a path.
    Named(String),
    /// An engine that is linked into the host, by name.
    Bundled(String),
    /// The image's own entry point.
    Entrypoint,
}

/// One element of an argument vector, joined from its parts.
pub type Arg = Vec<ArgPart>;

/// A part of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgPart {
    /// Exactly this text.
    Literal(String),
    /// Model id or path.
    Model,
    /// The port that the host reserved.
    Port,
    /// The address that the host reserved.
    Address,
    /// Path of the scratch directory as the step sees it.
    Scratch,
    /// Path of an artefact.
    Artefact(String),
    /// Path of a file of this step.
    File(String),
    /// Indices of the assigned devices as the step sees them, joined by commas.
    GpuIndices,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: EnvValue,
}

/// Value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// Exactly this.
    Literal(Arg),
    /// Copied from the host, if set there.
    Pass,
    /// A granted secret by name.
    Secret(String),
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub source: MountSource,
    /// Absolute path inside.
    pub target: String,
    /// Whether it may be written.
    pub writable: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// The shared model cache.
    ModelCache,
    /// The model's directory or file.
    Model,
    /// An artefact.
    Artefact(String),
    /// The scratch directory.
    Scratch,
    /// A granted host path.
    Host(String),
}

/// A file that the host writes into the scratch directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// Relative path, no `..`.
    pub name: String,
    /// Content.
    pub contents: Vec<u8>,
    /// Whether it can be run.
    pub executable: bool,
}

/// Devices that a step needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuNeed {
    /// How many.
    pub count: u32,
    /// Memory of each, MiB.
    pub min_memory_mib: Option<u32>,
}

/// Network that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// None.
    None,
    /// The reserved port on loopback.
    Local,
    /// Outbound.
    Outbound,
}

/// When a step counts as ready: all probes must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// What must hold.
    pub probes: Vec<Probe>,
    /// Milliseconds between tries.
    pub interval_ms: u32,
    /// Milliseconds until it counts as failed.
    pub deadline_ms: u32,
}

/// One condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// An HTTP request is answered as expected.
    Http(HttpRequest),
    /// The port accepts connections.
    Tcp,
    /// A log signal was seen.
    Signal(String),
    /// A file in the scratch directory exists.
    File(String),
    /// The process ended with exit code 0.
    Exits,
}

/// A request to the step's own port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Name.
    pub id: String,
    /// Method.
    pub method: String,
    /// Path only.
    pub path: String,
    /// JSON body.
    pub body: Option<String>,
    /// Status that counts as success; none: any below 400.
    pub expect_status: Option<u16>,
    /// Text that the body must contain.
    pub expect_body: Option<String>,
}

/// A pattern to look for in each line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSignal {
    /// Name.
    pub id: String,
    /// Regular expression, at most 512 bytes.
    pub pattern: String,
    /// `ready`, `progress`, `warning`, `dormant`, `oom`, `fatal` or `observe`; others count as `observe`.
    pub kind: String,
    /// Capture group and the setting or metric that it gives.
    pub captures: Vec<(String, String)>,
}

/// Limits of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall clock of a prepare step, milliseconds.
    pub wall_ms: Option<u32>,
    /// Longest silence before the step counts as hung, milliseconds.
    pub silence_ms: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: Option<u32>,
}

/// How to stop a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// First signal.
    pub signal: StopSignal,
    /// Milliseconds until everything left is killed.
    pub grace_ms: u32,
}

/// A signal that stops a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// `SIGTERM`.
    Term,
    /// `SIGINT`.
    Int,
    /// `SIGKILL`.
    Kill,
}
