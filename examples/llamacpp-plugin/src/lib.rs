//! llama.cpp's server, as the Python package `llama-cpp-python` ships it.

use llem_sdk::prelude::*;

static TABLE: SchemaTable = include!(concat!(env!("OUT_DIR"), "/parameters.rs"));

struct LlamaCpp;

impl Server for LlamaCpp {
    fn describe() -> Descriptor {
        Descriptor::new(
            "llamacpp",
            "llama.cpp",
            "0.1.0",
            "Runs GGUF models on processors and GPUs.",
        )
        .with_home("https://github.com/abetlen/llama-cpp-python", "MIT")
        .with_modes(&[Mode::Server])
        .with_runners(&[Runner::Process])
        .allowing(Permission::Program("python3".to_owned()))
    }

    fn tables() -> Vec<&'static SchemaTable> {
        vec![&TABLE]
    }

    fn command(table: &SchemaTable, config: &Config, context: &Context) -> Result<Command, Error> {
        let seed = context.seed.map(|seed| arg(format!("--seed={}", seed.rem_euclid(1 << 32))));
        Ok(Command::named("python3")
            .with_args(["-m", "llama_cpp.server"].map(arg))
            .with_args([arg("--model=").model(), arg("--host=").address(), arg("--port=").port()])
            .with_args(seed)
            .with_args(table.arguments(config)))
    }

    fn version_probe() -> Option<VersionProbe> {
        let print = "import llama_cpp; print(llama_cpp.__version__)";
        Some(VersionProbe::process("python3", &["-c", print], r"(?<version>\d+\.\d+\.\d+)"))
    }

    fn adjust(step: Step, _: &Config, _: &Context) -> Step {
        let mut step = step.ready_on_health("/v1/models", 120_000);
        // Its stream has no token counts; each chunk is one token.
        if let Role::Subject(subject) = &mut step.role
            && let Drive::Http(api) = &mut subject.drive
        {
            api.reports_usage = false;
        }
        step
    }
}

llem_sdk::export_server!(LlamaCpp);

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        assert_eq!(testing::check::<Served<LlamaCpp>>(), []);
    }

    #[test]
    fn settings_become_flags() {
        let config = Config::from_iter([
            ("engine.n_threads", Value::from(2)),
            ("engine.flash_attn", true.into()),
        ]);
        let plan =
            Served::<LlamaCpp>::plan(&config, &testing::context("0.3.36", Mode::Server)).unwrap();
        let argv = testing::argv(&plan.steps[0]);
        assert_eq!(argv[2..5], ["--model={model}", "--host={address}", "--port={port}"]);
        assert_eq!(argv[6..], ["--n_threads=2", "--flash_attn=true"]);
    }
}
