//! The rules of one plugin and the exclusions of one study, compiled.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{
        Problem, Study,
        check::check,
        keys::KEYS,
        rules::{Compiled, Name, compile},
    },
    Undecided,
    drafts::Drafts,
    space::{ABSENT, Space},
};
use crate::backend::{Schema, Severity};

/// What a rule's match does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Force {
    Coerce,
    Dormant,
    Exclude,
    Error,
    Warning,
}

pub(super) struct Rule {
    pub(super) id: Arc<str>,
    pub(super) message: Arc<str>,
    pub(super) force: Force,
    pub(super) compiled: Compiled,
    pub(super) effects: Vec<(usize, u32)>,
    pub(super) live: bool,
    pub(super) memo: Option<Memo>,
    pub(super) applied: usize,
    pub(super) undecided: usize,
    /// Names that nobody knew the value of where it was first undecided.
    pub(super) unknown: Vec<String>,
    /// The last configuration that was counted.
    pub(super) counted: usize,
}

/// Outcomes by what the rule reads: value and whether the user gave it.
pub(super) struct Memo {
    pub(super) slots: Vec<(usize, usize)>,
    pub(super) outcomes: Vec<u8>,
}

/// The largest table of outcomes.
const MEMO: usize = 1 << 16;

/// Slots that rules treat specially.
pub(super) struct Names {
    pub(super) model: usize,
    pub(super) traffic: Vec<usize>,
}

pub(super) fn compile_rules(
    study: &Study,
    space: &mut Space<'_>,
    names: &Names,
    drafts: &mut Drafts,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let schema = space.schema;
    let mut rules = Vec::new();
    for rule in &schema.rules {
        let broken = |drafts: &mut Drafts, message: String| {
            let plugin = drafts.plugin();
            drafts.undecided.push(Undecided {
                plugin,
                rule: rule.id.clone(),
                message: rule.message.clone(),
                unknown: vec![message],
                configurations: 0,
            });
        };
        let compiled = match compile(&rule.when, &|path| rule_name(space, path), &|| known(space)) {
            Ok(compiled) => compiled,
            Err(fault) => {
                broken(drafts, fault.message);
                continue;
            }
        };
        let mut effects = Vec::new();
        for effect in &rule.effects {
            let Some(slot) = space.find(effect.path.as_str()) else {
                broken(drafts, format!("its effect names the unknown parameter `{}`", effect.path));
                continue;
            };
            let id = effect.becomes.as_ref().map_or(ABSENT, |value| {
                let value = space.slots[slot].parameter().and_then(|it| check(it, value).ok());
                let value = value.or_else(|| effect.becomes.clone()).expect("has a value");
                space.slots[slot].intern(&value)
            });
            effects.push((slot, id));
        }
        let force = match rule.severity {
            Severity::Error => Force::Error,
            Severity::Warning => Force::Warning,
            Severity::Coerce => Force::Coerce,
            Severity::Dormant => Force::Dormant,
        };
        rules.push(Rule::new(&rule.id, &rule.message, force, compiled, effects, names));
    }
    for exclude in &study.vary.excludes {
        let own = format!("{}.", space.plugin.id);
        let foreign = |path: &str| {
            let head = path.split_once('.').map(|(head, _)| head);
            study.named.iter().any(|id| *id != space.plugin.id && Some(id.as_str()) == head)
        };
        let resolve = |path: &str| match path.strip_prefix(&own) {
            Some(path) => {
                space.find(path).filter(|slot| space.slots[*slot].path().is_some()).map(Name::Slot)
            }
            None => space
                .find(path)
                .filter(|slot| space.slots[*slot].path().is_none())
                .map(Name::Slot)
                .or_else(|| fact_name(space, path).filter(|_| !foreign(path))),
        };
        let known = || {
            let own = space.schema.parameters.iter().map(|it| format!("{own}{}", it.path));
            own.chain(KEYS.iter().map(|key| key.path.to_owned())).collect()
        };
        match compile(&exclude.when, &resolve, &known) {
            Ok(compiled) => {
                let why = exclude.why.as_deref().unwrap_or(&exclude.when);
                rules.push(Rule::new("exclude", why, Force::Exclude, compiled, Vec::new(), names));
            }
            // An exclusion of another plugin's configurations.
            Err(_)
                if !exclude.when.contains(&own)
                    && exclude.when.split(|c: char| !is_path(c)).any(foreign) => {}
            Err(fault) => problems.push(study.source.problem(&exclude.span, fault)),
        }
    }
    rules
}

