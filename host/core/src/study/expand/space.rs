//! Everything that one plugin's configurations are made of: slots, their values, and what is fixed.
//!
//! A configuration is one number a slot, so that 100,000 of them cost little.

use std::{collections::BTreeMap, ops::Range};

use indexmap::IndexMap;

use super::super::{
    PluginUse, Study,
    check::check,
    experiment::compact,
    keys::{self, Key},
    problem::{Fault, Problem, listed, nearest},
    rules::V,
    settings::literal,
    sweep::Target,
};
use crate::backend::{DefaultValue, Parameter, Path, Schema, UnknownPolicy, Value};

/// A slot without a value.
pub(super) const ABSENT: u32 = u32::MAX;

/// One place for a value.
pub(super) struct Slot<'a> {
    pub(super) kind: SlotKind<'a>,
    /// Every value that was ever put here.
    pub(super) values: Vec<Value>,
    known: IndexMap<String, u32>,
    /// The value that an absent one means, if it has been put here.
    pub(super) default: Option<u32>,
    pub(super) default_value: Option<Value>,
    /// Whether configurations differ in it.
    pub(super) varying: bool,
    /// Where the study first gives it.
    pub(super) span: Option<Range<usize>>,
}

pub(super) enum SlotKind<'a> {
    Study(&'static Key),
    Plugin(&'a Parameter),
    /// A path that the schema does not list but lets pass.
    Loose(Path),
}

/// Whose slots these are.
pub(super) struct Space<'a> {
    pub(super) plugin: &'a PluginUse,
    pub(super) schema: &'a Schema,
    pub(super) slots: Vec<Slot<'a>>,
    by_path: BTreeMap<String, usize>,
    /// The fixed value of each slot.
    pub(super) base: Vec<u32>,
}

impl<'a> Slot<'a> {
    fn new(kind: SlotKind<'a>) -> Self {
        let default_value = match &kind {
            SlotKind::Study(key) => key.default.map(literal),
            SlotKind::Plugin(parameter) => match &parameter.default {
                DefaultValue::Fixed(value) => {
                    Some(check(parameter, value).unwrap_or_else(|_| value.clone()))
                }
                DefaultValue::Required | DefaultValue::Engine(_) => None,
            },
            SlotKind::Loose(_) => None,
        };
        Self {
            kind,
            values: Vec::new(),
            known: IndexMap::new(),
            default: None,
            default_value,
            varying: false,
            span: None,
        }
    }

    /// The number of a value here.
    pub(super) fn intern(&mut self, value: &Value) -> u32 {
        let text = serde_json::to_string(value).expect("values serialise");
        if let Some(known) = self.known.get(&text) {
            return *known;
        }
        let number = compact(self.values.len());
        if self.default_value.as_ref() == Some(value) {
            self.default = Some(number);
        }
        self.values.push(value.clone());
        self.known.insert(text, number);
        number
    }

    /// What an absent value means to a rule.
    pub(super) fn absent(&self) -> V<'_> {
        match (&self.default_value, &self.kind) {
            (Some(value), _) => V::from_value(value),
            (None, SlotKind::Study(_)) => V::Null,
            // The engine is told nothing, which is null to it, and decides later.
            (None, SlotKind::Plugin(parameter)) if parameter.nullable => V::Null,
            (None, SlotKind::Plugin(_) | SlotKind::Loose(_)) => V::Unknown,
        }
    }

    /// The path in a configuration, for a slot of the plugin.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.kind {
            SlotKind::Study(_) => None,
            SlotKind::Plugin(parameter) => Some(&parameter.path),
            SlotKind::Loose(path) => Some(path),
        }
    }

    pub(super) fn parameter(&self) -> Option<&'a Parameter> {
        match self.kind {
            SlotKind::Plugin(parameter) => Some(parameter),
            SlotKind::Study(_) | SlotKind::Loose(_) => None,
        }
    }
}

impl<'a> Space<'a> {
    pub(super) fn new(
        study: &Study,
        plugin: &'a PluginUse,
        schema: &'a Schema,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut space =
            Self { plugin, schema, slots: Vec::new(), by_path: BTreeMap::new(), base: Vec::new() };
        for key in keys::KEYS {
            if keys::SWEEPABLE.iter().any(|table| key.path.starts_with(&format!("{table}."))) {
                space.add(key.path, SlotKind::Study(key));
            }
        }
        for parameter in &schema.parameters {
            space.add(parameter.path.as_str(), SlotKind::Plugin(parameter));
        }
        for (path, value) in &study.values {
            if let Some(slot) = space.by_path.get(path).copied() {
                space.base[slot] = space.slots[slot].intern(value);
                space.slots[slot].span = study.spans.get(path).cloned();
            }
        }
        for setting in &plugin.settings {
            match space.settle(&setting.target, &setting.value) {
                Ok(placed) => {
                    for (slot, value) in placed {
                        space.base[slot] = value;
                        space.slots[slot].span.get_or_insert_with(|| setting.span.clone());
                    }
                }
                Err((fault, at_key)) => {
                    let span = if at_key { &setting.key_span } else { &setting.span };
                    problems.push(study.source.problem(span, fault));
                }
            }
        }
        space
    }

