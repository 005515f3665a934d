//! From a configuration to what runs.
//!
//! Offline, every setting travels under its whole path to the worker, which refuses what it does
//! not know. In server mode engine settings are flags, the fields of one nested configuration a
//! single JSON flag (vLLM does not merge its two forms), and sampling settings are request fields.

use llem_sdk::{ArgBuilder, prelude::*};

use crate::{
    launch, nested, observe,
    refusal::{conflict, gpus, not_in_this_mode},
    schema::TABLE,
    worker,
};

/// A cold start loads weights, compiles and captures graphs.
const READY_WITHIN_MS: u32 = 1_800_000;

/// What multiplies to the number of GPUs.
const DEGREES: &[&str] = &[
    "engine.tensor_parallel_size",
    "engine.pipeline_parallel_size",
    "engine.data_parallel_size",
    "engine.prefill_context_parallel_size",
];

/// The sampler's kernels are compiled for minutes on first use unless this is off.
const FLASHINFER_SAMPLER: &str = "VLLM_USE_FLASHINFER_SAMPLER";

/// Sampling settings that 0.24.0 has offline only; its server ignores such a field without a word.
const LATER_FIELDS: &[&str] =
    &["sampling.bad_words", "sampling.logprob_token_ids", "sampling.routed_experts_prompt_start"];

/// What to run.
pub(crate) fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
    check_modes(config, context)?;
    let step = match context.mode {
        Mode::Offline => offline(config, context)?,
        Mode::Server => server(config, context)?,
    };
    let mut step =
        step.with_gpus(gpus(config, DEGREES)?).with_signals(observe::signals()).with_grace(30_000);
    step.readiness.deadline_ms = READY_WITHIN_MS;
    step = environment(step, config, context);
    if context.runner == Runner::Container {
        step = contained(step, context);
    }
    let mut effective = config.clone();
    if context.model.source == ModelSource::Random {
        default_to(&mut effective, "engine.load_format", "dummy");
        default_to(&mut effective, "engine.skip_tokenizer_init", true);
    }
    default_to(&mut effective, "env.VLLM_USE_FLASHINFER_SAMPLER", false);
    Ok(LaunchPlan::of(step, &effective))
}

/// Refuses what would be dropped on the way to the engine.
fn check_modes(config: &Config, context: &Context) -> Result<(), Error> {
    for (param, _) in TABLE.given(config) {
        let elsewhere = !param.modes.is_empty() && !param.modes.contains(&context.mode);
        let later = context.mode == Mode::Server
            && context.release == "0.24.0"
            && LATER_FIELDS.contains(&param.path);
        if elsewhere || later {
            return Err(not_in_this_mode(param.path));
        }
    }
    Ok(())
}

fn default_to(config: &mut Config, path: &str, value: impl Into<Value>) {
    if config.get(path).is_none() {
        config.set(path, value);
    }
}

fn offline(config: &Config, context: &Context) -> Result<Step, Error> {
    let mut load = vec![Field::new("model.source", launch::source(context.model.source))];
    if let Some(revision) = &context.model.revision
        && config.get("engine.revision").is_none()
    {
        load.push(Field::new("engine.revision", revision.clone()));
    }
    let mut body = Vec::new();
    let mut entries = Vec::new();
    for (param, value) in TABLE.given(config) {
        let (section, name) = param.path.split_once('.').unwrap_or_default();
        match section {
            "env" => {}
            "engine" => {
                entries.push((name, value));
                load.push(Field::new(param.path, value.clone()));
            }
            _ => body.push(Field::new(param.path, value.clone())),
        }
    }
    nested::object(&entries).map_err(|name| conflict(&name))?;
    let step = Step::subject("worker", "vLLM worker", launch::python(), Drive::batch(load, body))
        .with_args([arg("-B"), arg("").file(worker::MAIN)]);
    Ok(worker::with_files(step))
}

fn server(config: &Config, context: &Context) -> Result<Step, Error> {
    let request = Requests::of(config)?;
    let (plain, nested) = engine_flags(config)?;
    let start = match context.runner {
        // The image's entry point is `vllm serve` itself.
        Runner::Container => Vec::new(),
        Runner::Process => ["-m", "vllm.entrypoints.cli.main", "serve"].map(arg).into(),
    };
    let program = match context.runner {
        Runner::Container => Program::Entrypoint,
        Runner::Process => launch::python(),
    };
    let mut step = Step::subject("serve", "vllm serve", program, request.drive(&context.model.id))
        .with_args(start)
        .with_args([
            arg("").model(),
            arg("--host=").address(),
            arg("--port=").port(),
            arg("--served-model-name=").text(context.model.id.as_str()),
        ]);
    if let Some(seed) = context.seed {
        step = step.with_args([arg(format!("--seed={seed}"))]);
    }
    if let Some(revision) = &context.model.revision
        && config.get("engine.revision").is_none()
    {
        step = step.with_args([arg(format!("--revision={revision}"))]);
    }
    if context.model.source == ModelSource::Random {
        let absent = |path: &str| config.get(path).is_none();
        step = step
            .with_args(absent("engine.load_format").then(|| arg("--load-format=dummy")))
            .with_args(absent("engine.skip_tokenizer_init").then(|| arg("--skip-tokenizer-init")));
    }
    if config.get("server.disable_uvicorn_access_log").is_none() {
        step = step.with_args([arg("--disable-uvicorn-access-log")]);
    }
    Ok(step
        .with_args(TABLE.arguments(&plain))
        .with_args(nested)
        .ready_on_health("/health", READY_WITHIN_MS)
        .with_prometheus("/metrics", observe::series())
        .with_inspection(HttpRequest::get("version", "/version"))
        .with_inspection(HttpRequest::get("models", "/v1/models")))
}

