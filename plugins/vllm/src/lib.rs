//! The vLLM plugin: `vllm serve` for server mode, a Python worker on `vllm.LLM` for offline mode.
//!
//! Says what can be set, what to run and what logs and metrics tell. The worker itself is Python
//! and travels as files of the launch plan; nothing here runs or reads anything.

#[path = "../../shared/launch.rs"]
mod launch;
#[path = "../../shared/nested.rs"]
mod nested;
mod observe;
mod plan;
#[path = "../../shared/refusal.rs"]
mod refusal;
#[path = "../../shared/release.rs"]
mod release;
mod schema;
#[cfg(test)]
#[path = "../../shared/values.rs"]
mod values;
mod worker;

use llem_sdk::prelude::*;

/// Where official images are.
const IMAGE: &str = "docker.io/vllm/vllm-openai";

/// Variables that a study may set beside those of vLLM's own name.
const ENVIRONMENT: &[&str] = &[
    "FORCE_COLOR",
    "HF_HUB_OFFLINE",
    "MOONCAKE_PREFERRED_SEGMENT",
    "MOONCAKE_REQUESTER_LOCAL_HOSTNAME",
    "NO_COLOR",
    "VLLM_*",
];

/// The plugin.
#[derive(Debug)]
pub struct Vllm;

impl Backend for Vllm {
    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            "vllm",
            "vLLM",
            env!("CARGO_PKG_VERSION"),
            "vLLM: the OpenAI-compatible server and offline batches.",
        )
        .with_home("https://docs.vllm.ai", "Apache-2.0")
        .with_modes(&[Mode::Server, Mode::Offline])
        .with_runners(&[Runner::Process, Runner::Container])
        .allowing(Permission::Program("python3".to_owned()))
        .allowing(Permission::Image(IMAGE.to_owned()))
        .allowing(Permission::Secret("hf-token".to_owned()))
        .allowing(Permission::EnvPass("NCCL_*".to_owned()))
        .allowing(Permission::Network(
            "download of hub models that are not in the cache".to_owned(),
        ));
        ENVIRONMENT.iter().fold(descriptor, |descriptor, name| {
            descriptor.allowing(Permission::EnvSet((*name).to_owned()))
        })
    }

    fn releases() -> Vec<EngineRelease> {
        let modes = &[Mode::Server, Mode::Offline];
        let release = |id: &str, covers: &str| {
            EngineRelease::stable(id, covers, modes)
                .with_image(ImageRef::tagged(IMAGE, &format!("v{id}")))
                .with_min_compute_capability(75)
        };
        vec![release("0.33.0", ">=0.25.0, <1.0.0"), release("0.24.0", ">=0.20.0, <0.25.0")]
    }

    fn version_probes() -> Vec<VersionProbe> {
        let program = "import importlib.metadata as m; print('vllm', m.version('vllm'))";
        vec![VersionProbe::process("python3", &["-c", program], r"vllm (?<version>\d+\.\d+\.\d+)")]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        schema::of(release)
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        plan::plan(config, context)
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        Ok(observe::observe(output))
    }
}

llem_sdk::export!(Vllm);

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        let flaws: Vec<String> = testing::check::<Vllm>().iter().map(ToString::to_string).collect();
        assert_eq!(flaws, [""; 0]);
    }
}
