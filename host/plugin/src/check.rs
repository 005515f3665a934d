//! Whether a reply can be believed: what must be unique, finite, within limits and not empty.
//!
//! Whether a plan is granted is the launcher's to judge, whether a rule makes sense the study's.

use std::collections::BTreeSet;

use llem_core::backend::{
    Canonical, DefaultValue, Descriptor, EngineRelease, LaunchPlan, ParamType, Parameter, Role,
    Schema, Value,
};

use regex::RegexBuilder;

use crate::BadReply;

const MAX_PARAMETERS: usize = 10_000;
const MAX_RULES: usize = 2_000;
const MAX_STEPS: usize = 16;
const MAX_RELEASES: usize = 256;
const MAX_FINDINGS: usize = 2_000;
const MAX_TEXT_BYTES: usize = 4096;
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A descriptor's id, and the length of what people read.
pub(crate) fn descriptor(it: Descriptor) -> Result<Descriptor, BadReply> {
    let id = &it.id;
    let ok = id.len() <= 32
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !ok {
        return Err(BadReply::Id(id.chars().take(64).collect()));
    }
    text("title", &it.title)?;
    text("summary", &it.summary)?;
    Ok(it)
}

/// Releases, each once.
pub(crate) fn releases(all: Vec<EngineRelease>) -> Result<Vec<EngineRelease>, BadReply> {
    at_most("releases", all.len(), MAX_RELEASES)?;
    unique("release", all.iter().map(|it| it.id.as_str()))?;
    Ok(all)
}

/// A schema of the release that was asked for.
pub(crate) fn schema(it: Schema, asked: &str) -> Result<Schema, BadReply> {
    if it.release != asked {
        return Err(BadReply::OtherRelease { asked: asked.to_owned(), found: it.release });
    }
    at_most("parameters", it.parameters.len(), MAX_PARAMETERS)?;
    at_most("rules", it.rules.len(), MAX_RULES)?;
    unique("section", it.sections.iter().map(|it| it.id.as_str()))?;
    unique("parameter", it.parameters.iter().map(|it| it.path.as_str()))?;
    unique("rule", it.rules.iter().map(|it| it.id.as_str()))?;
    it.parameters.iter().try_for_each(parameter)?;
    it.rules.iter().try_for_each(|rule| {
        text(&rule.id, &rule.when)?;
        text(&rule.id, &rule.message)
    })?;
    Ok(it)
}

fn parameter(it: &Parameter) -> Result<(), BadReply> {
    let path = it.path.as_str();
    if it.types.is_empty() {
        return Err(BadReply::NoType(path.to_owned()));
    }
    if !it.types.iter().all(is_satisfiable) {
        return Err(BadReply::NothingAllowed(path.to_owned()));
    }
    it.types.iter().try_for_each(|it| pattern(path, it))?;
    text(path, &it.doc)?;
    if let DefaultValue::Fixed(value) = &it.default {
        finite(path, value)?;
    }
    it.suggested.iter().try_for_each(|value| finite(path, value))
}

/// A pattern has to be one, and no larger when compiled than a study can bear.
fn pattern(path: &str, it: &ParamType) -> Result<(), BadReply> {
    match it {
        ParamType::Text { pattern: Some(pattern), .. } => {
            let compiled = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
            compiled.map(drop).map_err(|_| BadReply::Pattern(path.to_owned()))
        }
        ParamType::Items { item, .. } => self::pattern(path, item),
        _ => Ok(()),
    }
}

fn is_satisfiable(it: &ParamType) -> bool {
    match it {
        ParamType::Integer { min, max, multiple_of, .. } => {
            min.zip(*max).is_none_or(|(min, max)| min <= max) && *multiple_of != Some(0)
        }
        ParamType::Number { min, max, .. } => {
            min.is_none_or(f64::is_finite)
                && max.is_none_or(f64::is_finite)
                && min.zip(*max).is_none_or(|(min, max)| min <= max)
        }
        ParamType::Choice(choices) => !choices.is_empty(),
        ParamType::Items { item, min_items, max_items } => {
            is_satisfiable(item) && min_items.zip(*max_items).is_none_or(|(min, max)| min <= max)
        }
        ParamType::Boolean | ParamType::Text { .. } | ParamType::Object => true,
    }
}

/// Canonical configurations, one for each that was asked for.
pub(crate) fn canonicals(all: Vec<Canonical>, asked: usize) -> Result<Vec<Canonical>, BadReply> {
    if all.len() != asked {
        return Err(BadReply::Count { asked, found: all.len() });
    }
    for it in &all {
        at_most("findings", it.findings.len(), MAX_FINDINGS)?;
        for finding in &it.findings {
            text(&finding.rule, &finding.message)?;
        }
    }
    Ok(all)
}

/// A plan's steps: few, each once, the last and only it the subject.
pub(crate) fn plan(it: LaunchPlan) -> Result<LaunchPlan, BadReply> {
    at_most("steps", it.steps.len(), MAX_STEPS)?;
    let found = it.steps.iter().filter(|step| matches!(step.role, Role::Subject(_))).count();
    let last = matches!(it.steps.last().map(|step| &step.role), Some(Role::Subject(_)));
    if found != 1 || !last {
        return Err(BadReply::Subjects { found, steps: it.steps.len() });
    }
    unique("step", it.steps.iter().map(|step| step.id.as_str()))?;
    Ok(it)
}

/// A finite number, or no number.
pub(crate) fn finite(at: &str, value: &Value) -> Result<(), BadReply> {
    match value {
        Value::Number(number) if !number.is_finite() => Err(BadReply::NotFinite(at.to_owned())),
        _ => Ok(()),
    }
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), BadReply> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(BadReply::Twice { what, name: name.to_owned() });
        }
    }
    Ok(())
}

fn at_most(what: &'static str, found: usize, allowed: usize) -> Result<(), BadReply> {
    if found <= allowed { Ok(()) } else { Err(BadReply::TooMany { what, found, allowed }) }
}

fn text(at: &str, text: &str) -> Result<(), BadReply> {
    let (found, allowed) = (text.len(), MAX_TEXT_BYTES);
    if found <= allowed {
        Ok(())
    } else {
        Err(BadReply::TooLong { at: at.to_owned(), found, allowed })
    }
}
