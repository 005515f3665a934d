//! Checks a value against the types of a plugin's parameter and brings it into its one spelling.

use regex::Regex;

use super::{
    keys::{number, whole},
    node::found,
    problem::{Fault, nearest},
};
use crate::backend::{Choice, ParamType, Parameter, Value};

/// Why a parameter does not take a value; none where it does.
pub fn refusal(parameter: &Parameter, value: &Value) -> Option<String> {
    check(parameter, value).err().map(|fault| fault.message)
}

/// The value as the parameter's first type that takes it spells it, or what is wrong with it.
pub(super) fn check(parameter: &Parameter, value: &Value) -> Result<Value, Fault> {
    if *value == Value::Null && parameter.nullable {
        return Ok(Value::Null);
    }
    if let Some(value) = parameter.types.iter().find_map(|kind| convert(kind, value)) {
        return Ok(value);
    }
    let mut allowed: Vec<String> = parameter.types.iter().map(describe).collect();
    if parameter.nullable {
        allowed.push("null (`{ null = true }`)".to_owned());
    }
    let choices = parameter.types.iter().filter_map(|kind| match kind {
        ParamType::Choice(choices) => Some(choices),
        _ => None,
    });
    let texts: Vec<&str> = choices
        .flatten()
        .filter_map(|choice| match &choice.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let near = match value {
        Value::Text(text) => nearest(text, texts),
        _ => None,
    };
    Err(Fault::new(format!(
        "`{}`: expected {}, found {}",
        parameter.path,
        allowed.join(" or "),
        found(value)
    ))
    .nearest(near))
}

fn convert(kind: &ParamType, value: &Value) -> Option<Value> {
    match (kind, value) {
        (ParamType::Boolean, Value::Boolean(_)) => Some(value.clone()),
        (ParamType::Integer { min, max, multiple_of, .. }, _) => {
            let whole = whole(value)?;
            let fits = min.is_none_or(|min| whole >= min)
                && max.is_none_or(|max| whole <= max)
                && multiple_of.is_none_or(|of| of == 0 || whole % of == 0);
            fits.then_some(Value::Integer(whole))
        }
        (ParamType::Number { min, max, exclusive_min, exclusive_max, .. }, _) => {
            let number = number(value)?;
            let above =
                min.is_none_or(|min| if *exclusive_min { number > min } else { number >= min });
            let below =
                max.is_none_or(|max| if *exclusive_max { number < max } else { number <= max });
            (above && below).then_some(Value::Number(number))
        }
        (ParamType::Text { pattern, max_len, .. }, Value::Text(text)) => {
            let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
            let fits = max_len.is_none_or(|max| length <= max)
                && pattern.as_ref().is_none_or(|pattern| {
                    Regex::new(&format!("^(?:{pattern})$"))
                        .is_ok_and(|pattern| pattern.is_match(text))
                });
            fits.then(|| value.clone())
        }
        (ParamType::Choice(choices), _) => choices
            .iter()
            .find(|choice| same(&choice.value, value))
            .map(|choice| choice.value.clone()),
        (
            ParamType::Items { item, min_items, max_items },
            Value::Json(serde_json::Value::Array(items)),
        ) => {
            let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
            if min_items.is_some_and(|min| length < min)
                || max_items.is_some_and(|max| length > max)
            {
                return None;
            }
            let items: Option<Vec<serde_json::Value>> =
                items.iter().map(|it| convert(item, &it.clone().into()).map(Into::into)).collect();
            Some(Value::Json(items?.into()))
        }
        (ParamType::Object, Value::Json(json @ serde_json::Value::Object(_))) => {
            Some(Value::Json(sorted(json)))
        }
        _ => None,
    }
}

/// Equal as far as a study can tell: `1` and `1.0` are.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left == right
        || matches!((number(left), number(right)), (Some(left), Some(right)) if left.total_cmp(&right).is_eq())
}

/// An object with its keys in order, inside as well: equal objects get equal text.
fn sorted(json: &serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Object(object) => {
            let mut entries: Vec<_> =
                object.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            entries.into_iter().collect()
        }
        serde_json::Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

/// What a type takes, for people.
pub(super) fn describe(kind: &ParamType) -> String {
    match kind {
        ParamType::Boolean => "true or false".to_owned(),
        ParamType::Integer { min, max, multiple_of, .. } => {
            let step = multiple_of.map_or_else(String::new, |of| format!(", a multiple of {of}"));
            format!(
                "an integer{}{step}",
                bounds(min.map(|it| it.to_string()), max.map(|it| it.to_string()), false, false)
            )
        }
        ParamType::Number { min, max, exclusive_min, exclusive_max, .. } => format!(
            "a number{}",
            bounds(
                min.map(|it| it.to_string()),
                max.map(|it| it.to_string()),
                *exclusive_min,
                *exclusive_max
            )
        ),
        ParamType::Text { pattern, max_len, format } => {
            let form = format.as_ref().map_or_else(String::new, |format| format!(" ({format})"));
            let length =
                max_len.map_or_else(String::new, |max| format!(" of at most {max} characters"));
            let like = pattern
                .as_ref()
                .map_or_else(String::new, |pattern| format!(" matching `{pattern}`"));
            format!("text{form}{length}{like}")
        }
        ParamType::Choice(choices) => format!("one of {}", choices_text(choices)),
        ParamType::Items { item, .. } => format!("a list of {}", describe(item)),
        ParamType::Object => "a table".to_owned(),
    }
}

fn choices_text(choices: &[Choice]) -> String {
    let shown: Vec<String> =
        choices.iter().take(24).map(|choice| format!("`{}`", choice.value)).collect();
    let more = choices.len().saturating_sub(24);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn bounds(min: Option<String>, max: Option<String>, above: bool, below: bool) -> String {
    let least = if above { "above" } else { "of at least" };
    let most = if below { "below" } else { "at most" };
    match (min, max) {
        (Some(min), Some(max)) if !above && !below => format!(" from {min} to {max}"),
        (Some(min), Some(max)) => format!(" {least} {min} and {most} {max}"),
        (Some(min), None) => format!(" {least} {min}"),
        (None, Some(max)) => format!(" of {most} {max}"),
        (None, None) => String::new(),
    }
}
