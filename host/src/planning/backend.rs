//! Backends of a run: each plugin loaded once, with its release, schema, grant and environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use llem_core::{
    backend::{
        Canonical, Config, Context, Descriptor, ImageRef, LaunchPlan, Observation, Permission,
        RunOutput, Runner, Schema, StepReport,
    },
    study::{PluginUse, broken_rules},
};
use llem_launch::{Grant, HostEnvironment, Programs, secret_variable};
use llem_plugin::{CallError, Plugin, Registry};

use super::release::{self, Chosen};
use crate::{
    config,
    diagnostics::{Failure, printable},
    exit::ExitStatus,
    grants::Gate,
    machine,
    plugins::{Store, registry},
    runner::Environment,
};

/// A plugin that is ready to plan and to parse.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) id: String,
    pub(crate) sha256: String,
    pub(crate) descriptor: Descriptor,
    pub(crate) release: Chosen,
    pub(crate) schema: Schema,
    pub(crate) environment: Environment,
    /// The image that the user names.
    pub(crate) image: Option<ImageRef>,
    /// Content of the image that engines run in, where it was looked at.
    pub(crate) image_id: Option<String>,
    pub(crate) runner: Runner,
    plugin: Plugin,
}

/// Loads plugins by name or path.
#[derive(Debug)]
pub(crate) struct Backends {
    registry: Registry,
    gate: Gate,
    /// UUIDs of the GPUs that engines may use.
    gpus: Vec<String>,
    /// Processors that engines may use; none: those of the host.
    cores: Vec<usize>,
}

impl Backends {
    /// Finds plugins where they are; the gate decides what each may have started.
    pub(crate) fn new(gate: Gate) -> Result<Self, Failure> {
        let registry = registry().with_installed(Store::open()?.installed());
        Ok(Self { registry, gate, gpus: Vec::new(), cores: Vec::new() })
    }

    /// Keeps engines to these processors.
    pub(crate) fn with_cores(mut self, cores: Vec<usize>) -> Self {
        self.cores = cores;
        self
    }

    /// Gives engines these GPUs, by UUID.
    pub(crate) fn with_gpus(mut self, gpus: Vec<String>) -> Self {
        self.gpus = gpus;
        self
    }

    /// Names of the plugins that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        self.registry.list().into_iter().map(|(name, _)| name).collect()
    }

    /// Loads a plugin and says who it is.
    pub(crate) fn open(&self, name: &str) -> Result<(Plugin, Descriptor), Failure> {
        let plugin = self.registry.load(name).map_err(|error| {
            let failure = Failure::new(ExitStatus::Usage, &error);
            failure.hint(
                "`llem plugin list` lists the backends; a path to a `.wasm` component works as well",
            )
        })?;
        let descriptor = plugin.describe().map_err(broken)?;
        Ok((plugin, descriptor))
    }

    /// Which engine of a plugin is installed here; none where the plugin has no probe.
    pub(crate) fn installed(&self, name: &str) -> Result<Option<Chosen>, Failure> {
        let (plugin, descriptor) = self.open(name)?;
        let probes = plugin.version_probes().map_err(broken)?;
        if probes.is_empty() {
            return Ok(None);
        }
        let releases = plugin.releases().map_err(broken)?;
        let grant = Grant::new(self.gate.verdict(&plugin, &descriptor)?.granted);
        let wanted = PluginUse::of(&descriptor.id);
        let environment = Environment {
            programs: programs(&wanted)?,
            host: host_environment(&wanted, Vec::new()),
            grant,
        };
        let found = release::installed(&probes, &environment);
        release::choose(&releases, None, found)
            .map(Some)
            .map_err(|it| Failure::message(ExitStatus::Plugin, it))
    }

    /// Loads a plugin for a study. `probe` looks for the installed engine, which may start a program.
    pub(crate) fn backend(
        &self,
        wanted: &PluginUse,
        name: &str,
        probe: bool,
    ) -> Result<Arc<Backend>, Failure> {
        let (plugin, descriptor) = self.open(name)?;
        let runner = runner(wanted, &descriptor)?;
        let grant =
            self.gate.admit(&plugin, &descriptor, |it| is_needed(it, &wanted.secrets, runner))?;
        let image = wanted.image.as_deref().map(image).transpose()?;
        // Naming an image for a plugin is allowing it.
        let grant = image.iter().fold(grant, |grant, it| grant.with_image(&it.repository));
        let mut host = host_environment(wanted, self.gpus.clone());
        if probe {
            secrets_are_there(wanted, &host)?;
        }
        host.directories = grant.directories().map(Path::to_owned).collect();
        host.cores.clone_from(&self.cores);
        host.secrets.retain(|name, _| grant.secret(name));
        let environment = Environment { grant, programs: programs(wanted)?, host };
        let releases = plugin.releases().map_err(broken)?;
        let probes = if probe { plugin.version_probes().map_err(broken)? } else { Vec::new() };
        let pinned = wanted.release.as_deref();
        let inside = match (runner, release::image_of(&releases, pinned, image.as_ref())) {
            (Runner::Container, Some(image)) if probe => {
                Some(release::in_image(&probes, image, &environment)?)
            }
            _ => None,
        };
        let installed = match &inside {
            Some(inside) => inside.version.clone(),
            None if pinned.is_none() && runner == Runner::Process => {
                release::installed(&probes, &environment)
            }
            None => None,
        };
        let wrong = |it: String| {
            Failure::message(ExitStatus::Usage, format!("plugin `{}`: {it}", descriptor.id))
        };
        let mut release = release::choose(&releases, pinned, installed).map_err(wrong)?;
        if release.installed.is_none()
            && pinned.is_none()
            && runner == Runner::Process
            && !probes.is_empty()
        {
            release.note = Some(format!(
                "plugin `{}` found no installed engine, so the schema of its newest release, {}, is used; an engine in an \
                 environment of its own is found by `venv`, another is measured with `release`",
                descriptor.id, release.id
            ));
        }
        if let Some(version) = inside.as_ref().and_then(|it| it.version.as_deref())
            && pinned.is_some()
        {
            release::fits(&releases, &release, version).map_err(|it| {
                wrong(it).hint("name an image of that release, or leave `release` out of the study")
            })?;
        }
        let schema = plugin.schema(&release.id).map_err(broken)?;
        sound(&descriptor.id, &schema)?;
        Ok(Arc::new(Backend {
            id: descriptor.id.clone(),
            sha256: plugin.sha256().to_owned(),
            descriptor,
            release,
            schema,
            environment,
            image,
            image_id: inside.map(|it| it.id),
            runner,
            plugin,
        }))
    }
}

