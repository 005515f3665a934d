//! A configuration as a plugin reads and edits it.

use crate::{Setting, Value};

/// The settings of one configuration.
///
/// ```
/// use llem_sdk::Config;
/// let config = Config::from_iter([("engine.dtype", "bf16")]);
/// assert_eq!(config.text("engine.dtype"), Some("bf16"));
/// assert_eq!(config.get("engine.threads"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config(Vec<Setting>);

impl Config {
    /// The value at a path.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let config = Config::from_iter([("a.b", 1)]);
    /// assert_eq!(config.get("a.b"), Some(&Value::Integer(1)));
    /// ```
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.0.iter().find(|setting| setting.path == path).map(|setting| &setting.value)
    }

    /// The text at a path; none where it is absent or no text.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let config = Config::from_iter([("a.b", 1)]);
    /// assert_eq!(config.text("a.b"), None);
    /// ```
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.get(path) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer at a path; none where it is absent or no integer.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let config = Config::from_iter([("a.b", 1)]);
    /// assert_eq!(config.integer("a.b"), Some(1));
    /// ```
    pub fn integer(&self, path: &str) -> Option<i64> {
        match self.get(path) {
            Some(Value::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// The truth value at a path; none where it is absent or none.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let config = Config::from_iter([("a.b", true)]);
    /// assert_eq!(config.boolean("a.b"), Some(true));
    /// ```
    pub fn boolean(&self, path: &str) -> Option<bool> {
        match self.get(path) {
            Some(Value::Boolean(boolean)) => Some(*boolean),
            _ => None,
        }
    }

    /// All settings, in the host's order.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let config = Config::from_iter([("a.b", 1), ("a.c", 2)]);
    /// assert_eq!(config.iter().count(), 2);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|setting| (setting.path.as_str(), &setting.value))
    }

    /// Sets a value and returns the one that was there.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let mut config = Config::from_iter([("a.b", 1)]);
    /// assert_eq!(config.set("a.b", 2), Some(Value::Integer(1)));
    /// ```
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> Option<Value> {
        let value = value.into();
        if let Some(setting) = self.0.iter_mut().find(|setting| setting.path == path) {
            return Some(std::mem::replace(&mut setting.value, value));
        }
        self.0.push(Setting { path: path.to_owned(), value });
        None
    }

    /// Removes a value and returns it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let mut config = Config::from_iter([("a.b", 1)]);
    /// assert_eq!(config.remove("a.b"), Some(Value::Integer(1)));
    /// ```
    pub fn remove(&mut self, path: &str) -> Option<Value> {
        let at = self.0.iter().position(|setting| setting.path == path)?;
        Some(self.0.remove(at).value)
    }
}

impl From<Vec<Setting>> for Config {
    fn from(settings: Vec<Setting>) -> Self {
        Self(settings)
    }
}

impl From<Config> for Vec<Setting> {
    fn from(config: Config) -> Self {
        config.0
    }
}

impl<P: Into<String>, V: Into<Value>> FromIterator<(P, V)> for Config {
    fn from_iter<I: IntoIterator<Item = (P, V)>>(settings: I) -> Self {
        Self(
            settings
                .into_iter()
                .map(|(path, value)| Setting { path: path.into(), value: value.into() })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_twice_keeps_one_value() {
        let mut config = Config::default();
        assert_eq!(config.set("a.b", 1), None);
        assert_eq!(config.set("a.b", 2), Some(Value::Integer(1)));
        assert_eq!((config.iter().count(), config.remove("a.b")), (1, Some(Value::Integer(2))));
    }
}
