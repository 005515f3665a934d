//! From a configuration to what runs.
//!
//! Engine settings go into one file of LLM arguments (JSON, which is YAML), because the server has
//! flags for few of them and the file wins over the flags. The TensorRT backend gets a build step
//! whose engine the host caches; later steps load that engine in place of the model.

use llem_sdk::{ArgBuilder, Setting, prelude::*};

use crate::{
    launch, nested, observe,
    refusal::{conflict, gpus, not_in_this_mode},
    schema::TABLE,
    worker,
};

/// Loading, autotuning and graph capture.
const READY_WITHIN_MS: u32 = 1_800_000;

/// Building an engine of a large model.
const BUILT_WITHIN_MS: u32 = 3_600_000;

/// What multiplies to the number of GPUs.
const DEGREES: &[&str] = &[
    "engine.tensor_parallel_size",
    "engine.pipeline_parallel_size",
    "engine.context_parallel_size",
];

const OPTIONS: &str = "options.yaml";
const BUILD_OPTIONS: &str = "build-options.json";
const ENGINE: &str = "engine";

/// What to run.
pub(crate) fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
    let settings = Settings::of(config, context)?;
    let builds = settings.backend == "tensorrt";
    let mut step = match context.mode {
        Mode::Offline => settings.offline(builds),
        Mode::Server => settings.server(context, builds)?,
    };
    step = step.with_signals(observe::signals()).with_grace(30_000);
    step.readiness.deadline_ms = READY_WITHIN_MS;
    let finish = |step: Step| -> Result<Step, Error> {
        let step = environment(step.with_gpus(gpus(config, DEGREES)?), config, context);
        Ok(if context.runner == Runner::Container { contained(step, context) } else { step })
    };
    let mut effective = config.clone();
    effective.set("engine.backend", settings.backend.as_str());
    let plan = LaunchPlan::of(finish(step)?, &effective);
    if !builds {
        return Ok(plan);
    }
    Ok(plan.after(finish(settings.build(context)?)?))
}

/// A configuration by where its parts go.
struct Settings<'c> {
    backend: String,
    /// Arguments of the LLM class at run time.
    engine: Vec<(&'c str, &'c Value)>,
    /// The same, as fields under their whole path.
    load: Vec<Field>,
    /// What a built engine depends on.
    build: Vec<(String, &'c Value)>,
    body: Vec<Field>,
    flags: Vec<ArgBuilder>,
    key: Vec<Setting>,
    random: bool,
    revision: Option<String>,
}

impl<'c> Settings<'c> {
    fn of(config: &'c Config, context: &Context) -> Result<Self, Error> {
        let mut it = Self {
            backend: config.text("engine.backend").unwrap_or("pytorch").to_owned(),
            engine: Vec::new(),
            load: vec![Field::new("model.source", launch::source(context.model.source))],
            build: Vec::new(),
            body: Vec::new(),
            flags: Vec::new(),
            key: vec![Setting {
                path: "model.id".to_owned(),
                value: context.model.id.as_str().into(),
            }],
            random: context.model.source == ModelSource::Random,
            revision: context.model.revision.clone(),
        };
        for (param, value) in TABLE.given(config) {
            it.add(param, value, context.mode)?;
        }
        nested::object(&it.engine).map_err(|name| conflict(&name))?;
        Ok(it)
    }

