//! The page on the entries of results, from their JSON Schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::{cell, code};

/// Every type with its fields.
pub(super) fn page(schema: &Value) -> String {
    let mut text = "# Entries of results\n\nFrom `llem schema results`: what a line of `journal.jsonl` may be. \
        [Results](../results.md) explains the files, [the schema itself](../results.schema.json) is for programs.\n\n\
        ## Entry\n\n"
        .to_owned();
    body(schema, &mut text);
    for (name, of) in schema["$defs"].as_object().into_iter().flatten() {
        let about = of["description"].as_str().unwrap_or_default();
        write!(text, "\n## {name}\n\n{}\n\n", cell(about)).expect("a string takes everything");
        body(of, &mut text);
    }
    text
}

/// Alternatives, fields, or what else a type is.
fn body(of: &Value, text: &mut String) {
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(alternatives) = of["oneOf"].as_array().or(of["anyOf"].as_array()) {
        line("| one of | meaning |\n|---|---|".to_owned());
        for it in alternatives {
            let about = cell(it["description"].as_str().unwrap_or_default());
            line(format!("| {} | {about} |", kind(it)));
        }
        return;
    }
    let Some(fields) = of["properties"].as_object() else {
        return line(kind(of));
    };
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    line("| field | type | meaning |\n|---|---|---|".to_owned());
    for (name, field) in fields {
        let about = cell(field["description"].as_str().unwrap_or_default());
        let optional = if required.contains(&name.as_str()) { "" } else { ", may be absent" };
        line(format!("| `{name}` | {}{optional} | {about} |", kind(field)));
    }
}

/// A type in words; types with a name are links to it.
pub(super) fn kind(of: &Value) -> String {
    let link = of["$ref"].as_str().and_then(|it| it.rsplit('/').next());
    if let Some(constant) = of.get("const") {
        return code(&constant.to_string());
    }
    if let Some(choices) = of["enum"].as_array() {
        return choices.iter().map(|it| code(&it.to_string())).collect::<Vec<_>>().join(", ");
    }
    if let Some(several) = of["anyOf"].as_array().or(of["oneOf"].as_array()) {
        return several.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let fields = of["properties"].as_object().map(|fields| {
        let each = fields.iter().map(|(name, field)| format!("`{name}`: {}", kind(field)));
        format!("{{ {} }}", each.collect::<Vec<_>>().join(", "))
    });
    match (link, fields) {
        (Some(name), None) => return reference(name),
        (Some(name), Some(fields)) => return format!("{fields} and {}", reference(name)),
        (None, Some(fields)) => return fields,
        (None, None) => (),
    }
    if let Some(types) = of["type"].as_array() {
        return types.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" or ");
    }
    match of["type"].as_str() {
        Some("array") if of["prefixItems"].is_array() => {
            let items = of["prefixItems"].as_array().into_iter().flatten().map(kind);
            format!("list of {}", items.collect::<Vec<_>>().join(" and "))
        }
        Some("array") if of["items"].is_object() => format!("list of {}", kind(&of["items"])),
        Some("object") if of["additionalProperties"].is_object() => {
            format!("object of {}", kind(&of["additionalProperties"]))
        }
        Some(name) => format!("{}{}", word(name), bounds(of)),
        None => "anything".to_owned(),
    }
}

fn reference(name: &str) -> String {
    // Names of schemas begin with a capital; those of a study's parts have no section.
    if name.starts_with(char::is_uppercase) {
        format!("[{name}](#{})", name.to_lowercase())
    } else {
        name.to_owned()
    }
}

fn word(name: &str) -> &str {
    match name {
        "string" => "text",
        other => other,
    }
}

fn bounds(of: &Value) -> String {
    let bound = |name: &str, word: &str| {
        of[name]
            .as_number()
            .filter(|it| it.as_f64() != Some(0.0) || name != "minimum")
            .map(|it| format!(" {word} {it}"))
    };
    let named = [
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ];
    named.iter().filter_map(|(name, word)| bound(name, word)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_words_and_links() {
        assert_eq!(
            kind(&json!({"type": "integer", "minimum": 1, "maximum": 9})),
            "integer from 1 to 9"
        );
        assert_eq!(kind(&json!({"type": ["string", "null"]})), "text or null");
        assert_eq!(
            kind(&json!({"type": "array", "items": {"$ref": "#/$defs/Watts"}})),
            "list of [Watts](#watts)"
        );
        assert_eq!(
            kind(&json!({"anyOf": [{"const": "auto"}, {"type": "number"}]})),
            "`\"auto\"` or number"
        );
        assert_eq!(
            kind(&json!({"$ref": "#/$defs/Record", "properties": {"entry": {"const": "record"}}})),
            "{ `entry`: `\"record\"` } and [Record](#record)"
        );
    }

    #[test]
    fn fields_say_whether_they_may_be_absent() {
        let page = page(&json!({"oneOf": [], "$defs": {"Watts": {
            "description": "Power.", "properties": {"mean": {"type": "number"}, "note": {"type": "string"}}, "required": ["mean"]
        }}}));
        assert!(page.contains("## Watts\n\nPower.\n\n| field | type | meaning |\n|---|---|---|\n| `mean` | number |  |\n"), "{page}");
        assert!(page.contains("| `note` | text, may be absent |"), "{page}");
    }
}
