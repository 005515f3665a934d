//! The TensorRT-LLM plugin: `trtllm-serve` for server mode, a Python worker on the LLM API for
//! offline mode, and a build step for the TensorRT backend.
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
mod schema;
#[cfg(test)]
#[path = "../../shared/values.rs"]
mod values;
mod worker;

use llem_sdk::prelude::*;

/// The only release with a schema.
const RELEASE: &str = "1.2.1";

/// Where official images are.
const IMAGE: &str = "nvcr.io/nvidia/tensorrt-llm/release";

/// Variables that a study or the plan may set.
const ENVIRONMENT: &[&str] = &[
    "DISABLE_HARMONY_ADAPTER",
    "FORCE_*",
    "HF_HUB_OFFLINE",
    "RAY_LOCAL_WORLD_SIZE",
    "TLLM_*",
    "TRTLLM_*",
];

/// The plugin.
#[derive(Debug)]
pub struct TensorRt;

impl Backend for TensorRt {
    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            "tensorrt",
            "TensorRT-LLM",
            env!("CARGO_PKG_VERSION"),
            "NVIDIA TensorRT-LLM: the OpenAI-compatible server and offline batches.",
        )
        .with_home("https://nvidia.github.io/TensorRT-LLM", "Apache-2.0")
        .with_modes(&[Mode::Server, Mode::Offline])
        .with_runners(&[Runner::Container, Runner::Process])
        .allowing(Permission::Program("trtllm-serve".to_owned()))
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
        vec![
            EngineRelease::stable(RELEASE, ">=1.2.0, <2.0.0", &[Mode::Server, Mode::Offline])
                .with_image(ImageRef::tagged(IMAGE, RELEASE))
                .with_min_compute_capability(80),
        ]
    }

    fn version_probes() -> Vec<VersionProbe> {
        let program =
            "import importlib.metadata as m; print('tensorrt_llm', m.version('tensorrt_llm'))";
        vec![VersionProbe::process(
            "python3",
            &["-c", program],
            r"tensorrt_llm (?<version>\d+\.\d+\.\d+)",
        )]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        if release == RELEASE {
            Ok(schema::TABLE.to_schema())
        } else {
            Err(Error::unknown_release(release))
        }
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        plan::plan(config, context)
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        Ok(observe::observe(output))
    }
}

llem_sdk::export!(TensorRt);

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        let flaws: Vec<String> =
            testing::check::<TensorRt>().iter().map(ToString::to_string).collect();
        assert_eq!(flaws, [""; 0]);
    }

    #[test]
    fn enough_energy_relevant_parameters_have_values_to_sweep() {
        let schema = TensorRt::schema(RELEASE).unwrap();
        let ready =
            schema.parameters.iter().filter(|it| it.energy_relevant && !it.suggested.is_empty());
        assert!(ready.count() >= 30);
    }
}
