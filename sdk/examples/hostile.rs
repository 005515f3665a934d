//! A plugin that misbehaves in the way that it is asked to, for the host's tests to hold against.
//!
//! `schema` reads the misdeed from the release, `plan` from the model's id, `parse` from the head
//! of the log, `canonicalise` from `engine.misdeed`. It is no example of a good plugin.

use llem_sdk::prelude::*;

struct Hostile;

const MISDEED: &str = "engine.misdeed";

impl Backend for Hostile {
    fn describe() -> Descriptor {
        Descriptor::new("hostile", "Hostile", "1.0.0", "Does what no plugin may do.")
            .with_modes(&[Mode::Server])
            .with_runners(&[Runner::Process])
            .allowing(Permission::Program("true".to_owned()))
    }

    fn releases() -> Vec<EngineRelease> {
        vec![EngineRelease::stable("good", ">=1", &[Mode::Server])]
    }

    fn schema(release: &str) -> Result<Schema, Error> {
        commit(release);
        let mut schema = Schema { release: release.to_owned(), ..TABLE.to_schema() };
        let twin = schema.parameters[1].clone();
        match release {
            "duplicate-path" => schema.parameters.push(twin),
            "bad-path" => schema.parameters[0].path.push_str("..x"),
            "nan-default" => {
                schema.parameters[1].default =
                    llem_sdk::DefaultValue::Fixed(Value::Number(f64::NAN));
            }
            "bad-json" => schema.parameters[0].suggested = vec![Value::Json("{".to_owned())],
            "empty-range" => schema.parameters[1].types = vec![empty_range()],
            "no-type" => schema.parameters[0].types.clear(),
            "long-text" => schema.parameters[0].doc = "x".repeat(5000),
            "other-release" => schema.release.push('x'),
            "many-parameters" => schema.parameters.extend((0..10_000).map(|number| {
                llem_sdk::Parameter { path: format!("engine.p{number}"), ..twin.clone() }
            })),
            "huge-reply" => schema.parameters[0].doc = "x".repeat(16 << 20),
            "refuse" => return Err(Error::unknown_release(release).with_hint("ask for `good`")),
            _ => {}
        }
        Ok(schema)
    }

    fn canonicalise(
        _: &str,
        config: &mut Config,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Error> {
        let misdeed = config.text(MISDEED).unwrap_or_default().to_owned();
        commit(&misdeed);
        match misdeed.as_str() {
            "nan" => drop(config.set("engine.size", f64::INFINITY)),
            "twice" => {
                let mut settings = Vec::from(std::mem::take(config));
                settings.extend(settings.clone());
                *config = Config::from(settings);
            }
            "find" => findings.push(Finding {
                severity: Severity::Warning,
                path: Some(MISDEED.to_owned()),
                rule: "hostile.find".to_owned(),
                message: "found".to_owned(),
                effective: None,
            }),
            _ => {}
        }
        Ok(())
    }

    fn plan(config: &Config, context: &Context) -> Result<LaunchPlan, Error> {
        commit(&context.model.id);
        let step = Step::subject(
            "serve",
            "Server",
            Program::Named("true".to_owned()),
            Drive::completions("m", vec![]),
        );
        let mut plan = LaunchPlan::of(step, config);
        match context.model.id.as_str() {
            "no-subject" => plan.steps.clear(),
            "two-subjects" => plan.steps.push(plan.steps[0].clone()),
            "nan-scale" => {
                let series = MetricSeries::gauge("x", "y").scaled(f64::NAN, "z");
                plan.steps[0] = plan.steps[0].clone().with_prometheus("/metrics", [series]);
            }
            "many-steps" => {
                let prepare = Prepare { produces: None };
                let program = Program::Named("true".to_owned());
                for number in 0..20 {
                    let id = format!("p{number}");
                    plan =
                        plan.after(Step::prepare(&id, "Step", program.clone(), prepare.clone(), 1));
                }
            }
            _ => {}
        }
        Ok(plan)
    }

    fn parse(_: &Config, _: &Context, output: &RunOutput) -> Result<Observation, Error> {
        commit(&output.log_head);
        let value = if output.log_head == "nan" { f64::NAN } else { 1.0 };
        Ok(Observation {
            measures: vec![Measure::new("x_seconds", value, "s")],
            ..Observation::default()
        })
    }
}

llem_sdk::export!(Hostile);

/// Does the misdeed, if it is one that any function can do.
fn commit(misdeed: &str) {
    match misdeed {
        "spin" => loop {
            std::hint::black_box(());
        },
        "trap" => panic!("as asked"),
        "recurse" => drop(recurse(1)),
        "grow" => drop(std::hint::black_box(vec![1_u8; 512 << 20])),
        "log-flood" => {
            for number in 0..10_000 {
                llem_sdk::log::warn(&format!("line {number}"));
            }
        }
        "log-forever" => loop {
            llem_sdk::log::warn("again");
        },
        "log-escape" => llem_sdk::log::warn("red \u{1b}[31m and \u{202e}turned\r\n"),
        "log-long" => llem_sdk::log::warn(&"x".repeat(1 << 20)),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "the misdeed")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(depth + 1)
}

fn empty_range() -> llem_sdk::ParamType {
    llem_sdk::ParamType::Integer(llem_sdk::IntRange {
        min: Some(2),
        max: Some(1),
        multiple_of: None,
        scale: Scale::Linear,
    })
}

static TABLE: SchemaTable = SchemaTable {
    release: "good",
    sections: &[SectionDef { id: "engine", title: "Engine", doc: "Everything." }],
    parameters: &[
        Param::new(MISDEED, &[text()], Fallback::Engine("none")).doc("What to do."),
        Param::new("engine.size", &[any_number()], Fallback::Fixed(Val::Num(1.0))).doc("A number."),
    ],
    rules: &[],
    code_rules: true,
    unknown: UnknownPolicy::Reject,
};