impl Backend {
    /// The launch plan of a configuration.
    pub(crate) fn plan(&self, config: &Config, context: &Context) -> Result<LaunchPlan, CallError> {
        self.plugin.plan(config, context)
    }

    /// The plan again, after a prepare step.
    pub(crate) fn revise(
        &self,
        config: &Config,
        context: &Context,
        plan: &LaunchPlan,
        done: &[StepReport],
    ) -> Result<LaunchPlan, CallError> {
        self.plugin.revise(config, context, plan, done)
    }

    /// The plugin's own rules on a batch of configurations.
    pub(crate) fn canonicalise(&self, configs: &[Config]) -> Result<Vec<Canonical>, String> {
        self.plugin.canonicalise(&self.release.id, configs).map_err(|it| it.to_string())
    }

    /// What the plugin reads from an engine's output; a fault is a sentence for the record.
    pub(crate) fn parse(
        &self,
        config: &Config,
        context: &Context,
        output: &RunOutput,
    ) -> Result<Observation, String> {
        self.plugin
            .parse(config, context, output)
            .map_err(|it| format!("the engine's output was not read: {it}"))
    }
}

/// A rule that can't be used would refuse nothing in silence, so a plugin that brings one is not used.
fn sound(plugin: &str, schema: &Schema) -> Result<(), Failure> {
    let broken = broken_rules(schema);
    if broken.is_empty() {
        return Ok(());
    }
    let listed: Vec<String> = broken
        .iter()
        .take(10)
        .map(|(rule, why)| format!("  `{rule}`: {}", printable(why)))
        .collect();
    let message = format!(
        "{} rules of the plugin `{plugin}` for release {} can't be used\n{}",
        broken.len(),
        schema.release,
        listed.join("\n")
    );
    Err(Failure::message(ExitStatus::Plugin, message)
        .hint("report this to the plugin's author; `llem plugin test` finds all of its faults"))
}

/// A plugin that fails where it has nothing to fail at.
pub(crate) fn broken(error: impl Into<CallError>) -> Failure {
    let error = error.into();
    match &error {
        CallError::Backend(it) => {
            let failure = Failure::new(ExitStatus::Usage, &error);
            it.hint.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
        }
        CallError::Fault(_) => Failure::new(ExitStatus::Plugin, &error)
            .hint("report this to the plugin's author; other plugins are not affected"),
    }
}

fn programs(wanted: &PluginUse) -> Result<Programs, Failure> {
    let executable =
        std::env::current_exe().map_err(|it| Failure::new(ExitStatus::Environment, &it))?;
    // Engines start in a directory of their own, so what is relative has to be made absolute here.
    let absolute = |it: &String| std::path::absolute(it).unwrap_or_else(|_| PathBuf::from(it));
    let first: Vec<PathBuf> = wanted.venv.iter().map(absolute).collect();
    if let Some(missing) = first.iter().find(|it| !it.is_dir()) {
        let message = format!(
            "no directory `{}`, which `venv` of the plugin `{}` names",
            missing.display(),
            wanted.id
        );
        return Err(Failure::message(ExitStatus::Environment, message));
    }
    let path = std::env::var("PATH").ok();
    Ok(Programs::new(&first, path.as_deref()).with_bundled(executable))
}

