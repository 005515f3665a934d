//! The transformers plugin: fixed batches and continuous batching through a Python worker.
//!
//! Says what can be set, what to run and what a log tells. The worker itself is Python and travels
//! as files of the launch plan; nothing here runs or reads anything.

#[path = "../../shared/launch.rs"]
mod launch;
mod observe;
mod plan;
#[path = "../../shared/release.rs"]
mod release;
mod schema;
#[cfg(test)]
#[path = "../../shared/values.rs"]
mod values;
mod worker;

use llem_sdk::prelude::*;

/// Variables that a study may set; the schema's section `env` lists the same.
const ENVIRONMENT: &[&str] = &[
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_LAUNCH_BLOCKING",
    "HF_HUB_OFFLINE",
    "NCCL_GRAPH_MIXING_SUPPORT",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TOKENIZERS_PARALLELISM",
    "TORCHINDUCTOR_MAX_AUTOTUNE",
    "TORCH_COMPILE_DISABLE",
    "TRANSFORMERS_VERBOSITY",
];

/// The plugin.
#[derive(Debug)]
pub struct PyTorch;

impl Backend for PyTorch {
    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            "pytorch",
            "PyTorch (transformers)",
            env!("CARGO_PKG_VERSION"),
            "Hugging Face transformers on PyTorch: fixed batches and continuous batching.",
        )
        .with_home("https://huggingface.co/docs/transformers", "Apache-2.0")
        .with_modes(&[Mode::Offline])
        .with_runners(&[Runner::Process, Runner::Container])
        .allowing(Permission::Program("python3".to_owned()))
        .allowing(Permission::Secret("hf-token".to_owned()))
        .allowing(Permission::Image("*".to_owned()))
        .allowing(Permission::Network(
            "download of hub models that are not in the cache".to_owned(),
        ));
        ENVIRONMENT.iter().fold(descriptor, |descriptor, name| {
            descriptor.allowing(Permission::EnvSet((*name).to_owned()))
        })
    }

    fn releases() -> Vec<EngineRelease> {
        let modes = &[Mode::Offline];
        vec![
            EngineRelease::stable("5.23.0", ">=5.18.0, <6.0.0", modes),
            EngineRelease::stable("5.17.0", ">=5.0.0, <5.18.0", modes),
        ]
    }

    fn version_probes() -> Vec<VersionProbe> {
        let program =
            "import importlib.metadata as m; print('transformers', m.version('transformers'))";
        vec![VersionProbe::process(
            "python3",
            &["-c", program],
            r"transformers (?<version>\d+\.\d+\.\d+)",
        )]
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

llem_sdk::export!(PyTorch);

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        let flaws: Vec<String> =
            testing::check::<PyTorch>().iter().map(ToString::to_string).collect();
        assert_eq!(flaws, [""; 0]);
    }

    #[test]
    fn the_environment_of_the_schema_is_the_one_that_is_asked_for() {
        let schema = PyTorch::schema("5.23.0").unwrap();
        let refused: Vec<&str> = schema
            .rules
            .iter()
            .filter_map(|rule| rule.id.strip_prefix("pytorch.not-settable.env-"))
            .collect();
        let mut settable: Vec<&str> = schema
            .parameters
            .iter()
            .filter_map(|it| it.path.strip_prefix("env."))
            .filter(|name| !refused.contains(name))
            .collect();
        settable.push("HF_HUB_OFFLINE");
        settable.sort_unstable();
        assert_eq!(settable, ENVIRONMENT);
    }
}