/// Fields of each request and which kind of request they belong to.
struct Requests {
    body: Vec<Field>,
    chat: bool,
}

impl Requests {
    fn of(config: &Config) -> Result<Self, Error> {
        let mut entries: Vec<(&str, &Value)> = Vec::new();
        let mut kinds = (false, false);
        for (param, value) in TABLE.given(config) {
            let (section, name) = param.path.split_once('.').unwrap_or_default();
            match section {
                "sampling" => {}
                "completion" => kinds.0 = true,
                "chat" => kinds.1 = true,
                _ => continue,
            }
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("the request field `{name}` is given twice"),
                )
                .at(param.path));
            }
            entries.push((name, value));
        }
        if kinds == (true, true) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "settings of completion and of chat requests exclude each other",
            ));
        }
        let body = nested::fields(&entries).map_err(|name| conflict(&name))?;
        Ok(Self { body, chat: kinds.1 })
    }

    fn drive(self, served_model: &str) -> Drive {
        if self.chat {
            Drive::chat(served_model, self.body)
        } else {
            Drive::completions(served_model, self.body)
        }
    }
}

/// Settings with a flag of their own, and one JSON flag for each nested configuration.
fn engine_flags(config: &Config) -> Result<(Config, Vec<ArgBuilder>), Error> {
    let mut plain = Config::default();
    let mut entries: Vec<(&str, &Value)> = Vec::new();
    for (param, value) in TABLE.given(config) {
        let (section, name) = param.path.split_once('.').unwrap_or_default();
        if section == "engine" && (name.contains('.') || param.native == Native::None) {
            entries.push((name, value));
        } else if matches!(section, "engine" | "server") {
            plain.set(param.path, value.clone());
        }
    }
    let mut flags = Vec::new();
    for field in nested::fields(&entries).map_err(|name| conflict(&name))? {
        let path = format!("engine.{}", field.name);
        if plain.get(&path).is_some() {
            return Err(conflict(&field.name));
        }
        let Some(flag) = TABLE.parameter(&path).and_then(|param| param.native.name()) else {
            return Err(not_in_this_mode(&path));
        };
        flags.push(arg(format!("{flag}={}", field.value)));
    }
    Ok((plain, flags))
}

fn environment(step: Step, config: &Config, context: &Context) -> Step {
    let mut step = step.with_env_vars(TABLE.environment(config));
    for (name, value) in [("VLLM_NO_USAGE_STATS", "1"), (FLASHINFER_SAMPLER, "0")] {
        if config.get(&format!("env.{name}")).is_none() {
            step = step.with_env(name, value);
        }
    }
    launch::with_hub(step, context)
}

