//! The adapter of the engine that is linked into the host: identity, launch plans, failures.
//!
//! It computes nothing: the engine is a subprocess of the host, started with what `plan` says.

mod failure;
mod table;

use llem_sdk::prelude::*;

use table::TABLE;

/// Name of the linked engine, and of this plugin.
const ENGINE: &str = "candle";

const MODES: &[Mode] = &[Mode::Server, Mode::Offline];

/// The plugin.
#[derive(Debug)]
pub struct Candle;

impl Backend for Candle {
    fn describe() -> Descriptor {
        Descriptor::new(
            ENGINE,
            "Candle",
            env!("CARGO_PKG_VERSION"),
            "The native CPU engine that comes with llem: llama-family models, no Python, no GPU.",
        )
        .with_home("https://github.com/huggingface/candle", "MIT OR Apache-2.0")
        .with_modes(MODES)
        .with_runners(&[Runner::Process, Runner::Container])
        .allowing(Permission::Bundled(ENGINE.to_owned()))
        .allowing(Permission::Image(IMAGE.to_owned()))
    }

    fn releases() -> Vec<EngineRelease> {
        let release = TABLE.release;
        vec![EngineRelease::stable(release, &format!("={release}"), MODES)]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        if release == TABLE.release {
            Ok(TABLE.to_schema())
        } else {
            Err(Error::unknown_release(release))
        }
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        if context.model.source == ModelSource::Hub {
            let hint = "name a directory with config.json and *.safetensors, a .gguf file, or `random:SHAPE`";
            return Err(Error::unsupported("candle loads local models only").with_hint(hint));
        }
        let config = TABLE.with_defaults(config);
        let body = TABLE.fields(&config, Phase::Request);
        let program = Program::Bundled(ENGINE.to_owned());
        let step = match context.mode {
            Mode::Server => {
                Step::subject("serve", "candle server", program, Drive::completions(ENGINE, body))
                    .with_args([
                        arg("serve"),
                        arg("--host=").address(),
                        arg("--port=").port(),
                        arg("--served-model-name=").text(ENGINE),
                    ])
                    .ready_on_health("/health", READY_WITHIN_MS)
                    .with_prometheus("/metrics", series())
            }
            Mode::Offline => Step::subject(
                "batch",
                "candle batch worker",
                program,
                Drive::batch(Vec::new(), body),
            )
            .with_args([arg("batch")]),
        };
        let step = in_container(step, context)
            .with_args(model_arguments(context))
            .with_args(TABLE.arguments(&config))
            .with_signals(failure::signals());
        Ok(LaunchPlan::of(step, &config))
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        Ok(Observation { failure: failure::of(output), ..Observation::default() })
    }
}

llem_sdk::export!(Candle);

/// Image of the engine, which every user makes of the own `llem`; its entry point is `llem engine candle`.
const IMAGE: &str = "llem-candle";

/// The same step in a container, where the study wants one: the image's entry point takes the arguments of the engine.
fn in_container(mut step: Step, context: &Context) -> Step {
    if context.runner == Runner::Process {
        return step;
    }
    step.command.program = Program::Entrypoint;
    step.mounts.push(Mount {
        source: MountSource::Model,
        target: "/llem/model".to_owned(),
        writable: false,
    });
    let image = context.image.clone().unwrap_or_else(|| ImageRef::tagged(IMAGE, TABLE.release));
    step.in_container(image)
}

/// Weights may have to be drawn, converted and quantised first.
const READY_WITHIN_MS: u32 = 600_000;

fn model_arguments(context: &Context) -> Vec<Arg> {
    let mut arguments = vec![arg("--model=").model().into()];
    if context.model.source == ModelSource::Random {
        arguments.push(arg("--random-weights").into());
    }
    if let Some(seed) = context.seed {
        arguments.push(arg(format!("--seed={}", seed.unsigned_abs())).into());
    }
    arguments
}

fn series() -> [MetricSeries; 5] {
    [
        MetricSeries::gauge("candle:num_requests_running", "requests_running"),
        MetricSeries::gauge("candle:num_requests_waiting", "requests_waiting"),
        MetricSeries::gauge("candle:kv_cache_usage_ratio", "kv_cache_usage_ratio"),
        MetricSeries::counter("candle:prompt_tokens_total", "prompt_tokens"),
        MetricSeries::counter("candle:generation_tokens_total", "generation_tokens"),
    ]
}

#[cfg(test)]
mod tests {
    use llem_sdk::{ModelRef, testing};

    use super::*;

    #[test]
    fn the_plugin_keeps_the_contract() {
        assert_eq!(testing::check::<Candle>(), []);
    }

    #[test]
    fn a_server_gets_its_load_settings_as_arguments_and_the_sampling_in_each_body() {
        let config: Config =
            [("engine.threads", Value::Integer(2)), ("sampling.top_k", Value::Integer(50))]
                .into_iter()
                .collect();
        let plan = Candle::plan(&config, &testing::context(TABLE.release, Mode::Server)).unwrap();
        assert_eq!(
            testing::argv(&plan.steps[0]),
            [
                "serve",
                "--host={address}",
                "--port={port}",
                "--served-model-name=candle",
                "--model={model}",
                "--random-weights",
                "--seed=42",
                "--threads=2",
                "--dtype=f32",
                "--quantization=none",
                "--max-batch-size=16",
                "--prefill-chunk=512",
                "--kv-cache-dtype=auto",
            ]
        );
        let Role::Subject(subject) = &plan.steps[0].role else { panic!("a subject") };
        let Drive::Http(api) = &subject.drive else { panic!("a server") };
        let body = [
            Field::new("temperature", 0.0),
            Field::new("top_k", 50),
            Field::new("top_p", 1.0),
            Field::new("repetition_penalty", 1.0),
        ];
        assert_eq!((api.served_model.as_str(), &api.body[..]), ("candle", &body[..]));
        assert_eq!(subject.metrics.as_ref().unwrap().series.len(), 5);
    }

    #[test]
    fn a_batch_worker_has_no_address_and_takes_the_same_load_arguments() {
        let plan =
            Candle::plan(&Config::default(), &testing::context(TABLE.release, Mode::Offline))
                .unwrap();
        let argv = testing::argv(&plan.steps[0]);
        assert_eq!(argv[..3], ["batch", "--model={model}", "--random-weights"]);
        assert!(!argv.iter().any(|it| it.contains("{port}")), "{argv:?}");
    }

    #[test]
    fn a_hub_model_is_refused_with_what_would_do() {
        let mut context = testing::context(TABLE.release, Mode::Server);
        context.model =
            ModelRef { id: "org/name".to_owned(), revision: None, source: ModelSource::Hub };
        let error = Candle::plan(&Config::default(), &context).unwrap_err();
        assert!(error.hint.unwrap().contains("random:SHAPE"));
    }
}
