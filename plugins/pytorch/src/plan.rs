//! From a configuration to what runs.
//!
//! Every setting travels under its whole path, in the `load` message or with each batch, and the
//! worker refuses those that it does not know.

use llem_sdk::prelude::*;

use crate::{launch, schema::TABLE, worker};

/// A cold start loads tens of gigabytes and may compile.
const READY_WITHIN_MS: u32 = 1_800_000;

/// Also the number of prompts in one message, so the worker is always told of it.
const BATCH_SIZE: &str = "engine.batch_size";

/// What to run.
pub(crate) fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
    if context.mode == Mode::Server {
        return Err(Error::unsupported(
            "`transformers serve` refuses requests for exact output lengths",
        )
        .with_hint("use offline mode"));
    }
    let mut step = worker(config, context)
        .with_gpus(gpus(config, context))
        .with_signals(crate::observe::signals());
    step.readiness.deadline_ms = READY_WITHIN_MS;
    step = environment(step, config, context);
    if context.runner == Runner::Container {
        step = contained(step, context)?;
    }
    let mut effective = config.clone();
    if !packed(config) {
        effective.set(BATCH_SIZE, batch_size(config));
    }
    Ok(LaunchPlan::of(step, &effective))
}

fn worker(config: &Config, context: &Context) -> Step {
    let mut load = vec![Field::new("model.source", launch::source(context.model.source))];
    if let Some(revision) = &context.model.revision
        && config.get("engine.revision").is_none()
    {
        load.push(Field::new("engine.revision", revision.clone()));
    }
    let mut body = Vec::new();
    for (param, value) in TABLE.given(config) {
        let section = param.path.split('.').next().unwrap_or_default();
        match (section, param.phase) {
            ("env", _) => {}
            _ if param.path == BATCH_SIZE => {}
            // The draft model is loaded with the model, though `generate` gets it with each batch.
            (_, Phase::Request) if param.path != "generation.assistant_model" => {
                body.push(Field::new(param.path, value.clone()));
            }
            _ => load.push(Field::new(param.path, value.clone())),
        }
    }
    let size = (!packed(config)).then(|| batch_size(config));
    load.extend(size.map(|size| Field::new(BATCH_SIZE, size)));
    let drive = Drive::batch(load, body).with_batch_size(size);
    let step = Step::subject("worker", "transformers worker", launch::python(), drive)
        .with_args([arg("-B"), arg("").file(worker::MAIN)]);
    worker::with_files(step)
}

/// Whether the engine forms its batches itself.
fn packed(config: &Config) -> bool {
    config.text("engine.api") == Some("generate_batch")
}

fn batch_size(config: &Config) -> u32 {
    config.integer(BATCH_SIZE).and_then(|it| u32::try_from(it).ok()).unwrap_or(1)
}

/// One GPU where there is one, all where layers are spread over them, none where the study says so.
fn gpus(config: &Config, context: &Context) -> u32 {
    let there = context.gpu.as_ref().map_or(0, |gpu| gpu.count);
    match config.text("engine.device_map") {
        Some("cpu") => 0,
        Some("auto" | "balanced" | "balanced_low_0" | "sequential") => there,
        _ => there.min(1),
    }
}

fn environment(step: Step, config: &Config, context: &Context) -> Step {
    let step = step.with_env_vars(TABLE.environment(config));
    let step = if config.get("env.TOKENIZERS_PARALLELISM").is_none() {
        step.with_env("TOKENIZERS_PARALLELISM", "0")
    } else {
        step
    };
    launch::with_hub(step, context)
}

fn contained(step: Step, context: &Context) -> Result<Step, Error> {
    let Some(image) = &context.image else {
        return Err(Error::unsupported("there is no official image with transformers and torch")
            .with_hint("name an image that has both in the study: `plugin.pytorch.image`"));
    };
    Ok(launch::with_mounts(step.in_container(image.clone()), context))
}

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;
    use crate::{schema, values};

    fn step(config: &Config) -> Step {
        let context = testing::context("5.23.0", Mode::Offline);
        plan(config, &context).expect("the settings reach the engine").steps.remove(0)
    }

    fn batch(step: &Step) -> &BatchApi {
        match &step.role {
            Role::Subject(Subject { drive: Drive::Batch(batch), .. }) => batch,
            other => panic!("expected a batch worker, found {other:?}"),
        }
    }

    fn names(fields: &[Field]) -> Vec<&str> {
        fields.iter().map(|field| field.name.as_str()).collect()
    }

    #[test]
    fn a_worker_gets_its_settings_by_whole_path_and_its_batch_size_apart() {
        let config = Config::from_iter([
            ("engine.attn_implementation", Value::from("sdpa")),
            ("engine.batch_size", Value::from(64)),
            ("engine.dtype", Value::from("bfloat16")),
            ("env.OMP_NUM_THREADS", Value::from(4)),
            ("generation.assistant_model", Value::from("draft")),
            ("sampling.temperature", Value::from(0.7)),
            ("torch.num_threads", Value::from(2)),
        ]);
        let step = step(&config);
        assert_eq!(testing::argv(&step), ["-B", "{file worker/main.py}"]);
        let batch = batch(&step);
        assert_eq!(batch.batch_size, Some(64));
        assert_eq!(names(&batch.body), ["sampling.temperature"]);
        assert_eq!(
            names(&batch.load),
            [
                "model.source",
                "engine.attn_implementation",
                "engine.dtype",
                "generation.assistant_model",
                "torch.num_threads",
                "engine.batch_size",
            ]
        );
        let env: Vec<&str> = step.env.iter().map(|var| var.name.as_str()).collect();
        assert_eq!(env, ["OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE"]);
        assert!(step.files.iter().any(|file| file.name == "worker/llem_worker/protocol.py"));
    }

    #[test]
    fn continuous_batching_gets_the_whole_workload_at_once() {
        let config = Config::from_iter([("engine.api", "generate_batch")]);
        assert_eq!(batch(&step(&config)).batch_size, None);
        assert_eq!(batch(&step(&Config::default())).batch_size, Some(1));
    }

    #[test]
    fn there_is_no_server_mode() {
        let error =
            plan(&Config::default(), &testing::context("5.23.0", Mode::Server)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }

    #[test]
    fn a_container_needs_an_image_that_the_study_names() {
        let mut context = testing::context("5.23.0", Mode::Offline);
        context.runner = Runner::Container;
        assert!(plan(&Config::default(), &context).is_err());
        context.image = Some(ImageRef::tagged("example.org/torch", "1"));
        let step = plan(&Config::default(), &context).unwrap().steps.remove(0);
        assert_eq!(step.mounts.len(), 3);
    }

    #[test]
    fn every_parameter_changes_the_launch_or_is_refused_by_a_rule() {
        let plain = step(&Config::default());
        for param in TABLE.parameters.iter().filter(|param| !values::refused(&TABLE, param.path)) {
            let config = Config::from_iter([(param.path, values::other_than_default(param))]);
            assert_ne!(step(&config), plain, "`{}` reaches nothing", param.path);
        }
    }

    #[test]
    fn every_rule_of_a_refused_parameter_names_a_listed_one() {
        let schema = schema::of("5.23.0").unwrap();
        for rule in schema.rules.iter().filter(|it| it.id.contains(".not-settable.")) {
            let path = rule.when.trim_start_matches("given(").trim_end_matches(')');
            assert!(TABLE.parameter(path).is_some(), "{path}");
        }
    }
}