fn contained(step: Step, context: &Context) -> Step {
    let image = context
        .image
        .clone()
        .unwrap_or_else(|| ImageRef::tagged(crate::IMAGE, &format!("v{}", context.release)));
    launch::with_mounts(step.in_container(image), context)
}

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;
    use crate::values;

    fn context(mode: Mode) -> Context {
        testing::context("0.33.0", mode)
    }

    fn step(config: &Config, mode: Mode) -> Step {
        plan(config, &context(mode)).expect("the settings reach the engine").steps.remove(0)
    }

    #[test]
    fn a_server_gets_flags_nested_json_and_request_fields() {
        let config = Config::from_iter([
            ("engine.compilation_config.cudagraph_mode", Value::from("PIECEWISE")),
            ("engine.compilation_config.pass_config.fuse_norm_quant", Value::from(true)),
            ("engine.cudagraph_capture_sizes", Value::Json("[1, 8]".to_owned())),
            ("engine.enable_prefix_caching", Value::from(false)),
            ("engine.max_num_seqs", Value::from(64)),
            ("sampling.temperature", Value::from(0.0)),
            ("server.allowed_origins", Value::Json(r#"["*"]"#.to_owned())),
        ]);
        let step = step(&config, Mode::Server);
        assert_eq!(
            testing::argv(&step),
            [
                "-m",
                "vllm.entrypoints.cli.main",
                "serve",
                "{model}",
                "--host={address}",
                "--port={port}",
                "--served-model-name=random:tiny",
                "--seed=42",
                "--load-format=dummy",
                "--skip-tokenizer-init",
                "--disable-uvicorn-access-log",
                "--cudagraph-capture-sizes",
                "1",
                "8",
                "--no-enable-prefix-caching",
                "--max-num-seqs=64",
                "--allowed-origins=[\"*\"]",
                "--compilation-config={\"cudagraph_mode\":\"PIECEWISE\",\"pass_config\":{\"fuse_norm_quant\":true}}",
            ]
        );
        let Role::Subject(Subject { drive: Drive::Http(api), .. }) = &step.role else {
            panic!("expected a server");
        };
        assert_eq!(
            (api.protocol.as_str(), api.served_model.as_str()),
            ("openai-completions", "random:tiny")
        );
        assert_eq!(api.body, [Field::new("temperature", 0.0)]);
        let env: Vec<&str> = step.env.iter().map(|var| var.name.as_str()).collect();
        assert_eq!(env, ["VLLM_NO_USAGE_STATS", "VLLM_USE_FLASHINFER_SAMPLER", "HF_HUB_OFFLINE"]);
    }

    #[test]
    fn a_worker_gets_engine_settings_at_load_and_sampling_settings_with_each_batch() {
        let config = Config::from_iter([
            ("engine.compilation_config.mode", Value::from("NONE")),
            ("engine.max_num_seqs", Value::from(8)),
            ("sampling.temperature", Value::from(0.5)),
        ]);
        let step = step(&config, Mode::Offline);
        let Role::Subject(Subject { drive: Drive::Batch(batch), .. }) = &step.role else {
            panic!("expected a worker");
        };
        let names = |fields: &[Field]| -> Vec<String> {
            fields.iter().map(|field| field.name.clone()).collect()
        };
        assert_eq!(
            names(&batch.load),
            ["model.source", "engine.compilation_config.mode", "engine.max_num_seqs"]
        );
        assert_eq!(names(&batch.body), ["sampling.temperature"]);
        assert_eq!(batch.batch_size, None);
        assert!(step.files.iter().any(|file| file.name == "worker/llem_vllm/engine.py"));
    }

    #[test]
    fn a_container_runs_the_image_of_the_release_and_passes_arguments_only() {
        let mut context = context(Mode::Server);
        context.runner = Runner::Container;
        let step = plan(&Config::default(), &context).unwrap().steps.remove(0);
        assert_eq!(step.command.program, Program::Entrypoint);
        assert_eq!(step.image.as_ref().and_then(|it| it.tag.as_deref()), Some("v0.33.0"));
        assert_eq!(testing::argv(&step)[0], "{model}");
    }

    #[test]
    fn gpus_are_the_product_of_the_degrees_of_parallelism() {
        let config = Config::from_iter([
            ("engine.pipeline_parallel_size", 2),
            ("engine.tensor_parallel_size", 4),
        ]);
        assert_eq!(step(&config, Mode::Server).gpus.count, 8);
        assert_eq!(step(&Config::default(), Mode::Server).gpus.count, 1);
    }

    #[test]
    fn a_nested_configuration_in_two_forms_is_refused() {
        let config = Config::from_iter([
            ("engine.compilation_config", Value::Json(r#"{"mode":0}"#.to_owned())),
            ("engine.compilation_config.mode", Value::from("NONE")),
        ]);
        for mode in [Mode::Server, Mode::Offline] {
            let error = plan(&config, &context(mode)).unwrap_err();
            assert_eq!(error.path.as_deref(), Some("engine.compilation_config"), "{mode:?}");
        }
    }

    #[test]
    fn a_setting_of_the_other_mode_or_of_a_later_server_is_refused() {
        let cases = [
            ("engine.enable_log_requests", "0.33.0", Mode::Offline),
            ("sampling.detokenize", "0.33.0", Mode::Server),
            ("sampling.bad_words", "0.24.0", Mode::Server),
        ];
        for (path, release, mode) in cases {
            let config = Config::from_iter([(path, true)]);
            let error = plan(&config, &testing::context(release, mode)).unwrap_err();
            assert_eq!(error.path.as_deref(), Some(path));
        }
    }

    #[test]
    fn every_parameter_changes_the_launch_of_a_mode_or_is_refused_by_a_rule() {
        let plain =
            [Mode::Offline, Mode::Server].map(|mode| (mode, step(&Config::default(), mode)));
        for param in TABLE.parameters.iter().filter(|param| !values::refused(&TABLE, param.path)) {
            let config = Config::from_iter([(param.path, values::other_than_default(param))]);
            let reaches = plain.iter().any(|(mode, plain)| {
                plan(&config, &context(*mode)).is_ok_and(|plan| plan.steps[0] != *plain)
            });
            assert!(reaches, "`{}` reaches nothing", param.path);
        }
    }
}