/// Whether a character can be part of a path.
fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn known(space: &Space<'_>) -> Vec<String> {
    space.paths().map(str::to_owned).collect()
}

/// What a name in a plugin's rule stands for.
fn rule_name(space: &Space<'_>, path: &str) -> Option<Name> {
    space.find(path).map(Name::Slot).or_else(|| fact_name(space, path))
}

fn fact_name(space: &Space<'_>, path: &str) -> Option<Name> {
    let own = path.split_once('.').is_some_and(|(head, _)| head == space.plugin.id);
    if own { None } else { fact(space.schema, path) }
}

/// A name that is neither a setting nor a section of them.
fn fact(schema: &Schema, path: &str) -> Option<Name> {
    let section = |head: &str| {
        schema.sections.iter().any(|it| it.id == head)
            || schema.parameters.iter().any(|it| it.path.section() == head)
    };
    match path.split_once('.') {
        None => (path == "mode").then(|| Name::Fact(path.to_owned())),
        // Only `model` is both: the study's keys, found before, and facts.
        Some(("workload" | "traffic", _)) => None,
        Some((head, _)) => (!section(head)).then(|| Name::Fact(path.to_owned())),
    }
}

/// Rules of a schema that can't be used, by id, and why: an expression that does not parse, a name or a function that
/// nobody has, an effect on a parameter that is not there.
pub fn broken_rules(schema: &Schema) -> Vec<(String, String)> {
    let paths: BTreeSet<&str> = schema.parameters.iter().map(|it| it.path.as_str()).collect();
    let resolve = |path: &str| {
        let setting = paths.contains(path) || KEYS.iter().any(|key| key.path == path);
        if setting { Some(Name::Slot(0)) } else { fact(schema, path) }
    };
    let known = || paths.iter().map(|path| (*path).to_owned()).collect();
    let mut broken = Vec::new();
    for rule in &schema.rules {
        if let Err(fault) = compile(&rule.when, &resolve, &known) {
            broken.push((rule.id.clone(), fault.message));
        }
        for effect in rule.effects.iter().filter(|it| !paths.contains(it.path.as_str())) {
            broken.push((
                rule.id.clone(),
                format!("its effect names the unknown parameter `{}`", effect.path),
            ));
        }
    }
    broken
}

impl Rule {
    fn new(
        id: &str,
        message: &str,
        force: Force,
        mut compiled: Compiled,
        effects: Vec<(usize, u32)>,
        names: &Names,
    ) -> Self {
        if compiled.facts.iter().any(|fact| fact.starts_with("model.")) {
            compiled.slots.push(names.model);
        }
        if compiled.facts.iter().any(|fact| fact == "mode")
            || compiled.slots.iter().any(|slot| names.traffic.contains(slot))
        {
            compiled.slots.extend(&names.traffic);
        }
        compiled.slots.sort_unstable();
        compiled.slots.dedup();
        Self {
            id: id.into(),
            message: message.into(),
            force,
            compiled,
            effects,
            live: false,
            memo: None,
            applied: 0,
            undecided: 0,
            unknown: Vec::new(),
            counted: usize::MAX,
        }
    }
}

/// Finds the rules whose outcome or effect can differ between points, and what they make vary in turn.
pub(super) fn mark_live(space: &mut Space<'_>, rules: &mut [Rule]) {
    loop {
        let mut changed = false;
        for rule in rules.iter_mut().filter(|rule| !rule.live) {
            let varying = |slot: &usize| space.slots[*slot].varying;
            if rule.compiled.slots.iter().any(varying)
                || rule.effects.iter().any(|(slot, _)| varying(slot))
            {
                rule.live = true;
                changed = true;
                for (slot, _) in &rule.effects {
                    space.slots[*slot].varying = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    for rule in rules.iter_mut().filter(|rule| rule.live) {
        let slots: Vec<(usize, usize)> = rule
            .compiled
            .slots
            .iter()
            .filter(|slot| space.slots[**slot].varying)
            .map(|slot| (*slot, 2 * (space.slots[*slot].values.len() + 1)))
            .collect();
        let size = slots.iter().try_fold(1_usize, |size, (_, values)| {
            size.checked_mul(*values).filter(|it| *it <= MEMO)
        });
        rule.memo = size.map(|size| Memo { slots, outcomes: vec![0; size] });
    }
}
