//! Values: from Rust's types, to text, to JSON. Parses nothing.

use std::fmt::{self, Write as _};

use crate::{Field, Value};

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::Boolean(it)
    }
}

impl From<i64> for Value {
    fn from(it: i64) -> Self {
        Self::Integer(it)
    }
}

impl From<i32> for Value {
    fn from(it: i32) -> Self {
        Self::Integer(it.into())
    }
}

impl From<u32> for Value {
    fn from(it: u32) -> Self {
        Self::Integer(it.into())
    }
}

impl From<f64> for Value {
    fn from(it: f64) -> Self {
        Self::Number(it)
    }
}

impl From<&str> for Value {
    fn from(it: &str) -> Self {
        Self::Text(it.to_owned())
    }
}

impl From<String> for Value {
    fn from(it: String) -> Self {
        Self::Text(it)
    }
}

/// Plain text, as a command line carries it: text without quotes, the rest as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(it) => it.fmt(f),
            Self::Integer(it) => it.fmt(f),
            Self::Number(it) => write!(f, "{it:?}"),
            Self::Text(it) | Self::Json(it) => f.write_str(it),
        }
    }
}

impl Value {
    /// The value as JSON text.
    ///
    /// ```
    /// assert_eq!(llem_sdk::Value::from("a \"b\"").to_json(), r#""a \"b\"""#);
    /// ```
    pub fn to_json(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            other => other.to_string(),
        }
    }
}

impl Field {
    /// A value under the engine's own name.
    ///
    /// ```
    /// # use llem_sdk::Field;
    /// assert_eq!(Field::new("top_k", 5).name, "top_k");
    /// ```
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A JSON object, which is also YAML, of some fields.
///
/// ```
/// use llem_sdk::{Field, json_object};
/// assert_eq!(json_object(&[Field::new("a", 1), Field::new("b", "x")]), r#"{"a":1,"b":"x"}"#);
/// ```
pub fn json_object(fields: &[Field]) -> String {
    let members: Vec<String> = fields
        .iter()
        .map(|field| format!("{}:{}", quoted(&field.name), field.value.to_json()))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_numbers_and_text_loses_its_quotes_on_a_command_line() {
        let shown =
            [Value::from(1.0), Value::from(3), Value::from("a b"), Value::Json("[1]".to_owned())]
                .map(|value| value.to_string());
        assert_eq!(shown, ["1.0", "3", "a b", "[1]"]);
    }

    #[test]
    fn control_characters_are_escaped_in_json() {
        assert_eq!(Value::from("a\u{1}\n\\").to_json(), r#""a\u0001\n\\""#);
    }
}
