//! llama.cpp's server, as the Python package `llama-cpp-python` ships it.

use llem_sdk::prelude::*;

const FROM: &str = "llama_cpp/server/settings.py, 0.3.36";

static TABLE: SchemaTable = SchemaTable {
    release: "0.3.36",
    sections: &[
        SectionDef { id: "engine", title: "Engine", doc: "How the server starts." },
        SectionDef { id: "sampling", title: "Sampling", doc: "How tokens are drawn." },
    ],
    parameters: &[
        Param::new("engine.n_threads", &[int(1, 1024)], Fallback::Engine("half the processors"))
            .doc("Threads that generate.")
            .energy()
            .flag("--n_threads")
            .source(FROM),
        Param::new("engine.n_threads_batch", &[int(1, 1024)], Fallback::Engine("all processors"))
            .doc("Threads that read prompts.")
            .energy()
            .flag("--n_threads_batch")
            .source(FROM),
        Param::new("engine.n_batch", &[power_of_two(1, 65536)], Fallback::Fixed(Val::Int(512)))
            .doc("Most tokens of a prompt that are read at once.")
            .unit("tokens")
            .energy()
            .suggest(&[Val::Int(64), Val::Int(512)])
            .flag("--n_batch")
            .source(FROM),
        Param::new("engine.n_ctx", &[int(0, 1_048_576)], Fallback::Fixed(Val::Int(2048)))
            .doc("Context size; 0 takes the model's own.")
            .unit("tokens")
            .flag("--n_ctx")
            .source(FROM),
        Param::new("engine.n_gpu_layers", &[at_least(-1)], Fallback::Fixed(Val::Int(0)))
            .doc("Layers on the GPU; -1 is all of them.")
            .energy()
            .suggest(&[Val::Int(0), Val::Int(-1)])
            .flag("--n_gpu_layers")
            .source(FROM),
        Param::new("engine.flash_attn", &[Type::Boolean], Fallback::Fixed(Val::Bool(false)))
            .doc("Use fused attention.")
            .energy()
            .flag("--flash_attn")
            .source(FROM),
        Param::new("engine.use_mmap", &[Type::Boolean], Fallback::Fixed(Val::Bool(true)))
            .doc("Map the model's file instead of reading it.")
            .flag("--use_mmap")
            .source(FROM),
        Param::new("sampling.temperature", &[number(0.0, 2.0)], Fallback::Fixed(Val::Num(0.8)))
            .doc("Spread of the distribution that tokens are drawn from; 0 takes the likeliest.")
            .request("temperature"),
        Param::new("sampling.top_k", &[at_least(0)], Fallback::Fixed(Val::Int(40)))
            .doc("Tokens to draw from; 0 is all of them.")
            .request("top_k"),
    ],
    rules: &[RuleDef::dormant(
        "llamacpp.greedy-ignores-top-k",
        "sampling.temperature == 0.0",
        &[EffectDef::unset("sampling.top_k")],
        "At temperature 0 the likeliest token is taken, whatever top_k is.",
    )],
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

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
