//! What a backend plugin is written with: one trait, one macro, builders for the data that it
//! returns, and a kit that tests it natively.
//!
//! A plugin is a function from data to data. It implements [`Backend`], states its parameter space
//! as a [`SchemaTable`] (a `static`, so that nothing is parsed at run time), turns configurations
//! into [`LaunchPlan`]s and reads what the engine said. Nothing here runs, reads or opens anything,
//! and no type of the host is known.
//!
//! ```
//! use llem_sdk::prelude::*;
//!
//! static TABLE: SchemaTable = SchemaTable {
//!     release: "1.0.0",
//!     sections: &[SectionDef { id: "engine", title: "Engine", doc: "How the engine starts." }],
//!     parameters: &[Param::new("engine.threads", &[int(1, 256)], Fallback::Engine("one a core"))
//!         .doc("Worker threads.")
//!         .energy()
//!         .flag("--threads")],
//!     rules: &[],
//!     code_rules: false,
//!     unknown: UnknownPolicy::Reject,
//! };
//!
//! struct Example;
//!
//! impl Backend for Example {
//!     fn describe() -> Descriptor {
//!         Descriptor::new("example", "Example", "1.0.0", "Shows the smallest plugin.")
//!             .with_modes(&[Mode::Server])
//!             .with_runners(&[Runner::Process])
//!             .allowing(Permission::Program("example-server".to_owned()))
//!     }
//!
//!     fn releases() -> Vec<EngineRelease> {
//!         vec![EngineRelease::stable("1.0.0", ">=1.0.0, <2.0.0", &[Mode::Server])]
//!     }
//!
//!     fn schema(release: &str) -> Result<Schema, Error> {
//!         if release == TABLE.release { Ok(TABLE.to_schema()) } else { Err(Error::unknown_release(release)) }
//!     }
//!
//!     fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
//!         let drive = Drive::completions(&context.model.id, TABLE.fields(config, Phase::Request));
//!         let step = Step::subject("serve", "Example server", Program::Named("example-server".to_owned()), drive)
//!             .with_args([arg("--port=").port()])
//!             .with_args(TABLE.arguments(config))
//!             .ready_on_health("/health", 60_000);
//!         Ok(LaunchPlan::of(step, config))
//!     }
//! }
//!
//! llem_sdk::export!(Example);
//!
//! let plan = Example::plan(&Config::from_iter([("engine.threads", 4)]), &llem_sdk::testing::context("1.0.0", Mode::Server)).unwrap();
//! assert_eq!(llem_sdk::testing::argv(&plan.steps[0]), ["--port={port}", "--threads=4"]);
//! ```

mod argument;
mod backend;
#[cfg(feature = "build")]
pub mod build;
mod config;
mod identity;
pub mod log;
mod outcome;
mod plan;
mod server;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;
pub mod wit;

pub use argument::{ArgBuilder, arg};
pub use backend::{Backend, Exported};
pub use config::Config;
pub use outcome::LogPattern;
pub use server::{COMMON_FAILURES, Served, Server};
pub use table::{
    EffectDef, Fallback, Native, Param, RuleDef, SchemaTable, SectionDef, Type, Val, any_number,
    at_least, int, number, power_of_two, text,
};
pub use value::json_object;

pub use wit::exports::llem::backend::{
    info::{Descriptor, EngineRelease, HostPath, ImageRef, Permission, VersionProbe},
    launch::{
        ArgPart, Artefact, BatchApi, Command, Context, Drive, EnvValue, EnvVar, File, GpuFacts,
        GpuNeed, HttpApi, HttpRequest, LaunchPlan, Limits, LogSignal, MetricSeries, Metrics,
        ModelRef, ModelSource, Mount, MountSource, Network, Prepare, Probe, Program, Readiness,
        Role, SeriesKind, Step, StepReport, Stop, StopSignal, Subject,
    },
    params::{
        Canonical, Choice, DefaultValue, Effect, Finding, FloatRange, IntRange, ItemRule, ItemType,
        ParamType, Parameter, Phase, Rule, Scale, Schema, Section, Severity, TextRule,
        UnknownPolicy,
    },
    results::{Failure, Inspection, Measure, Observation, RunOutput, SeenSignal},
};
pub use wit::llem::backend::types::{Error, ErrorKind, Field, Mode, Runner, Setting, Value};

/// One element of an argument vector, joined from its parts.
///
/// ```
/// # use llem_sdk::prelude::*;
/// let element: Arg = arg("--x=1").into();
/// assert_eq!(element, [ArgPart::Literal("--x=1".to_owned())]);
/// ```
pub type Arg = Vec<ArgPart>;

/// Everything that a plugin needs, for `use llem_sdk::prelude::*`.
pub mod prelude {
    pub use crate::{
        Arg, ArgPart, Artefact, Backend, BatchApi, COMMON_FAILURES, Command, Config, Context,
        Descriptor, Drive, EffectDef, EngineRelease, EnvValue, EnvVar, Error, ErrorKind, Failure,
        Fallback, Field, File, Finding, GpuNeed, HttpApi, HttpRequest, ImageRef, LaunchPlan,
        Limits, LogPattern, LogSignal, Measure, MetricSeries, Metrics, Mode, ModelSource, Mount,
        MountSource, Native, Network, Observation, Param, Permission, Phase, Prepare, Probe,
        Program, Readiness, Role, RuleDef, RunOutput, Runner, Scale, Schema, SchemaTable,
        SectionDef, Served, Server, Severity, Step, StepReport, Stop, StopSignal, Subject, Type,
        UnknownPolicy, Val, Value, VersionProbe, any_number, arg, at_least, int, json_object,
        number, power_of_two, text,
    };
}

/// Exports a [`Backend`] as a component.
///
/// Does so in WebAssembly only, so that the same crate links and tests natively.
#[macro_export]
macro_rules! export {
    ($backend:ty) => {
        #[cfg(target_arch = "wasm32")]
        type LlemExported = $crate::Exported<$backend>;
        #[cfg(target_arch = "wasm32")]
        $crate::wit::export!(LlemExported with_types_in $crate::wit);
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn implements<B: $crate::Backend>() {}
            implements::<$backend>();
        };
    };
}

/// Exports a [`Server`] as a component, as [`export!`] does a [`Backend`].
#[macro_export]
macro_rules! export_server {
    ($server:ty) => {
        $crate::export!($crate::Served<$server>);
    };
}
