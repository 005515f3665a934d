//! What every plugin must keep, whatever its engine.

use std::{collections::BTreeSet, fmt};

use super::context;
use crate::{
    Backend, Config, DefaultValue, Descriptor, EnvValue, ItemType, LaunchPlan, ParamType,
    Parameter, Permission, Program, Role, Schema, Step, Value,
};

/// A way in which a plugin breaks the contract.
///
/// ```
/// # use llem_sdk::{prelude::*, testing};
/// struct Empty;
/// impl Backend for Empty {
///     fn describe() -> Descriptor {
///         Descriptor::new("Empty!", "Empty", "1.0.0", "Has no modes, no runners and no releases.")
///     }
///     fn releases() -> Vec<EngineRelease> {
///         Vec::new()
///     }
///     fn schema(release: &str) -> Result<Schema, Error> {
///         Err(Error::unknown_release(release))
///     }
///     fn plan(_: &Config, _: &Context) -> Result<LaunchPlan, Error> {
///         Err(Error::unsupported("nothing can be started"))
///     }
/// }
/// let flaws: Vec<String> = testing::check::<Empty>().iter().map(ToString::to_string).collect();
/// assert_eq!(flaws[0], "id `Empty!` is not `[a-z][a-z0-9-]{0,31}`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything in which a plugin breaks the contract, as far as data tells.
///
/// Checks the identity, each release's schema (unique paths, sections that exist, defaults and
/// suggestions that are allowed, effects on known paths) and, for each release and mode, the plan
/// of the empty configuration with the required settings' suggestions (one subject, last; only
/// what the descriptor allows).
///
/// An example is at [`Server`](crate::Server), one of a broken plugin at [`Flaw`].
pub fn check<B: Backend>() -> Vec<Flaw> {
    let mut flaws = Flaws(Vec::new());
    let descriptor = B::describe();
    check_identity(&descriptor, &mut flaws);
    let releases = B::releases();
    flaws.unless(!releases.is_empty(), || "`releases` is empty".to_owned());
    for release in &releases {
        let schema = match B::schema(&release.id) {
            Ok(schema) => schema,
            Err(error) => {
                flaws.add(format!("`schema` refuses release `{}`: {}", release.id, error.message));
                continue;
            }
        };
        flaws.unless(schema.release == release.id, || {
            format!("the schema of `{}` says that it is of `{}`", release.id, schema.release)
        });
        check_schema(&schema, &mut flaws);
        for mode in &release.modes {
            let mut context = context(&release.id, *mode);
            context.runner = descriptor.runners.first().copied().unwrap_or(context.runner);
            match B::plan(&required(&schema), &context) {
                Ok(plan) => check_plan(&plan, &descriptor, &mut flaws),
                Err(error) => flaws.add(format!(
                    "`plan` refuses the defaults in mode {mode:?}: {}",
                    error.message
                )),
            }
        }
    }
    flaws.unless(B::schema("no such release").is_err(), || {
        "`schema` accepts an unknown release".to_owned()
    });
    flaws.0
}

struct Flaws(Vec<Flaw>);

impl Flaws {
    fn add(&mut self, flaw: String) {
        self.0.push(Flaw(flaw));
    }

    fn unless(&mut self, holds: bool, flaw: impl FnOnce() -> String) {
        if !holds {
            self.add(flaw());
        }
    }
}

fn required(schema: &Schema) -> Config {
    let needed = schema.parameters.iter().filter(|it| it.default == DefaultValue::Required);
    needed.filter_map(|it| Some((it.path.clone(), it.suggested.first()?.clone()))).collect()
}

fn check_identity(descriptor: &Descriptor, flaws: &mut Flaws) {
    let id = &descriptor.id;
    let ok = id.len() <= 32
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    flaws.unless(ok, || format!("id `{id}` is not `[a-z][a-z0-9-]{{0,31}}`"));
    flaws.unless(!descriptor.modes.is_empty(), || "no mode is supported".to_owned());
    flaws.unless(!descriptor.runners.is_empty(), || "no runner is supported".to_owned());
}

fn check_schema(schema: &Schema, flaws: &mut Flaws) {
    let sections: BTreeSet<&str> = schema.sections.iter().map(|it| it.id.as_str()).collect();
    let mut paths = BTreeSet::new();
    for parameter in &schema.parameters {
        let path = parameter.path.as_str();
        flaws.unless(paths.insert(path), || format!("`{path}` is listed twice"));
        let section = path.split_once('.').map_or("", |(section, _)| section);
        flaws.unless(sections.contains(section), || format!("`{path}` is in no listed section"));
        flaws.unless(!parameter.types.is_empty(), || format!("`{path}` has no type"));
        flaws.unless(!parameter.doc.trim().is_empty(), || format!("`{path}` has no documentation"));
        let fixed = match &parameter.default {
            DefaultValue::Fixed(value) => Some(value),
            DefaultValue::Required | DefaultValue::Engine(_) => None,
        };
        for value in fixed.into_iter().chain(&parameter.suggested) {
            flaws.unless(allows(parameter, value), || {
                format!("`{path}` does not allow its own value `{value}`")
            });
        }
    }
    let mut rules = BTreeSet::new();
    for rule in &schema.rules {
        flaws.unless(rules.insert(&rule.id), || format!("rule `{}` is listed twice", rule.id));
        for effect in &rule.effects {
            flaws.unless(paths.contains(effect.path.as_str()), || {
                format!("rule `{}` changes `{}`, which is not listed", rule.id, effect.path)
            });
        }
    }
}

