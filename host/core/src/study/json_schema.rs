//! The JSON Schema of a study, with the parameters of plugins in it, for editors.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::keys::{KEYS, Kind, SWEEPABLE};
use crate::backend::{ParamType, Parameter, Schema, UnknownPolicy};

/// The JSON Schema (draft 2020-12) of studies that use these plugins.
///
/// ```
/// let schema = llem_core::study::json_schema(&std::collections::BTreeMap::new());
/// assert_eq!(schema["properties"]["model"]["properties"]["id"]["type"], "string");
/// ```
pub fn json_schema(plugins: &BTreeMap<String, Schema>) -> Json {
    let mut properties = Map::new();
    for key in KEYS {
        let mut schema = of_kind(key.kind);
        describe(&mut schema, key.doc);
        if let Some(default) = key.default {
            schema["default"] = super::settings::literal(default).into();
        }
        match key.path.split_once('.') {
            None => {
                properties.insert(key.path.to_owned(), schema);
            }
            Some((table, name)) => {
                let table = properties.entry(table).or_insert_with(|| object(Map::new(), false));
                table["properties"][name] = schema;
            }
        }
    }
    let mut of_plugins = Map::new();
    let mut swept = Map::new();
    for key in KEYS
        .iter()
        .filter(|key| SWEEPABLE.iter().any(|table| key.path.starts_with(&format!("{table}."))))
    {
        swept.insert(key.path.to_owned(), axis(of_kind(key.kind), key.doc));
    }
    for (id, schema) in plugins {
        of_plugins.insert(id.clone(), plugin(schema));
        for parameter in &schema.parameters {
            swept.insert(
                format!("{id}.{}", parameter.path),
                axis(of_parameter(parameter, false), &parameter.doc),
            );
        }
    }
    properties.insert("plugin".to_owned(), object(of_plugins, true));
    properties.insert("sweep".to_owned(), sweep(swept));
    properties.insert(
        "exclude".to_owned(),
        json!({"type": "array", "items": object(
            [("when".to_owned(), json!({"type": "string", "description": "CEL expression over the resolved configuration."})),
             ("why".to_owned(), json!({"type": "string"}))].into_iter().collect(), false)}),
    );
    properties
        .insert("experiment".to_owned(), json!({"type": "array", "items": {"type": "object"}}));
    let mut schema = object(properties, false);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "llem study".into();
    schema["$defs"] = json!({
        "range": {
            "type": "object",
            "properties": {
                "linear": {"$ref": "#/$defs/bounds"}, "log": {"$ref": "#/$defs/bounds"}, "log2": {"$ref": "#/$defs/bounds"},
                "points": {"type": "integer", "minimum": 2}, "all": {"const": true}
            },
            "additionalProperties": false
        },
        "bounds": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "null": {"type": "object", "properties": {"null": {"const": true}}, "required": ["null"], "additionalProperties": false}
    });
    schema
}

fn object(properties: Map<String, Json>, open: bool) -> Json {
    let mut schema = json!({"type": "object", "additionalProperties": open});
    schema["properties"] = Json::Object(properties);
    schema
}

fn describe(schema: &mut Json, doc: &str) {
    if !doc.is_empty() {
        schema["description"] = doc.into();
    }
}

fn of_kind(kind: Kind) -> Json {
    let duration = || json!({"type": "string", "pattern": "^[0-9.]+ ?(us|ms|s|min|h)$"});
    match kind {
        Kind::Name => json!({"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"}),
        Kind::Text => json!({"type": "string", "minLength": 1}),
        Kind::Choice(names) => json!({"enum": names}),
        Kind::Count(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
        Kind::Percentile => {
            json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100})
        }
        Kind::Duration => duration(),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Rest => json!({"anyOf": [{"const": "auto"}, duration()]}),
        Kind::Length => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "object", "required": ["mean", "stddev", "min", "max"], "additionalProperties": false, "properties": {
                "mean": {"type": "number"}, "stddev": {"type": "number", "minimum": 0},
                "min": {"type": "integer", "minimum": 1}, "max": {"type": "integer", "minimum": 1}}},
            {"type": "object", "required": ["values"], "additionalProperties": false, "properties": {
                "values": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}}}
        ]}),
        Kind::Warmup => json!({"anyOf": [
            {"const": "steady"},
            {"type": "object", "required": ["requests"], "additionalProperties": false, "properties": {"requests": {"type": "integer", "minimum": 1}}},
            {"type": "object", "required": ["duration"], "additionalProperties": false, "properties": {"duration": duration()}}
        ]}),
        Kind::Repeats => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "object", "additionalProperties": false, "properties": {
                "min": {"type": "integer", "minimum": 1}, "max": {"type": "integer", "minimum": 1},
                "until": {"type": "object", "required": ["half_width"], "additionalProperties": false,
                    "properties": {"half_width": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}}}}
        ]}),
    }
}

