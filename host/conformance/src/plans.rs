//! Launch plans: there for the least configuration, pure, within the permissions, and different where a
//! parameter is.

use llem_core::backend::{
    Config, Context, Drive, LaunchPlan, Mode, Parameter, Permission, Role, UnknownPolicy,
};
use llem_launch::Grant;
use llem_plugin::CallError;
use regex::Regex;

use crate::{
    Subject, canonical,
    draw::{self, Dice},
    report::Flaws,
};

/// Configurations that are planned for each release, mode and runner, beside one of each parameter.
const DRAWN: usize = 24;
/// Values of a parameter that are tried until one changes the plan.
const VALUES: usize = 12;

/// Checks `plan`.
pub(crate) fn check(subject: &Subject<'_>, flaws: &mut Flaws) {
    let base = subject.base();
    let settled = canonical::settled(subject, &base).config().unwrap_or(base);
    let mut plans = Vec::new();
    for context in subject.contexts() {
        let at = place(&context);
        match plan(subject, &settled, &context, &at, flaws) {
            Some(Ok(plan)) => plans.push((context, plan)),
            Some(Err(error)) => flaws.call("plan.defaults", &error, &at),
            None => (),
        }
    }
    if let Some((context, _)) = plans.first() {
        drawn(subject, &settled, context, flaws);
    }
    for parameter in &subject.schema.parameters {
        reaches(subject, parameter, &settled, &plans, flaws);
    }
}

/// Plans of drawn configurations, on machines with and without GPUs and secrets.
fn drawn(subject: &Subject<'_>, base: &Config, context: &Context, flaws: &mut Flaws) {
    let mut dice = Dice::new(11);
    let bare = Context {
        gpu: None,
        max_concurrency: None,
        seed: None,
        secrets: Vec::new(),
        ..context.clone()
    };
    for number in 0..DRAWN {
        let config = draw::config(subject.schema, base, &mut dice);
        let Some(config) = canonical::settled(subject, &config).config() else { continue };
        let context = if number % 2 == 0 { context } else { &bare };
        // A refusal is an answer.
        drop(plan(subject, &config, context, &canonical::shown(&config), flaws));
    }
}

/// The plan, checked as data; none where the plugin broke.
fn plan(
    subject: &Subject<'_>,
    config: &Config,
    context: &Context,
    at: &str,
    flaws: &mut Flaws,
) -> Option<Result<LaunchPlan, CallError>> {
    flaws.tried("plans");
    let asked = || subject.plugin.plan(config, context);
    let first = asked();
    match &first {
        Err(error) => {
            if let Some(fault) = crate::fault(error) {
                flaws.fault(fault, at);
                return None;
            }
        }
        Ok(plan) => {
            flaws.unless(asked().ok().as_ref() == Some(plan), "plan.pure", at, || {
                "the second plan differs from the first".to_owned()
            });
            data(subject, plan, context, at, flaws);
        }
    }
    Some(first)
}

fn data(subject: &Subject<'_>, plan: &LaunchPlan, context: &Context, at: &str, flaws: &mut Flaws) {
    // A study gives an engine the secrets that the context names, and no others.
    let is_there = |it: &Permission| !matches!(it, Permission::Secret(name) if !context.secrets.contains(name));
    let permissions = subject.descriptor.permissions.iter().filter(|it| is_there(it));
    let grant = Grant::new(permissions.cloned().collect());
    // The image that a user names is allowed by that.
    let grant = context.image.iter().fold(grant, |grant, it| grant.with_image(&it.repository));
    for violation in llem_launch::check(plan, &grant) {
        let is_grant = violation.rule.ends_with("not-granted")
            || matches!(violation.rule, "network" | "program-never");
        let rule = if is_grant { "plan.permission" } else { "plan.form" };
        flaws.add(rule, at, violation.to_string());
    }
    for path in plan.effective.keys() {
        let known = subject.schema.parameter(path).is_some()
            || subject.schema.unknown == UnknownPolicy::PassThrough;
        flaws.unless(known, "plan.effective", at, || format!("`{path}` is no parameter"));
    }
    for step in &plan.steps {
        for signal in &step.signals {
            match Regex::new(&signal.pattern) {
                Ok(pattern) => {
                    let names: Vec<&str> = pattern.capture_names().flatten().collect();
                    for (group, _) in &signal.captures {
                        flaws.unless(names.contains(&group.as_str()), "plan.pattern", at, || {
                            format!("signal `{}` has no group `{group}`", signal.id)
                        });
                    }
                }
                Err(error) => {
                    flaws.add("plan.pattern", at, format!("signal `{}`: {error}", signal.id));
                }
            }
        }
        if let Role::Subject(it) = &step.role
            && matches!(it.drive, Drive::Http { .. })
        {
            flaws.unless(!step.readiness.probes.is_empty(), "plan.ready", at, || {
                format!("step `{}` has no readiness probe", step.id)
            });
        }
    }
}

/// Whether a parameter's value makes a difference to what is started, or is dropped for a reason.
fn reaches(
    subject: &Subject<'_>,
    parameter: &Parameter,
    base: &Config,
    plans: &[(Context, LaunchPlan)],
    flaws: &mut Flaws,
) {
    let dropped = subject
        .schema
        .rules
        .iter()
        .any(|rule| rule.effects.iter().any(|effect| effect.path == parameter.path));
    let modes = |mode: Mode| parameter.modes.is_empty() || parameter.modes.contains(&mode);
    let of_mode: Vec<_> = plans.iter().filter(|(context, _)| modes(context.mode)).collect();
    if dropped || of_mode.is_empty() {
        return;
    }
    let values = draw::values(parameter, &mut Dice::new(3));
    let tried = values.len().min(VALUES);
    for value in values.into_iter().take(VALUES) {
        let mut config = base.clone();
        config.insert(parameter.path.clone(), value);
        for (context, without) in &of_mode {
            flaws.tried("plans");
            match subject.plugin.plan(&config, context) {
                Ok(with) if !same(&with, without) => return,
                Ok(_) => (),
                Err(error) => match crate::fault(&error) {
                    Some(fault) => return flaws.fault(fault, &canonical::shown(&config)),
                    // What refuses a value has read it.
                    None => return,
                },
            }
        }
        // Refused or changed by rules or code: then it is known what becomes of it.
        if canonical::settled(subject, &config).config().as_ref() != Some(&config) {
            return;
        }
    }
    let places: Vec<String> = of_mode.iter().map(|(context, _)| place(context)).collect();
    flaws.add(
        "parameter.lost",
        parameter.path.as_str(),
        format!("none of {tried} values changes the plan ({})", places.join("; ")),
    );
}

/// Whether two plans start the same, whatever they say of it.
fn same(left: &LaunchPlan, right: &LaunchPlan) -> bool {
    let bare = |plan: &LaunchPlan| LaunchPlan {
        effective: Config::new(),
        notes: Vec::new(),
        ..plan.clone()
    };
    bare(left) == bare(right)
}

fn place(context: &Context) -> String {
    format!("release {}, {:?}, {:?}", context.release, context.mode, context.runner).to_lowercase()
}
