//! Holds a plugin to the contract: loads its component, calls everything it exports, and says what to
//! mend by the id of the rule.
//!
//! Reproducible: what is drawn at random comes from a fixed seed. Starts no engine: a plan is judged as
//! data, by the same policy that judges it before a launch.

mod canonical;
mod draw;
mod identity;
mod parse;
mod plans;
mod report;
mod rules;
mod schema;

pub use report::{Flaw, Report};
pub use rules::{RULES, Rule};

use llem_core::backend::{
    Config, Context, DefaultValue, GpuFacts, ImageRef, Mode, ModelRef, ModelSource, Permission,
    Runner,
};
use llem_plugin::{CallError, Cause, LoadError, Plugin, PluginFault};
use report::Flaws;

/// Everything in which a plugin breaks the contract.
pub fn check(plugin: &Plugin) -> Report {
    let mut flaws = Flaws::default();
    let descriptor = match plugin.describe() {
        Ok(descriptor) => descriptor,
        Err(fault) => {
            flaws.fault(&fault, "");
            return flaws.report(plugin.name(), plugin.sha256());
        }
    };
    identity::check(&descriptor, &mut flaws);
    let releases = identity::releases(plugin, &descriptor, &mut flaws);
    for release in &releases {
        let schema = match plugin.schema(&release.id) {
            Ok(schema) => schema,
            Err(error) => {
                flaws.call("schema.missing", &error, &format!("release {}", release.id));
                continue;
            }
        };
        schema::check(&schema, &mut flaws);
        let subject = Subject { plugin, descriptor: &descriptor, release, schema: &schema };
        canonical::check(&subject, &mut flaws);
        plans::check(&subject, &mut flaws);
        parse::check(&subject, &mut flaws);
    }
    flaws.report(&descriptor.id, plugin.sha256())
}

/// The report on a component that can't even be loaded.
pub fn not_loaded(name: &str, error: &LoadError) -> Report {
    let mut flaws = Flaws::default();
    flaws.add("load.component", "", error.to_string());
    flaws.report(name, "")
}

/// A release of a plugin under test.
#[derive(Clone, Copy)]
struct Subject<'a> {
    plugin: &'a Plugin,
    descriptor: &'a llem_core::backend::Descriptor,
    release: &'a llem_core::backend::EngineRelease,
    schema: &'a llem_core::backend::Schema,
}

impl Subject<'_> {
    /// The least configuration: what must be given, with its first suggestion or first value.
    fn base(&self) -> Config {
        let needed =
            self.schema.parameters.iter().filter(|it| it.default == DefaultValue::Required);
        needed
            .filter_map(|it| {
                Some((
                    it.path.clone(),
                    draw::values(it, &mut draw::Dice::new(1)).into_iter().next()?,
                ))
            })
            .collect()
    }

    /// A context on a machine with eight large GPUs; `random` weights load everywhere.
    fn context(&self, mode: Mode, runner: Runner) -> Context {
        Context {
            release: self.release.id.clone(),
            mode,
            runner,
            model: ModelRef {
                id: "random:tiny-llama-15m".to_owned(),
                revision: None,
                source: ModelSource::Random,
            },
            // A release without an image runs in one that the study names.
            image: (runner == Runner::Container && self.release.image.is_none()).then(|| {
                ImageRef {
                    repository: "registry.example/engine".to_owned(),
                    tag: Some("1".to_owned()),
                    digest: None,
                }
            }),
            gpu: Some(GpuFacts {
                vendor: "nvidia".to_owned(),
                name: "NVIDIA H100 80GB HBM3".to_owned(),
                count: 8,
                memory_mib: 81_559,
                compute_capability: Some(90),
                driver: Some("580.00".to_owned()),
            }),
            secrets: self.secrets(),
            max_input_tokens: Some(128),
            max_output_tokens: Some(32),
            max_concurrency: Some(4),
            seed: Some(42),
            extra: Vec::new(),
        }
    }

    /// The secrets that the plugin asks for, all of them granted and set.
    fn secrets(&self) -> Vec<String> {
        let permissions = self.descriptor.permissions.iter();
        permissions
            .filter_map(
                |it| if let Permission::Secret(name) = it { Some(name.clone()) } else { None },
            )
            .collect()
    }

    /// Contexts in which plans are asked for: every mode of the release with every runner.
    fn contexts(&self) -> Vec<Context> {
        let runners = &self.descriptor.runners;
        let modes = self.release.modes.iter();
        modes.flat_map(|mode| runners.iter().map(|runner| self.context(*mode, *runner))).collect()
    }
}

/// The id of the rule that a fault breaks.
fn rule_of(fault: &PluginFault) -> &'static str {
    match fault.cause {
        Cause::Deadline { .. } => "limit.time",
        Cause::Memory { .. } => "limit.memory",
        Cause::Output { .. } => "limit.reply",
        Cause::Trap(_) => "call.trap",
        Cause::BadReply(_) if fault.function == "describe" => "identity.reply",
        Cause::BadReply(_) if fault.function == "releases" => "releases.reply",
        Cause::BadReply(_) if fault.function == "schema-of" => "schema.reply",
        Cause::BadReply(_) if fault.function == "canonicalise" => "canonical.reply",
        Cause::BadReply(_) if fault.function == "parse" => "parse.reply",
        Cause::BadReply(_) => "plan.reply",
    }
}

/// Whether a call failed because the plugin broke, not because it said no.
fn fault(error: &CallError) -> Option<&PluginFault> {
    if let CallError::Fault(fault) = error { Some(fault) } else { None }
}
