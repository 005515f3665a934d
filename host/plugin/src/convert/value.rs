//! Values, paths, configurations and fields.

use std::collections::BTreeMap;

use llem_core::backend as core;

use crate::{BadReply, bindings::llem::backend::types as guest};

/// A configuration for a plugin.
pub(crate) fn to_config(config: &core::Config) -> Vec<guest::Setting> {
    config.iter().map(|(path, value)| setting(path, value)).collect()
}

/// A setting for a plugin.
pub(super) fn setting(path: &core::Path, value: &core::Value) -> guest::Setting {
    guest::Setting { path: path.as_str().to_owned(), value: value.clone().into() }
}

/// A plugin's configuration.
pub(crate) fn config(settings: Vec<guest::Setting>) -> Result<core::Config, BadReply> {
    let mut config = BTreeMap::new();
    for it in settings {
        let value = value(&it.path, it.value)?;
        let path = path(&it.path)?;
        if config.contains_key(&path) {
            return Err(BadReply::Twice { what: "setting", name: path.into() });
        }
        config.insert(path, value);
    }
    Ok(config)
}

/// A plugin's path.
pub(super) fn path(text: &str) -> Result<core::Path, BadReply> {
    text.parse().map_err(|_| BadReply::Path(crate::log::safe(text)))
}

/// A plugin's value; `at` says where it stands.
pub(super) fn value(at: &str, value: guest::Value) -> Result<core::Value, BadReply> {
    Ok(match value {
        guest::Value::Null => core::Value::Null,
        guest::Value::Boolean(it) => core::Value::Boolean(it),
        guest::Value::Integer(it) => core::Value::Integer(it),
        guest::Value::Number(it) if it.is_finite() => core::Value::Number(it),
        guest::Value::Number(_) => return Err(BadReply::NotFinite(at.to_owned())),
        guest::Value::Text(it) => core::Value::Text(it),
        guest::Value::Json(text) => {
            let json: serde_json::Value = serde_json::from_str(&text)
                .map_err(|error| BadReply::Json { at: at.to_owned(), reason: error.to_string() })?;
            json.into()
        }
    })
}

/// A plugin's fields.
pub(super) fn fields(fields: Vec<guest::Field>) -> Result<Vec<(String, core::Value)>, BadReply> {
    fields
        .into_iter()
        .map(|it| {
            let value = value(&it.name, it.value)?;
            Ok((it.name, value))
        })
        .collect()
}

/// Fields for a plugin.
pub(super) fn to_fields(fields: Vec<(String, core::Value)>) -> Vec<guest::Field> {
    fields.into_iter().map(|(name, value)| guest::Field { name, value: value.into() }).collect()
}

impl From<core::Value> for guest::Value {
    fn from(value: core::Value) -> Self {
        match value {
            core::Value::Null => Self::Null,
            core::Value::Boolean(it) => Self::Boolean(it),
            core::Value::Integer(it) => Self::Integer(it),
            core::Value::Number(it) => Self::Number(it),
            core::Value::Text(it) => Self::Text(it),
            core::Value::Json(it) => Self::Json(it.to_string()),
        }
    }
}
