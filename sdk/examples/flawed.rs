//! A small, good plugin with one flaw at a time, for the conformance kit's tests. It is no example of a
//! plugin.
//!
//! The flaw is a text in the component's data that the tests write over, so that one component makes
//! many fixtures.

use std::sync::atomic::{AtomicI64, Ordering};

use llem_sdk::prelude::*;

static FLAW: [u8; 32] = *b"FLAW:none.......................";

/// Whether the component has this flaw.
fn has(flaw: &str) -> bool {
    let text = std::hint::black_box(&FLAW);
    text[5..].starts_with(flaw.as_bytes()) && text[5 + flaw.len()] == b'.'
}

/// The port of an engine that runs already, with `attach-PORT` in place of a flaw.
fn port() -> Option<u16> {
    let text = std::str::from_utf8(std::hint::black_box(&FLAW)).ok()?;
    text[5..].strip_prefix("attach-")?.trim_end_matches('.').parse().ok()
}

struct Flawed;

const SIZE: &str = "engine.size";

impl Backend for Flawed {
    fn describe() -> Descriptor {
        let id = if has("bad-id") { "Flawed!" } else { "flawed" };
        let version = if has("version") { "1" } else { "1.0.0" };
        let plugin = Descriptor::new(id, "Flawed", version, "Has one flaw at a time.")
            .with_modes(&[Mode::Server])
            .with_runners(&[Runner::Process])
            .allowing(Permission::Program("flawed-server".to_owned()))
            .allowing(Permission::EnvSet("FLAWED_*".to_owned()));
        if has("secret") {
            return plugin.allowing(Permission::Secret("flawed-key".to_owned()));
        }
        if port().is_some() || has("attach-starts") {
            plugin.allowing(Permission::Network("to an engine that runs already".to_owned()))
        } else {
            plugin
        }
    }

    fn releases() -> Vec<EngineRelease> {
        let covers = if has("covers") { ">=2.0.0" } else { ">=1.0.0, <1.1.0" };
        vec![EngineRelease::stable("1.0.0", covers, &[Mode::Server])]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        if release != TABLE.release && !has("any-release") {
            return Err(Error::unknown_release(release));
        }
        if has("slow") {
            loop {
                std::hint::black_box(());
            }
        }
        let mut schema = Schema { release: release.to_owned(), ..TABLE.to_schema() };
        let size = &mut schema.parameters[0];
        if has("undocumented") {
            size.doc.clear();
        }
        if has("huge-reply") {
            size.doc = "x".repeat(16 << 20);
        }
        if has("default") {
            size.default = llem_sdk::DefaultValue::Fixed(Value::Integer(0));
        }
        if has("rule") {
            "engine.sise == 7".clone_into(&mut schema.rules[0].when);
        }
        if has("unsettled") {
            let coerce = |id: &str, when: &str, to: i64| {
                let mut rule = schema.rules[0].clone();
                (rule.id, rule.when) = (id.to_owned(), when.to_owned());
                rule.severity = Severity::Coerce;
                rule.effects = vec![llem_sdk::Effect {
                    path: SIZE.to_owned(),
                    becomes: Some(Value::Integer(to)),
                }];
                rule
            };
            let rules =
                [coerce("one", "engine.size == 1", 2), coerce("two", "engine.size == 2", 1)];
            schema.rules.extend(rules);
        }
        if has("no-promise") {
            schema.has_code_rules = false;
        }
        Ok(schema)
    }

    fn canonicalise(_: &str, config: &mut Config, _: &mut Vec<Finding>) -> Result<(), Error> {
        static CALLS: AtomicI64 = AtomicI64::new(0);
        let size = config.integer(SIZE);
        if has("impure") {
            drop(config.set(SIZE, 1 + CALLS.fetch_add(1, Ordering::Relaxed) % 8));
        }
        if let (true, Some(size)) = (has("not-idempotent") || has("no-promise"), size) {
            drop(config.set(SIZE, (size + 1).min(64)));
        }
        Ok(())
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        let program = if has("program") { "bash" } else { "flawed-server" };
        let drive = Drive::completions(&context.model.id, TABLE.fields(config, Phase::Request));
        if let Some(port) = port() {
            let step = Step::attached("endpoint", "Endpoint", drive);
            let url = format!("http://127.0.0.1:{port}");
            return Ok(LaunchPlan::of(step, config).attached_to(url));
        }
        let mut step = Step::subject("serve", "Server", Program::Named(program.to_owned()), drive)
            .with_args([arg("--port=").port()])
            .ready_on_health("/health", 60_000);
        if !has("lost") {
            step = step.with_args(TABLE.arguments(config));
        }
        if has("variable") {
            step = step.with_env("LD_PRELOAD", "x");
        }
        if has("secret") {
            let value = EnvValue::Secret("flawed-key".to_owned());
            step = step.with_env_vars([EnvVar { name: "FLAWED_KEY".to_owned(), value }]);
        }
        if has("pattern") {
            step = step.with_signals([LogSignal::new("observe", "x", "(")]);
        }
        if has("unready") {
            step.readiness.probes.clear();
        }
        if has("memory") {
            drop(std::hint::black_box(vec![1_u8; 512 << 20]));
        }
        let plan = LaunchPlan::of(step, config);
        Ok(if has("attach-starts") { plan.attached_to("http://127.0.0.1:1") } else { plan })
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        if has("parse") {
            let first = output.log_head.lines().next().expect("an engine prints something");
            return Ok(Observation {
                engine_version: Some(first.to_owned()),
                ..Observation::default()
            });
        }
        Ok(Observation { failure: Failure::crash(output), ..Observation::default() })
    }
}

llem_sdk::export!(Flawed);

static TABLE: SchemaTable = SchemaTable {
    release: "1.0.0",
    sections: &[
        SectionDef { id: "engine", title: "Engine", doc: "How the engine starts." },
        SectionDef { id: "sampling", title: "Sampling", doc: "How tokens are drawn." },
    ],
    parameters: &[
        Param::new(SIZE, &[int(1, 64)], Fallback::Fixed(Val::Int(8))).doc("A size.").flag("--size"),
        Param::new("sampling.top_k", &[int(0, 100)], Fallback::Engine("all"))
            .doc("Tokens to draw from.")
            .request("top_k"),
    ],
    rules: &[RuleDef::error("flawed.seven", "engine.size == 7", "Seven is refused.")],
    code_rules: true,
    unknown: UnknownPolicy::Reject,
};
