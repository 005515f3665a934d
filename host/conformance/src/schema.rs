//! The parameter space as data: documented, consistent, with rules that can be used.

use std::collections::BTreeSet;

use llem_core::{
    backend::{DefaultValue, ParamType, Schema, Severity},
    study::{broken_rules, refusal},
};
use regex::Regex;

use crate::report::Flaws;

/// Checks a schema.
pub(crate) fn check(schema: &Schema, flaws: &mut Flaws) {
    flaws.tried("schemas");
    let listed: BTreeSet<&str> = schema.sections.iter().map(|it| it.id.as_str()).collect();
    let used: BTreeSet<&str> = schema.parameters.iter().map(|it| it.path.section()).collect();
    for section in listed.symmetric_difference(&used) {
        let lacks =
            if listed.contains(section) { "no parameter is in it" } else { "it is not listed" };
        flaws.add("schema.section", section, lacks);
    }
    for section in schema.sections.iter().filter(|it| it.doc.trim().is_empty()) {
        flaws.add("schema.doc", &section.id, "the section has no documentation");
    }
    for it in &schema.parameters {
        flaws.tried("parameters");
        let at = it.path.as_str();
        flaws.unless(!it.doc.trim().is_empty(), "schema.doc", at, || {
            "the parameter has no documentation".to_owned()
        });
        it.types.iter().for_each(|kind| types(at, kind, flaws));
        if let DefaultValue::Fixed(value) = &it.default
            && let Some(reason) = refusal(it, value)
        {
            flaws.add("schema.default", at, reason);
        }
        for reason in it.suggested.iter().filter_map(|value| refusal(it, value)) {
            flaws.add("schema.suggested", at, reason);
        }
    }
    rules(schema, flaws);
}

fn types(at: &str, kind: &ParamType, flaws: &mut Flaws) {
    match kind {
        ParamType::Text { pattern: Some(pattern), .. } => {
            if let Err(error) = Regex::new(pattern) {
                flaws.add("schema.pattern", at, error.to_string());
            }
        }
        ParamType::Choice(choices) => {
            for (place, choice) in choices.iter().enumerate() {
                let is_first = choices[..place].iter().all(|it| it.value != choice.value);
                flaws.unless(is_first, "schema.choice", at, || {
                    format!("`{}` is there twice", choice.value)
                });
            }
        }
        ParamType::Items { item, .. } => types(at, item, flaws),
        ParamType::Boolean
        | ParamType::Integer { .. }
        | ParamType::Number { .. }
        | ParamType::Text { pattern: None, .. }
        | ParamType::Object => (),
    }
}

fn rules(schema: &Schema, flaws: &mut Flaws) {
    for (rule, reason) in broken_rules(schema) {
        flaws.add("rules.compile", &rule, reason);
    }
    for rule in &schema.rules {
        flaws.tried("rules");
        flaws.unless(!rule.message.trim().is_empty(), "schema.doc", &rule.id, || {
            "the rule has no message".to_owned()
        });
        let changes = matches!(rule.severity, Severity::Coerce | Severity::Dormant);
        flaws.unless(changes != rule.effects.is_empty(), "rules.effects", &rule.id, || {
            format!("a {:?} rule with {} effects", rule.severity, rule.effects.len())
        });
        for effect in &rule.effects {
            if let Some(parameter) = schema.parameter(&effect.path)
                && let Some(value) = &effect.becomes
                && let Some(reason) = refusal(parameter, value)
            {
                flaws.add("rules.value", &rule.id, reason);
            }
        }
    }
}