    fn add(&mut self, param: &'static Param, value: &'c Value, mode: Mode) -> Result<(), Error> {
        let (section, name) = param.path.split_once('.').unwrap_or_default();
        let builds = self.backend == "tensorrt";
        match section {
            "env" => return Ok(()),
            "engine" if name == "backend" => {
                self.load.push(Field::new(param.path, value.clone()));
                return Ok(());
            }
            "engine" | "build" => {}
            "server" if mode == Mode::Server => {
                self.flags.push(flag(name, value));
                return Ok(());
            }
            "sampling" => return self.add_sampling(param, name, value, mode),
            _ => return Err(not_in_this_mode(param.path)),
        }
        if builds {
            let setting = Setting { path: param.path.to_owned(), value: value.clone() };
            self.key.push(setting);
        }
        match (section, param.phase) {
            ("build", _) if builds => self.build.push((format!("build_config.{name}"), value)),
            ("engine", Phase::Build) if builds => self.build.push((name.to_owned(), value)),
            ("engine", _) => {
                self.engine.push((name, value));
                self.load.push(Field::new(param.path, value.clone()));
                if builds {
                    self.build.push((name.to_owned(), value));
                }
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    format!("`{}` needs `engine.backend`: tensorrt", param.path),
                )
                .at(param.path));
            }
        }
        Ok(())
    }

    fn add_sampling(
        &mut self,
        param: &Param,
        name: &str,
        value: &Value,
        mode: Mode,
    ) -> Result<(), Error> {
        match mode {
            Mode::Offline => self.body.push(Field::new(param.path, value.clone())),
            Mode::Server if param.modes == [Mode::Offline] => {
                return Err(not_in_this_mode(param.path));
            }
            Mode::Server => self.body.push(Field::new(name, value.clone())),
        }
        Ok(())
    }

    fn offline(&self, builds: bool) -> Step {
        let drive = Drive::batch(self.load.clone(), self.body.clone());
        let step = Step::subject("worker", "TensorRT-LLM worker", launch::python(), drive)
            .with_args([arg("-B"), arg("").file(worker::MAIN)])
            .with_args(builds.then(|| arg("--engine")))
            .with_args(builds.then(|| arg("").artefact(ENGINE)));
        worker::with_files(step)
    }

    fn server(&self, context: &Context, builds: bool) -> Result<Step, Error> {
        let program = Program::Named("trtllm-serve".to_owned());
        let drive = Drive::completions(&context.model.id, self.body.clone());
        let model = if builds { arg("").artefact(ENGINE) } else { arg("").model() };
        Ok(Step::subject("serve", "trtllm-serve", program, drive)
            .with_args([
                model,
                arg(format!("--backend={}", self.backend)),
                arg("--host=").address(),
                arg("--port=").port(),
                arg("--extra_llm_api_options=").file(OPTIONS),
            ])
            .with_args(self.flags.clone())
            .with_file(OPTIONS, self.options(builds)?)
            .ready_on_health("/health", READY_WITHIN_MS)
            .with_prometheus("/prometheus/metrics", observe::series())
            .with_inspection(HttpRequest::get("version", "/version"))
            .with_inspection(HttpRequest::get("models", "/v1/models")))
    }

    /// The file of LLM arguments.
    fn options(&self, builds: bool) -> Result<String, Error> {
        let given = |name: &str| self.engine.iter().any(|(known, _)| *known == name);
        let mut fields = nested::fields(&self.engine).map_err(|name| conflict(&name))?;
        if !given("return_perf_metrics") {
            fields.push(Field::new("return_perf_metrics", true));
        }
        if self.random && !builds && !given("load_format") {
            fields.push(Field::new("load_format", "dummy"));
        }
        if let Some(revision) = self.revision.as_deref().filter(|_| !given("revision")) {
            fields.push(Field::new("revision", revision));
        }
        Ok(json_object(&fields) + "\n")
    }

    fn build(&self, context: &Context) -> Result<Step, Error> {
        let dummy = Value::from("dummy");
        let mut entries: Vec<(&str, &Value)> =
            self.build.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        if self.random && !entries.iter().any(|(name, _)| *name == "load_format") {
            entries.push(("load_format", &dummy));
        }
        let options = nested::object(&entries).map_err(|name| conflict(&name))?;
        let artefact = Artefact {
            id: ENGINE.to_owned(),
            key: self.key.clone(),
            must_contain: vec!["config.json".to_owned(), "rank0.engine".to_owned()],
            est_size_mib: None,
        };
        let prepare = Prepare { produces: Some(artefact) };
        let mut step =
            Step::prepare("build", "TensorRT engine", launch::python(), prepare, BUILT_WITHIN_MS)
                .with_args([
                    arg("-B"),
                    arg("").file(worker::BUILD),
                    arg("").model(),
                    arg("").artefact(ENGINE),
                    arg("").file(BUILD_OPTIONS),
                ])
                .with_file(BUILD_OPTIONS, options + "\n");
        if context.model.source == ModelSource::Hub {
            step.network = Network::Outbound;
        }
        Ok(worker::with_builder(step))
    }
}

fn flag(name: &str, value: &Value) -> ArgBuilder {
    arg(format!("--{name}={value}"))
}

fn environment(step: Step, config: &Config, context: &Context) -> Step {
    launch::with_hub(step.with_env_vars(TABLE.environment(config)), context)
}

fn contained(step: Step, context: &Context) -> Step {
    let image =
        context.image.clone().unwrap_or_else(|| ImageRef::tagged(crate::IMAGE, &context.release));
    let mut step = launch::with_mounts(step.in_container(image), context);
    let prepares = matches!(step.role, Role::Prepare(_));
    let uses_engine = step
        .command
        .args
        .iter()
        .flatten()
        .any(|part| matches!(part, ArgPart::Artefact(id) if id == ENGINE));
    if uses_engine {
        let source = MountSource::Artefact(ENGINE.to_owned());
        step.mounts.push(launch::mount(source, "/llem/engine", prepares));
    }
    step
}

#[cfg(test)]
mod tests {
    use llem_sdk::testing;

    use super::*;
    use crate::values;

    fn context(mode: Mode) -> Context {
        testing::context(crate::RELEASE, mode)
    }

