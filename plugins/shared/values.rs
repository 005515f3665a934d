//! Values to try a parameter with, for tests over whole parameter spaces.

use llem_sdk::{Fallback, Param, SchemaTable, Severity, Type, Val, Value};

/// A value that differs from the default, as far as the type has one.
pub(crate) fn other_than_default(param: &Param) -> Value {
    if let Some(value) = param.suggested.last() {
        return (*value).into();
    }
    match param.types[0] {
        Type::Boolean => (!matches!(param.default, Fallback::Fixed(Val::Bool(true)))).into(),
        Type::Integer { min, .. } => Value::Integer(min.unwrap_or(0) + 7),
        Type::Number { min, .. } => Value::Number(min.unwrap_or(0.0) + 0.25),
        Type::Words(words) => words[words.len() - 1].0.into(),
        Type::Values(values) => values[values.len() - 1].0.into(),
        Type::Items { .. } => Value::Json("[1]".to_owned()),
        Type::Object => Value::Json("{}".to_owned()),
        Type::Text { .. } => "text".into(),
    }
}

/// Whether a rule says that a parameter can't be set at all.
pub(crate) fn refused(table: &SchemaTable, path: &str) -> bool {
    let wanted = format!("given({path})");
    table.rules.iter().any(|rule| rule.severity == Severity::Error && rule.when == wanted)
}
