//! Canonical forms: pure, idempotent, within the schema.

use std::{collections::BTreeMap, fmt::Write as _};

use llem_core::{
    backend::{Canonical, Config, UnknownPolicy, Value},
    study::{self, Facts, refusal},
};

use crate::{
    Subject,
    draw::{self, Dice},
    report::Flaws,
};

/// Configurations that are drawn for each release.
const DRAWN: usize = 48;

/// Checks `canonicalise`, alone and after the rules.
pub(crate) fn check(subject: &Subject<'_>, flaws: &mut Flaws) {
    let mut dice = Dice::new(7);
    let base = subject.base();
    let mut configs = vec![base.clone()];
    configs.extend((0..DRAWN).map(|_| draw::config(subject.schema, &base, &mut dice)));
    for config in &configs {
        flaws.tried("configurations");
        code(subject, config, &configs[0], flaws);
        settles(subject, config, flaws);
    }
}

/// The plugin's own code on one configuration.
fn code(subject: &Subject<'_>, config: &Config, other: &Config, flaws: &mut Flaws) {
    let at = shown(config);
    let asked = [config.clone(), other.clone(), config.clone()];
    let Some(first) = canonicalise(subject, &asked, &at, flaws) else { return };
    let Some(alone) = canonicalise(subject, &asked[..1], &at, flaws) else { return };
    let (canonical, twin) = (&first[0], &first[2]);
    flaws.unless(canonical == twin && *canonical == alone[0], "canonical.pure", &at, || {
        let forms = [canonical, twin, &alone[0]].map(|it| shown(&it.config));
        format!("it became {}, {} and {}", forms[0], forms[1], forms[2])
    });
    if let Some(again) = canonicalise(subject, std::slice::from_ref(&canonical.config), &at, flaws)
    {
        flaws.unless(again[0].config == canonical.config, "canonical.idempotent", &at, || {
            format!("it became {}, then {}", shown(&canonical.config), shown(&again[0].config))
        });
    }
    let changed = canonical.config != *config || !canonical.findings.is_empty();
    flaws.unless(subject.schema.has_code_rules || !changed, "canonical.promise", &at, || {
        format!("it became {}", shown(&canonical.config))
    });
    for (path, value) in &canonical.config {
        match subject.schema.parameter(path) {
            Some(parameter) => {
                if let Some(reason) = refusal(parameter, value) {
                    flaws.add("canonical.values", path.as_str(), reason);
                }
            }
            None if subject.schema.unknown == UnknownPolicy::PassThrough => (),
            None => flaws.add("canonical.values", path.as_str(), "the schema does not list it"),
        }
    }
}

fn canonicalise(
    subject: &Subject<'_>,
    configs: &[Config],
    at: &str,
    flaws: &mut Flaws,
) -> Option<Vec<Canonical>> {
    match subject.plugin.canonicalise(&subject.release.id, configs) {
        Ok(canonical) => Some(canonical),
        // A plugin may refuse a configuration; what it may not is to break.
        Err(error) => {
            if let Some(fault) = crate::fault(&error) {
                flaws.fault(fault, at);
            }
            None
        }
    }
}

/// The host's rules and the plugin's code together: what they settle on stays as it is.
fn settles(subject: &Subject<'_>, config: &Config, flaws: &mut Flaws) {
    let once = match settled(subject, config) {
        Settled::To(once) => once,
        Settled::Circles(why) => return flaws.add("rules.settle", &shown(config), why),
        Settled::Refused => return,
    };
    if let Settled::To(twice) = settled(subject, &once) {
        flaws.unless(once == twice, "rules.settle", &shown(config), || {
            format!("the rules make {}, then {} of it", shown(&once), shown(&twice))
        });
    }
}

/// What rules and code make of a configuration.
pub(crate) enum Settled {
    /// This.
    To(Config),
    /// An error.
    Refused,
    /// Nothing that stays, and why.
    Circles(String),
}

impl Settled {
    /// What it settled on.
    pub(crate) fn config(self) -> Option<Config> {
        if let Self::To(config) = self { Some(config) } else { None }
    }
}

/// What a study's configuration comes to after rules and code.
pub(crate) fn settled(subject: &Subject<'_>, config: &Config) -> Settled {
    expanded(subject, config).map_or(Settled::Refused, |mut expansion| {
        match (expansion.experiments.pop(), expansion.skipped.pop()) {
            (Some(experiment), _) => Settled::To(experiment.config()),
            // The host's name for rules that undo each other.
            (None, Some(skipped)) if &*skipped.rule == "rules" => {
                Settled::Circles(skipped.message.to_string())
            }
            (None, _) => Settled::Refused,
        }
    })
}

/// A study of one explicit experiment, so that every setting counts as varied.
fn expanded(subject: &Subject<'_>, config: &Config) -> Option<study::Expansion> {
    let id = &subject.descriptor.id;
    let mut text = format!("model.id = \"gpt2\"\n[plugin.{id}]\n[[experiment]]\n");
    for (path, value) in config {
        writeln!(text, "\"{id}.{path}\" = {}", toml_of(value)?).ok()?;
    }
    let study = study::parse(&text, "drawn.toml").ok()?;
    let schemas = BTreeMap::from([(id.clone(), subject.schema.clone())]);
    let mut code = |_: &str, configs: Vec<Config>| {
        subject.plugin.canonicalise(&subject.release.id, &configs).map_err(|it| it.to_string())
    };
    study::expand(&study, &schemas, &Facts::default(), &mut code).ok()
}

/// A value as a study spells it.
fn toml_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("{ null = true }".to_owned()),
        other => {
            let json: serde_json::Value = other.clone().into();
            Some(toml::Value::try_from(json).ok()?.to_string())
        }
    }
}

/// A configuration on one line.
pub(crate) fn shown(config: &Config) -> String {
    let settings: Vec<String> =
        config.iter().map(|(path, value)| format!("{path}={value}")).collect();
    if settings.is_empty() { "no settings".to_owned() } else { settings.join(" ") }
}