    fn steps(config: &Config, mode: Mode) -> Vec<Step> {
        plan(config, &context(mode)).expect("the settings reach the engine").steps
    }

    fn file<'s>(step: &'s Step, name: &str) -> &'s str {
        let file = step.files.iter().find(|file| file.name == name).expect("the file is there");
        std::str::from_utf8(&file.contents).expect("it is text")
    }

    #[test]
    fn a_server_gets_one_file_of_options() {
        let config = Config::from_iter([
            ("engine.kv_cache_config.dtype", Value::from("fp8")),
            ("engine.kv_cache_config.enable_block_reuse", Value::from(false)),
            ("engine.max_batch_size", Value::from(64)),
            ("sampling.temperature", Value::from(0.5)),
            ("server.log_level", Value::from("warning")),
        ]);
        let step = steps(&config, Mode::Server).remove(0);
        assert_eq!(
            testing::argv(&step),
            [
                "{model}",
                "--backend=pytorch",
                "--host={address}",
                "--port={port}",
                "--extra_llm_api_options={file options.yaml}",
                "--log_level=warning",
            ]
        );
        assert_eq!(
            file(&step, OPTIONS),
            "{\"kv_cache_config\":{\"dtype\":\"fp8\",\"enable_block_reuse\":false},\"max_batch_size\":64,\"return_perf_metrics\":true,\"load_format\":\"dummy\"}\n"
        );
        let Role::Subject(Subject { drive: Drive::Http(api), .. }) = &step.role else {
            panic!("expected a server");
        };
        assert_eq!(api.body, [Field::new("temperature", 0.5)]);
    }

    #[test]
    fn the_tensorrt_backend_builds_an_engine_first_and_serves_that() {
        let config = Config::from_iter([
            ("build.max_batch_size", Value::from(8)),
            ("build.plugin_config.gemm_plugin", Value::from("auto")),
            ("engine.backend", Value::from("tensorrt")),
            ("engine.quant_config.quant_algo", Value::from("FP8")),
            ("engine.tensor_parallel_size", Value::from(2)),
        ]);
        for mode in [Mode::Server, Mode::Offline] {
            let steps = steps(&config, mode);
            let (build, subject) = (&steps[0], &steps[1]);
            let Role::Prepare(Prepare { produces: Some(artefact) }) = &build.role else {
                panic!("expected a build step");
            };
            let key: Vec<&str> = artefact.key.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(
                key,
                [
                    "model.id",
                    "build.max_batch_size",
                    "build.plugin_config.gemm_plugin",
                    "engine.quant_config.quant_algo",
                    "engine.tensor_parallel_size",
                ]
            );
            assert_eq!(
                file(build, BUILD_OPTIONS),
                "{\"build_config\":{\"max_batch_size\":8,\"plugin_config\":{\"gemm_plugin\":\"auto\"}},\"load_format\":\"dummy\",\"quant_config\":{\"quant_algo\":\"FP8\"},\"tensor_parallel_size\":2}\n"
            );
            assert!(testing::argv(subject).contains(&"{artefact engine}".to_owned()));
            assert_eq!((build.gpus.count, subject.gpus.count), (2, 2));
        }
    }

    #[test]
    fn a_build_setting_without_the_backend_that_builds_is_refused() {
        let config = Config::from_iter([("build.max_batch_size", 8)]);
        let error = plan(&config, &context(Mode::Server)).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("build.max_batch_size"));
    }

    #[test]
    fn a_container_is_the_default_and_mounts_what_the_step_uses() {
        let mut context = context(Mode::Server);
        context.runner = Runner::Container;
        let config = Config::from_iter([("engine.backend", "tensorrt")]);
        let plan = plan(&config, &context).unwrap();
        let writable: Vec<bool> = plan
            .steps
            .iter()
            .filter_map(|step| step.mounts.iter().find(|mount| mount.target == "/llem/engine"))
            .map(|mount| mount.writable)
            .collect();
        assert_eq!(writable, [true, false]);
    }

    #[test]
    fn every_parameter_changes_the_launch_of_a_mode_or_is_refused_by_a_rule() {
        for param in TABLE.parameters.iter().filter(|param| !values::refused(&TABLE, param.path)) {
            let reaches = ["pytorch", "tensorrt"].iter().any(|backend| {
                [Mode::Offline, Mode::Server].into_iter().any(|mode| {
                    let plain = Config::from_iter([("engine.backend", *backend)]);
                    let mut config = plain.clone();
                    config.set(param.path, values::other_than_default(param));
                    let before = plan(&plain, &context(mode)).expect("the backend alone is fine");
                    plan(&config, &context(mode)).is_ok_and(|after| after.steps != before.steps)
                })
            });
            assert!(reaches, "`{}` reaches nothing", param.path);
        }
    }
}