/// A plugin's table: its parameters nested by the parts of their paths, as TOML nests dotted keys.
fn plugin(schema: &Schema) -> Json {
    let texts =
        json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let mut table = object(
        [
            ("release".to_owned(), json!({"type": "string", "description": "Engine release; \"auto\": the installed one."})),
            ("runner".to_owned(), json!({"enum": ["auto", "process", "container"]})),
            ("image".to_owned(), json!({"type": "string", "description": "Container image instead of the release's."})),
            ("venv".to_owned(), texts.clone()),
            ("secrets".to_owned(), texts.clone()),
            ("pass_env".to_owned(), texts),
        ]
        .into_iter()
        .collect(),
        false,
    );
    let open = schema.unknown == UnknownPolicy::PassThrough;
    for parameter in &schema.parameters {
        let mut at = &mut table;
        let mut parts = parameter.path.as_str().split('.').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let place = &mut at["properties"][part];
            if last {
                *place = of_parameter(parameter, true);
            } else if place.is_null() {
                *place = object(Map::new(), open);
            } else if place["properties"].is_null() {
                // A parameter of its own that others nest in: an object whose parts are known.
                place["properties"] = json!({});
            }
            at = place;
        }
    }
    table
}

fn of_parameter(parameter: &Parameter, with_doc: bool) -> Json {
    let mut types: Vec<Json> = parameter.types.iter().map(of_type).collect();
    if parameter.nullable {
        types.push(json!({"$ref": "#/$defs/null"}));
    }
    let mut schema = if types.len() == 1 { types.remove(0) } else { json!({"anyOf": types}) };
    if with_doc {
        describe(&mut schema, &parameter.doc);
        if let crate::backend::DefaultValue::Fixed(value) = &parameter.default {
            schema["default"] = value.clone().into();
        }
        if parameter.deprecated.is_some() {
            schema["deprecated"] = true.into();
        }
    }
    schema
}

fn of_type(kind: &ParamType) -> Json {
    let mut schema = Map::new();
    let mut set = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            schema.insert(name.to_owned(), value);
        }
    };
    match kind {
        ParamType::Boolean => set("type", Some("boolean".into())),
        ParamType::Integer { min, max, multiple_of, .. } => {
            set("type", Some("integer".into()));
            set("minimum", min.map(Into::into));
            set("maximum", max.map(Into::into));
            set("multipleOf", multiple_of.map(Into::into));
        }
        ParamType::Number { min, max, exclusive_min, exclusive_max, .. } => {
            set("type", Some("number".into()));
            set(if *exclusive_min { "exclusiveMinimum" } else { "minimum" }, min.map(Into::into));
            set(if *exclusive_max { "exclusiveMaximum" } else { "maximum" }, max.map(Into::into));
        }
        ParamType::Text { pattern, max_len, .. } => {
            set("type", Some("string".into()));
            set("pattern", pattern.as_ref().map(|pattern| format!("^(?:{pattern})$").into()));
            set("maxLength", max_len.map(Into::into));
        }
        ParamType::Choice(choices) => {
            set(
                "enum",
                Some(choices.iter().map(|choice| Json::from(choice.value.clone())).collect()),
            );
        }
        ParamType::Items { item, min_items, max_items } => {
            set("type", Some("array".into()));
            set("items", Some(of_type(item)));
            set("minItems", min_items.map(Into::into));
            set("maxItems", max_items.map(Into::into));
        }
        ParamType::Object => set("type", Some("object".into())),
    }
    Json::Object(schema)
}

fn axis(value: Json, doc: &str) -> Json {
    let mut list = json!({"type": "array", "minItems": 1});
    list["items"] = value;
    let mut schema = json!({"anyOf": [list, {"$ref": "#/$defs/range"}]});
    describe(&mut schema, doc.split('\n').next().unwrap_or_default());
    schema
}

fn sweep(axes: Map<String, Json>) -> Json {
    // Unquoted paths nest in TOML, so that other keys must be let pass.
    let mut sweep = object(axes, true);
    sweep["properties"]["zip"] = json!({"type": "array", "items": {"type": "object"}, "description": "Axes that move together."});
    sweep["properties"]["variants"] = json!({"type": "array", "description": "Alternatives, crossed with the rest.", "items": {
        "type": "object", "required": ["options"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "options": {"type": "array", "items": {"type": "object"}, "minItems": 1}}}});
    sweep["properties"]["sample"] = json!({"type": "object", "required": ["method"], "additionalProperties": false, "properties": {
        "method": {"enum": super::sweep::Method::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>()},
        "points": {"type": "integer", "minimum": 1, "maximum": 65536}}});
    sweep
}
