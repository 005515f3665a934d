//! Tests a plugin natively, without WebAssembly or the host.
//!
//! [`check`] holds a plugin to the contract as far as that needs no engine; [`argv`] shows a
//! step's command for snapshots.

mod conformance;

pub use conformance::{Flaw, check};

use crate::{Arg, ArgPart, Context, Mode, ModelRef, ModelSource, Runner, Step};

/// A context with a local model of random weights, one request in flight and seed 42.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert_eq!(llem_sdk::testing::context("1.0.0", Mode::Server).seed, Some(42));
/// ```
pub fn context(release: &str, mode: Mode) -> Context {
    Context {
        release: release.to_owned(),
        mode,
        runner: Runner::Process,
        model: ModelRef {
            id: "random:tiny".to_owned(),
            revision: None,
            source: ModelSource::Random,
        },
        image: None,
        gpu: None,
        secrets: Vec::new(),
        max_input_tokens: Some(128),
        max_output_tokens: Some(32),
        max_concurrency: Some(1),
        seed: Some(42),
        extra: Vec::new(),
    }
}

/// The arguments of a step, with `{model}`, `{port}` and the like for what the host fills in.
///
/// ```
/// # use llem_sdk::prelude::*;
/// # let drive = Drive::completions("m", Vec::new());
/// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
/// assert_eq!(llem_sdk::testing::argv(&step.with_args([arg("--port=").port()])), ["--port={port}"]);
/// ```
pub fn argv(step: &Step) -> Vec<String> {
    step.command.args.iter().map(shown).collect()
}

/// One argument as [`argv`] shows it.
///
/// ```
/// # use llem_sdk::prelude::*;
/// assert_eq!(llem_sdk::testing::shown(&arg("--model=").model().into()), "--model={model}");
/// ```
pub fn shown(arg: &Arg) -> String {
    arg.iter()
        .map(|part| match part {
            ArgPart::Literal(text) => text.clone(),
            ArgPart::Model => "{model}".to_owned(),
            ArgPart::Port => "{port}".to_owned(),
            ArgPart::Address => "{address}".to_owned(),
            ArgPart::Scratch => "{scratch}".to_owned(),
            ArgPart::Artefact(id) => format!("{{artefact {id}}}"),
            ArgPart::File(name) => format!("{{file {name}}}"),
            ArgPart::GpuIndices => "{gpus}".to_owned(),
        })
        .collect()
}
