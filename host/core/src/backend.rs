//! What a backend plugin says, as plain data: who it is, its parameter space, its launch plans.
//!
//! These types mirror the WIT package `llem:backend`; `llem-plugin` converts at the boundary and
//! nothing else knows the generated types. Nothing here checks permissions or starts anything.

mod gpus;
mod info;
mod outcome;
mod plan;
mod schema;
mod value;
mod version;

pub use gpus::UnknownGpu;
pub use info::{
    BackendError, BackendErrorKind, Descriptor, EngineRelease, HostPath, ImageRef, Mode,
    Permission, Runner, VersionProbe,
};
pub use outcome::{Failure, Inspection, Measure, Observation, RunOutput, SeenSignal, StepReport};
pub use plan::{
    Arg, ArgPart, Artefact, Attach, Command, Context, Drive, EnvValue, EnvVar, GpuFacts, GpuNeed,
    HttpRequest, LaunchPlan, Limits, LogSignal, MetricSeries, Metrics, ModelRef, ModelSource,
    Mount, MountSource, Network, PlanFile, Probe, Program, Readiness, Role, SeriesKind, Step, Stop,
    StopSignal, Subject,
};
pub use schema::{
    Canonical, Choice, DefaultValue, Effect, Finding, ParamType, Parameter, Phase, Rule, Scale,
    Schema, Section, Severity, UnknownPolicy,
};
pub use value::{Config, Path, PathError, Value};
pub use version::{covers, version_number};