    fn add(&mut self, path: &str, kind: SlotKind<'a>) -> usize {
        let slot = self.slots.len();
        self.slots.push(Slot::new(kind));
        self.base.push(ABSENT);
        self.by_path.insert(path.to_owned(), slot);
        slot
    }

    /// The slot of a path of this plugin or of the study.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// All paths, for hints.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }

    /// Checks a value for a target and says which slots get which values; on a fault, whether the path is at fault.
    pub(super) fn settle(
        &mut self,
        target: &Target,
        value: &Value,
    ) -> Result<Vec<(usize, u32)>, (Fault, bool)> {
        match target {
            Target::Study(path) => {
                let slot = self.find(path).expect("sweepable keys have slots");
                let id =
                    if *value == Value::Null { ABSENT } else { self.slots[slot].intern(value) };
                Ok(vec![(slot, id)])
            }
            Target::Plugin { path, .. } => self.settle_plugin(path, value),
        }
    }

    fn settle_plugin(
        &mut self,
        path: &str,
        value: &Value,
    ) -> Result<Vec<(usize, u32)>, (Fault, bool)> {
        // `engine.group = { a = 1 }` where the schema lists `engine.group.a`: the same as `engine.group.a = 1`.
        if let Value::Json(serde_json::Value::Object(object)) = value
            && !object.is_empty()
            && (object.keys().all(|name| {
                self.is_table(&format!("{path}.{name}"))
                    || self.find(&format!("{path}.{name}")).is_some()
            }) || self.find(path).is_none() && self.is_table(path))
        {
            let mut placed = Vec::new();
            for (name, inner) in object {
                placed
                    .extend(self.settle_plugin(&format!("{path}.{name}"), &inner.clone().into())?);
            }
            return Ok(placed);
        }
        if let Some(slot) = self.find(path).filter(|slot| self.slots[*slot].path().is_some()) {
            let id = match self.slots[slot].parameter() {
                Some(parameter) => {
                    let explicit_null =
                        parameter.nullable && self.slots[slot].default_value.is_some();
                    if *value == Value::Null && !explicit_null {
                        ABSENT
                    } else {
                        let value = check(parameter, value).map_err(|fault| (fault, false))?;
                        self.slots[slot].intern(&value)
                    }
                }
                None => self.slots[slot].intern(value),
            };
            return Ok(vec![(slot, id)]);
        }
        if self.schema.unknown == UnknownPolicy::PassThrough
            && let Ok(parsed) = path.parse::<Path>()
        {
            let slot = self.add(path, SlotKind::Loose(parsed));
            let id = self.slots[slot].intern(value);
            return Ok(vec![(slot, id)]);
        }
        Err((self.unknown(path), true))
    }

    /// Whether parameters have paths below this one.
    fn is_table(&self, path: &str) -> bool {
        let prefix = format!("{path}.");
        self.by_path
            .range(prefix.clone()..)
            .next()
            .is_some_and(|(known, _)| known.starts_with(&prefix))
    }

    fn unknown(&self, path: &str) -> Fault {
        let id = &self.plugin.id;
        let all = || self.schema.parameters.iter().map(|parameter| parameter.path.as_str());
        let section = path.split_once('.').map_or(path, |(section, _)| section);
        let mut sections: Vec<&str> =
            self.schema.sections.iter().map(|section| section.id.as_str()).collect();
        sections.extend(self.schema.parameters.iter().map(|parameter| parameter.path.section()));
        sections.sort_unstable();
        sections.dedup();
        // The same name in another section is nearer than any other spelling.
        let name = path.split_once('.').map_or(path, |(_, name)| name);
        let elsewhere = self
            .schema
            .parameters
            .iter()
            .find(|it| it.path.name() == name)
            .map(|it| it.path.to_string());
        let near = elsewhere.or_else(|| nearest(path, all()));
        let fault = if sections.contains(&section) {
            Fault::new(format!("`{id}` {} has no parameter `{path}`", self.schema.release))
        } else {
            Fault::new(format!(
                "`{id}` {} has no section `{section}`; it has {}",
                self.schema.release,
                listed(sections)
            ))
        };
        fault.nearest(near).help(format!("`llem params {id}` lists all of them"))
    }
}