/// A container only where it is asked for: until then a process is what every machine can start.
fn runner(wanted: &PluginUse, descriptor: &Descriptor) -> Result<Runner, Failure> {
    let chosen = wanted.runner.or(descriptor.runners.first().copied()).unwrap_or(Runner::Process);
    if descriptor.runners.contains(&chosen) {
        return Ok(chosen);
    }
    let message = format!("the plugin `{}` has no {chosen:?} runner", descriptor.id).to_lowercase();
    Err(Failure::message(ExitStatus::Usage, message))
}

/// Whether plans of a study can make use of a permission: engines get the secrets that the study lists, and images and
/// mounts are containers'.
fn is_needed(permission: &Permission, secrets: &[String], runner: Runner) -> bool {
    match permission {
        Permission::Secret(name) => secrets.contains(name),
        Permission::Image(_) | Permission::HostPath(_) => runner == Runner::Container,
        Permission::Program(_)
        | Permission::Bundled(_)
        | Permission::EnvSet(_)
        | Permission::EnvPass(_)
        | Permission::Network(_) => true,
    }
}

fn host_environment(wanted: &PluginUse, gpus: Vec<String>) -> HostEnvironment {
    let mut variables: BTreeMap<String, String> = std::env::vars().collect();
    // The attendants of containers are processes of their own, and know the configuration by their environment.
    for key in [&config::CONTAINER_ENGINE, &config::CONTAINER_NETWORK] {
        variables.extend(key.get().map(|it| (key.variable.to_owned(), it)));
    }
    let secrets = wanted
        .secrets
        .iter()
        .filter_map(|name| Some((name.clone(), variables.get(&secret_variable(name))?.clone())));
    let secrets = secrets.collect();
    HostEnvironment {
        pass: wanted.pass_env.clone(),
        secrets,
        directories: Vec::new(),
        model_cache: machine::hub_cache(),
        gpus,
        cores: Vec::new(),
        variables,
    }
}

/// Without a secret an engine fails late, and says little of why.
fn secrets_are_there(wanted: &PluginUse, host: &HostEnvironment) -> Result<(), Failure> {
    let Some(missing) = wanted.secrets.iter().find(|it| !host.secrets.contains_key(*it)) else {
        return Ok(());
    };
    let variable = secret_variable(missing);
    let message = format!(
        "the plugin `{}` is to have the secret `{missing}`, but the variable `{variable}` is not set",
        wanted.id
    );
    let hint = format!("set `{variable}`, or take `{missing}` off the plugin's `secrets`");
    Err(Failure::message(ExitStatus::Environment, message).hint(hint))
}

/// `REPOSITORY[:TAG][@DIGEST]`, as a study names an image.
fn image(text: &str) -> Result<ImageRef, Failure> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest.to_owned())),
        None => (text, None),
    };
    // A colon before the last slash is that of a registry's port.
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
        Some(_) | None => (name, None),
    };
    if repository.is_empty() || digest.as_ref().is_some_and(|it| !it.starts_with("sha256:")) {
        let message =
            format!("`{text}` is no image: write `repository:tag` or `repository@sha256:...`");
        return Err(Failure::message(ExitStatus::Usage, message));
    }
    Ok(ImageRef { repository: repository.to_owned(), tag, digest })
}

/// Whether a plugin is named by a path instead of a name.
pub(crate) fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|it| it == "wasm")
}

#[cfg(test)]
mod tests {
    use llem_core::backend::{Rule, Severity, UnknownPolicy};

    use super::*;

    #[test]
    fn only_what_the_plans_of_a_study_can_use_is_needed() {
        let secrets = ["hf-token".to_owned()];
        let needed = |permission, runner| is_needed(&permission, &secrets, runner);
        let secret = |name: &str| Permission::Secret(name.to_owned());
        assert!(needed(secret("hf-token"), Runner::Process));
        assert!(!needed(secret("another"), Runner::Container));
        let image = || Permission::Image("docker.io/x/y".to_owned());
        assert!(needed(image(), Runner::Container) && !needed(image(), Runner::Process));
        assert!(needed(Permission::Program("x".to_owned()), Runner::Container));
    }

    #[test]
    fn a_plugin_with_a_rule_that_can_not_be_used_is_refused_by_the_rules_name() {
        let rule = |when: &str| Rule {
            id: "heads".to_owned(),
            severity: Severity::Error,
            when: when.to_owned(),
            effects: Vec::new(),
            message: "heads do not divide".to_owned(),
            source: None,
        };
        let mut schema = Schema {
            release: "1".to_owned(),
            sections: Vec::new(),
            parameters: Vec::new(),
            rules: vec![rule("model.num_attention_heads % gpu.count != 0")],
            has_code_rules: false,
            unknown: UnknownPolicy::Reject,
            extra: Vec::new(),
        };
        assert!(sound("toy", &schema).is_ok());
        schema.rules[0] = rule("model.num_attention_heads %% gpu.count");
        let failure = sound("toy", &schema).expect_err("it does not parse");
        assert_eq!(failure.status(), ExitStatus::Plugin);
        assert!(format!("{failure:?}").contains("heads"), "{failure:?}");
    }
}