fn allows(parameter: &Parameter, value: &Value) -> bool {
    if *value == Value::Null {
        return parameter.nullable;
    }
    parameter.types.iter().any(|it| match it {
        ParamType::Boolean => item_allows(&ItemType::Boolean, value),
        ParamType::Integer(range) => item_allows(&ItemType::Integer(*range), value),
        ParamType::Number(range) => item_allows(&ItemType::Number(*range), value),
        ParamType::Text(rule) => item_allows(&ItemType::Text(rule.clone()), value),
        ParamType::Choice(choices) => item_allows(&ItemType::Choice(choices.clone()), value),
        ParamType::Items(_) => {
            matches!(value, Value::Json(json) if json.trim_start().starts_with('['))
        }
        ParamType::Object => item_allows(&ItemType::Object, value),
    })
}

fn item_allows(kind: &ItemType, value: &Value) -> bool {
    match (kind, value) {
        (ItemType::Boolean, Value::Boolean(_)) | (ItemType::Text(_), Value::Text(_)) => true,
        (ItemType::Integer(range), Value::Integer(it)) => {
            range.min.is_none_or(|min| min <= *it)
                && range.max.is_none_or(|max| *it <= max)
                && range.multiple_of.is_none_or(|divisor| divisor != 0 && it % divisor == 0)
        }
        (ItemType::Number(_), Value::Integer(it)) => {
            i32::try_from(*it).is_ok_and(|it| item_allows(kind, &Value::Number(it.into())))
        }
        (ItemType::Number(range), Value::Number(it)) => {
            it.is_finite()
                && range
                    .min
                    .is_none_or(|min| if range.exclusive_min { min < *it } else { min <= *it })
                && range
                    .max
                    .is_none_or(|max| if range.exclusive_max { *it < max } else { *it <= max })
        }
        (ItemType::Choice(choices), value) => choices.iter().any(|choice| choice.value == *value),
        (ItemType::Object, Value::Json(json)) => json.trim_start().starts_with('{'),
        _ => false,
    }
}

fn check_plan(plan: &LaunchPlan, descriptor: &Descriptor, flaws: &mut Flaws) {
    let subjects = plan.steps.iter().filter(|step| matches!(step.role, Role::Subject(_))).count();
    let last = matches!(plan.steps.last().map(|step| &step.role), Some(Role::Subject(_)));
    flaws.unless(subjects == 1 && last, || {
        format!("{subjects} subjects in the plan, one is wanted, as the last step")
    });
    if plan.extra.iter().any(|(key, _)| key == "attach") {
        let may = descriptor.permissions.iter().any(|it| matches!(it, Permission::Network(_)));
        return flaws.unless(may, || {
            "the plan attaches to an engine, and the descriptor does not ask for the network"
                .to_owned()
        });
    }
    for step in &plan.steps {
        check_step(step, descriptor, flaws);
    }
}

fn check_step(step: &Step, descriptor: &Descriptor, flaws: &mut Flaws) {
    let id = &step.id;
    let granted = |wanted: &dyn Fn(&Permission) -> bool| descriptor.permissions.iter().any(wanted);
    let program = match &step.command.program {
        Program::Named(name) => {
            granted(&|it| matches!(it, Permission::Program(pattern) if covers(pattern, name)))
        }
        Program::Bundled(name) => {
            granted(&|it| matches!(it, Permission::Bundled(pattern) if covers(pattern, name)))
        }
        Program::Entrypoint => step.image.is_some(),
    };
    flaws.unless(program, || {
        format!("step `{id}` runs a program that the descriptor does not ask for")
    });
    if let Some(image) = &step.image {
        let ok = granted(
            &|it| matches!(it, Permission::Image(pattern) if covers(pattern, &image.repository)),
        );
        flaws.unless(ok, || {
            format!(
                "step `{id}` uses image `{}`, which the descriptor does not ask for",
                image.repository
            )
        });
    }
    for var in &step.env {
        let ok = match &var.value {
            EnvValue::Literal(_) => granted(
                &|it| matches!(it, Permission::EnvSet(pattern) if covers(pattern, &var.name)),
            ),
            EnvValue::Pass => granted(
                &|it| matches!(it, Permission::EnvPass(pattern) if covers(pattern, &var.name)),
            ),
            EnvValue::Secret(name) => {
                granted(&|it| matches!(it, Permission::Secret(pattern) if covers(pattern, name)))
            }
        };
        flaws.unless(ok, || {
            format!("step `{id}` sets `{}`, which the descriptor does not ask for", var.name)
        });
    }
    flaws.unless(step.readiness.deadline_ms > 0, || {
        format!("step `{id}` has no time to become ready")
    });
}

fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
