//! Parameters, rules and canonical configurations.

use llem_core::backend as core;

use super::{
    all, same_cases,
    value::{config, path, value},
};
use crate::{BadReply, bindings::exports::llem::backend::params as guest, check};

same_cases!(guest::UnknownPolicy, core::UnknownPolicy: Reject, PassThrough);
same_cases!(guest::Scale, core::Scale: Linear, Log, Pow2);
same_cases!(guest::Phase, core::Phase: Build, Load, Request);
same_cases!(guest::Severity, core::Severity: Error, Warning, Coerce, Dormant);

/// A plugin's schema.
pub(crate) fn schema(it: guest::Schema) -> Result<core::Schema, BadReply> {
    Ok(core::Schema {
        release: it.release,
        sections: it
            .sections
            .into_iter()
            .map(|it| core::Section { id: it.id, title: it.title, doc: it.doc })
            .collect(),
        parameters: it.parameters.into_iter().map(parameter).collect::<Result<_, _>>()?,
        rules: it.rules.into_iter().map(rule).collect::<Result<_, _>>()?,
        has_code_rules: it.has_code_rules,
        unknown: it.unknown.into(),
        extra: it.extra,
    })
}

/// A plugin's canonical configurations, one for each that was asked for.
pub(crate) fn canonicals(
    all: Vec<guest::Canonical>,
    asked: usize,
) -> Result<Vec<core::Canonical>, BadReply> {
    let converted: Result<_, _> = all
        .into_iter()
        .map(|it| {
            let findings = it.findings.into_iter().map(finding).collect::<Result<_, _>>()?;
            Ok(core::Canonical { config: config(it.config)?, findings })
        })
        .collect();
    check::canonicals(converted?, asked)
}

fn parameter(it: guest::Parameter) -> Result<core::Parameter, BadReply> {
    let at = &it.path;
    Ok(core::Parameter {
        types: it.types.into_iter().map(|it| param_type(at, it)).collect::<Result<_, _>>()?,
        nullable: it.nullable,
        default: match it.default {
            guest::DefaultValue::Required => core::DefaultValue::Required,
            guest::DefaultValue::Engine(note) => core::DefaultValue::Engine(note),
            guest::DefaultValue::Fixed(it) => core::DefaultValue::Fixed(value(at, it)?),
        },
        doc: it.doc,
        unit: it.unit,
        phase: it.phase.into(),
        modes: all(it.modes),
        native: it.native,
        energy_relevant: it.energy_relevant,
        suggested: it.suggested.into_iter().map(|it| value(at, it)).collect::<Result<_, _>>()?,
        since: it.since,
        until: it.until,
        deprecated: it.deprecated,
        source: it.source,
        extra: it.extra,
        path: path(&it.path)?,
    })
}

fn param_type(at: &str, it: guest::ParamType) -> Result<core::ParamType, BadReply> {
    Ok(match it {
        guest::ParamType::Boolean => core::ParamType::Boolean,
        guest::ParamType::Integer(it) => integer(it),
        guest::ParamType::Number(it) => number(it),
        guest::ParamType::Text(it) => text(it),
        guest::ParamType::Choice(it) => choice(at, it)?,
        guest::ParamType::Items(it) => core::ParamType::Items {
            item: Box::new(item_type(at, it.item)?),
            min_items: it.min_items,
            max_items: it.max_items,
        },
        guest::ParamType::Object => core::ParamType::Object,
    })
}

fn item_type(at: &str, it: guest::ItemType) -> Result<core::ParamType, BadReply> {
    Ok(match it {
        guest::ItemType::Boolean => core::ParamType::Boolean,
        guest::ItemType::Integer(it) => integer(it),
        guest::ItemType::Number(it) => number(it),
        guest::ItemType::Text(it) => text(it),
        guest::ItemType::Choice(it) => choice(at, it)?,
        guest::ItemType::Object => core::ParamType::Object,
    })
}

fn integer(it: guest::IntRange) -> core::ParamType {
    core::ParamType::Integer {
        min: it.min,
        max: it.max,
        multiple_of: it.multiple_of,
        scale: it.scale.into(),
    }
}

fn number(it: guest::FloatRange) -> core::ParamType {
    core::ParamType::Number {
        min: it.min,
        max: it.max,
        exclusive_min: it.exclusive_min,
        exclusive_max: it.exclusive_max,
        scale: it.scale.into(),
    }
}

fn text(it: guest::TextRule) -> core::ParamType {
    core::ParamType::Text { pattern: it.pattern, max_len: it.max_len, format: it.format }
}

fn choice(at: &str, choices: Vec<guest::Choice>) -> Result<core::ParamType, BadReply> {
    let choices =
        choices.into_iter().map(|it| Ok(core::Choice { value: value(at, it.value)?, doc: it.doc }));
    Ok(core::ParamType::Choice(choices.collect::<Result<_, _>>()?))
}

fn rule(it: guest::Rule) -> Result<core::Rule, BadReply> {
    let effects = it.effects.into_iter().map(|it| {
        let becomes = it.becomes.map(|becomes| value(&it.path, becomes)).transpose()?;
        Ok(core::Effect { path: path(&it.path)?, becomes })
    });
    Ok(core::Rule {
        id: it.id,
        severity: it.severity.into(),
        when: it.when,
        effects: effects.collect::<Result<_, _>>()?,
        message: it.message,
        source: it.source,
    })
}

fn finding(it: guest::Finding) -> Result<core::Finding, BadReply> {
    Ok(core::Finding {
        severity: it.severity.into(),
        effective: it.effective.map(|effective| value(&it.rule, effective)).transpose()?,
        path: it.path.as_deref().map(path).transpose()?,
        rule: it.rule,
        message: it.message,
    })
}
