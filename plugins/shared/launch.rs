//! What launch plans of Python engines have in common: where the model comes from, access to the
//! hub, mounts of containers.
//!
//! Shared by the plugins of such engines. Knows no engine.

use llem_sdk::{
    Context, EnvValue, EnvVar, ModelSource, Mount, MountSource, Network, Program, Step,
};

/// The interpreter; the host finds it on its path or in the environment that the user names.
pub(crate) fn python() -> Program {
    Program::Named("python3".to_owned())
}

/// The name by which a worker is told where its model comes from.
pub(crate) fn source(source: ModelSource) -> &'static str {
    match source {
        ModelSource::Hub => "hub",
        ModelSource::Directory => "directory",
        ModelSource::File => "file",
        ModelSource::Random => "random",
    }
}

/// Lets a step reach the hub where its model is there, with the user's token where one is granted;
/// keeps it from trying where the model is local.
pub(crate) fn with_hub(mut step: Step, context: &Context) -> Step {
    if context.model.source != ModelSource::Hub {
        return step.with_env("HF_HUB_OFFLINE", "1");
    }
    step.network = Network::Outbound;
    if context.secrets.iter().any(|name| name == "hf-token") {
        step.env.push(EnvVar {
            name: "HF_TOKEN".to_owned(),
            value: EnvValue::Secret("hf-token".to_owned()),
        });
    }
    step
}

/// Mounts the scratch directory, the model cache and a local model; engines' processes exchange
/// tensors through shared memory, so there is plenty of it.
pub(crate) fn with_mounts(mut step: Step, context: &Context) -> Step {
    let hub = context.model.source == ModelSource::Hub;
    step.shm_mib = Some(16_384);
    step.mounts.extend([
        mount(MountSource::Scratch, "/llem/scratch", true),
        mount(MountSource::ModelCache, "/root/.cache/huggingface", hub),
    ]);
    if !hub {
        step.mounts.push(mount(MountSource::Model, "/llem/model", false));
    }
    step
}

/// One mount.
pub(crate) fn mount(source: MountSource, target: &str, writable: bool) -> Mount {
    Mount { source, target: target.to_owned(), writable }
}
