//! Runs real components: the committed ones, and one that misbehaves on request.

mod bundled;
mod contract;
mod fresh;
mod hostile;
mod loading;

use std::path::Path;

use llem_core::backend::{Context, Mode, ModelRef, ModelSource, Runner};
use llem_plugin::{Cache, Plugin, Registry};

/// One cache for all tests and runs: a component is compiled once.
fn cache() -> Cache {
    Cache::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cwasm"))
}

fn registry() -> Registry {
    Registry::new(None, cache())
}

fn hostile() -> Plugin {
    registry()
        .load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile.wasm"))
        .expect("it is committed")
}

fn context(release: &str, model: &str) -> Context {
    Context {
        release: release.to_owned(),
        mode: Mode::Server,
        runner: Runner::Process,
        model: ModelRef { id: model.to_owned(), revision: None, source: ModelSource::Random },
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
