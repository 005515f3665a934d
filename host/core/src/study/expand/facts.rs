//! What is known of the models and the GPUs, for rules.

use std::collections::BTreeMap;

use crate::backend::Value;

/// Known facts; what is missing is unknown, never false.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Of each model, by its id in the study: `num_attention_heads`, `max_length`, …
    pub models: BTreeMap<String, BTreeMap<String, Value>>,
    /// Of the GPUs: `cc` (8.9), `major`, `count`, `memory_mib`, `name`, …
    pub gpu: BTreeMap<String, Value>,
    /// Others, by their whole name.
    pub other: BTreeMap<String, Value>,
}

impl Facts {
    /// A fact by the name that rules use, for a model.
    pub(super) fn get(&self, name: &str, model: Option<&str>) -> Option<&Value> {
        match name.split_once('.') {
            Some(("model", fact)) => self.models.get(model?)?.get(fact),
            Some(("gpu", fact)) => self.gpu.get(fact),
            _ => self.other.get(name),
        }
    }
}
