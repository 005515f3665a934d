//! From a table's rows to the records that the host gets.

use super::{EffectDef, Fallback, Param, RuleDef, SchemaTable, SectionDef, Type, Val};
use crate::{
    Choice, DefaultValue, Effect, FloatRange, IntRange, ItemRule, ItemType, ParamType, Parameter,
    Rule, Schema, Section, TextRule, Value,
};

impl SchemaTable {
    /// The table as the host gets it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// assert_eq!(TABLE.to_schema().parameters.len(), 3);
    /// ```
    pub fn to_schema(&self) -> Schema {
        Schema {
            release: self.release.to_owned(),
            sections: self.sections.iter().map(section).collect(),
            parameters: self.parameters.iter().map(parameter).collect(),
            rules: self.rules.iter().map(rule).collect(),
            has_code_rules: self.code_rules,
            unknown: self.unknown,
            extra: Vec::new(),
        }
    }
}

impl From<Val> for Value {
    fn from(value: Val) -> Self {
        match value {
            Val::Null => Self::Null,
            Val::Bool(it) => Self::Boolean(it),
            Val::Int(it) => Self::Integer(it),
            Val::Num(it) => Self::Number(it),
            Val::Text(it) => Self::Text(it.to_owned()),
            Val::Json(it) => Self::Json(it.to_owned()),
        }
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn section(it: &SectionDef) -> Section {
    Section { id: it.id.to_owned(), title: it.title.to_owned(), doc: it.doc.to_owned() }
}

fn parameter(it: &Param) -> Parameter {
    Parameter {
        path: it.path.to_owned(),
        types: it.types.iter().map(param_type).collect(),
        nullable: it.nullable,
        default: match it.default {
            Fallback::Required => DefaultValue::Required,
            Fallback::Engine(note) => DefaultValue::Engine(note.to_owned()),
            Fallback::Fixed(value) => DefaultValue::Fixed(value.into()),
        },
        doc: it.doc.to_owned(),
        unit: owned(it.unit),
        phase: it.phase,
        modes: it.modes.to_vec(),
        native: owned(it.native.name()),
        energy_relevant: it.energy_relevant,
        suggested: it.suggested.iter().map(|&value| value.into()).collect(),
        since: owned(it.since),
        until: owned(it.until),
        deprecated: owned(it.deprecated),
        source: owned(it.source),
        extra: Vec::new(),
    }
}

fn param_type(it: &Type) -> ParamType {
    if let Type::Items { item, min, max } = *it {
        return ParamType::Items(ItemRule {
            item: item_type(item),
            min_items: min,
            max_items: max,
        });
    }
    match item_type(it) {
        ItemType::Boolean => ParamType::Boolean,
        ItemType::Integer(range) => ParamType::Integer(range),
        ItemType::Number(range) => ParamType::Number(range),
        ItemType::Text(rule) => ParamType::Text(rule),
        ItemType::Choice(choices) => ParamType::Choice(choices),
        ItemType::Object => ParamType::Object,
    }
}

fn item_type(it: &Type) -> ItemType {
    match *it {
        Type::Boolean => ItemType::Boolean,
        Type::Integer { min, max, multiple_of, scale } => {
            ItemType::Integer(IntRange { min, max, multiple_of, scale })
        }
        Type::Number { min, max, exclusive_min, exclusive_max, scale } => {
            ItemType::Number(FloatRange { min, max, exclusive_min, exclusive_max, scale })
        }
        Type::Text { pattern, max_len, format } => {
            ItemType::Text(TextRule { pattern: owned(pattern), max_len, format: owned(format) })
        }
        Type::Words(words) => ItemType::Choice(
            words
                .iter()
                .map(|&(word, doc)| Choice { value: word.into(), doc: doc.to_owned() })
                .collect(),
        ),
        Type::Values(values) => ItemType::Choice(
            values
                .iter()
                .map(|&(value, doc)| Choice { value: value.into(), doc: doc.to_owned() })
                .collect(),
        ),
        // A list of lists has no form in the contract; its items are free JSON then.
        Type::Items { .. } | Type::Object => ItemType::Object,
    }
}

fn rule(it: &RuleDef) -> Rule {
    Rule {
        id: it.id.to_owned(),
        severity: it.severity,
        when: it.when.to_owned(),
        effects: it.effects.iter().map(effect).collect(),
        message: it.message.to_owned(),
        source: owned(it.source),
    }
}

fn effect(it: &EffectDef) -> Effect {
    Effect { path: it.path.to_owned(), becomes: it.becomes.map(Into::into) }
}
