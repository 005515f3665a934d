//! The values that rules see of one configuration.

use super::{
    super::{
        experiment::index,
        rules::{Compiled, Lookup, V},
    },
    Facts,
    ruleset::Names,
    space::{ABSENT, Space},
};
use crate::backend::DefaultValue;

pub(super) struct View<'a> {
    pub(super) space: &'a Space<'a>,
    pub(super) state: &'a [u32],
    pub(super) given: &'a [u32],
    pub(super) facts: &'a Facts,
    pub(super) names: &'a Names,
}

impl View<'_> {
    /// The names in a rule that nobody knows the value of.
    pub(super) fn unknown(&self, compiled: &Compiled) -> Vec<String> {
        let facts =
            compiled.facts.iter().filter(|fact| matches!(self.fact(fact), V::Unknown)).cloned();
        // Null that the engine replaces by something of its own is unknown in an order or a sum.
        let replaced = |slot: usize| {
            let parameter = self.space.slots[slot].parameter();
            parameter.is_some_and(|it| matches!(it.default, DefaultValue::Engine(_)))
        };
        let paths = |of: &dyn Fn(usize) -> bool| -> Vec<String> {
            let slots = compiled.slots.iter().filter(|slot| of(**slot));
            slots.filter_map(|slot| Some(self.space.slots[*slot].path()?.to_string())).collect()
        };
        let mut unknown: Vec<String> = facts
            .chain(paths(&|slot| match self.value(slot) {
                V::Unknown => true,
                V::Null => replaced(slot),
                _ => false,
            }))
            .collect();
        if unknown.is_empty() {
            unknown = paths(&|slot| matches!(self.resolved(slot), V::Unknown));
        }
        unknown.sort();
        unknown.dedup();
        unknown
    }

    fn server(&self) -> bool {
        self.names.traffic.iter().any(|slot| self.state[*slot] != ABSENT)
    }

    fn at(&self, slot: usize, id: u32) -> V<'_> {
        if id != ABSENT {
            return V::from_value(&self.space.slots[slot].values[index(id)]);
        }
        // Without traffic nothing of it has a default.
        if self.names.traffic.contains(&slot) && !self.server() {
            V::Null
        } else {
            self.space.slots[slot].absent()
        }
    }
}

impl Lookup for View<'_> {
    fn value(&self, slot: usize) -> V<'_> {
        self.at(slot, self.state[slot])
    }

    fn given(&self, slot: usize) -> bool {
        self.given[slot] != ABSENT
    }

    fn resolved(&self, slot: usize) -> V<'_> {
        match self.value(slot) {
            V::Null | V::Unknown => {}
            V::Text(text) if text == "auto" => {}
            value => return value,
        }
        let fact = self.space.slots[slot].path().map(|path| format!("resolved.{path}"));
        fact.and_then(|name| self.facts.get(&name, None)).map_or(V::Unknown, V::from_value)
    }

    fn default(&self, slot: usize) -> V<'_> {
        self.space.slots[slot].absent()
    }

    fn fact(&self, name: &str) -> V<'_> {
        if name == "mode" {
            return V::Text(if self.server() { "server" } else { "offline" }.into());
        }
        let model = match self.value(self.names.model) {
            V::Text(id) => Some(id),
            _ => None,
        };
        self.facts.get(name, model.as_deref()).map_or(V::Unknown, V::from_value)
    }
}
