//! Writes studies: values as TOML, the resolved study, and the study that a user starts from.

mod init;
mod resolved;

pub use init::{Init, init};
pub use resolved::resolved;

use crate::backend::Value;

/// A value as TOML.
pub(super) fn toml_text(value: &Value) -> String {
    match value {
        Value::Null => "{ null = true }".to_owned(),
        Value::Boolean(it) => it.to_string(),
        Value::Integer(it) => it.to_string(),
        Value::Number(it) => format!("{it:?}"),
        Value::Text(text) => quoted(text),
        Value::Json(json) => nested(json),
    }
}

fn nested(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(nested).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(object) if object.is_empty() => "{}".to_owned(),
        serde_json::Value::Object(object) => {
            let entries: Vec<String> = object
                .iter()
                .map(|(key, value)| format!("{} = {}", key_text(key), nested(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        scalar => toml_text(&scalar.clone().into()),
    }
}

/// A key, quoted where it must be.
pub(super) fn key_text(key: &str) -> String {
    let bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { quoted(key) }
}

pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_were() {
        let object = serde_json::json!({"a b": [1, 2.5, null], "c": {"d": "e\"\\\n"}});
        for value in [
            Value::Null,
            Value::Boolean(true),
            Value::Integer(-3),
            Value::Number(1.0),
            Value::Number(1e-7),
            Value::Text("say \"hi\"\n".to_owned()),
            Value::Json(object),
        ] {
            let source = super::super::problem::Source {
                file: String::new(),
                text: format!("a = {}", toml_text(&value)),
            };
            let mut problems = Vec::new();
            let read = super::super::node::read(&source, &mut problems).unwrap();
            assert_eq!(read[0].node.value(), value, "{}", source.text);
        }
    }
}
