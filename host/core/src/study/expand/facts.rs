//! What is known of the models and the GPUs, for rules.

use std::collections::BTreeMap;

use crate::backend::{GpuFacts, Value};

/// Known facts; what is missing is unknown, never false.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Of each model, by its id in the study.
    pub models: BTreeMap<String, BTreeMap<String, Value>>,
    /// Of the GPUs.
    pub gpu: BTreeMap<String, Value>,
    /// Others, by their whole name; `resolved.PATH` is what the engine makes of a parameter that is "auto".
    pub other: BTreeMap<String, Value>,
}

impl Facts {
    /// Takes what is known of the GPUs: `gpu.name`, `gpu.vendor`, `gpu.count`, `gpu.memory_mib`, `gpu.driver`,
    /// `gpu.compute_capability` (89), `gpu.cc` (8.9), `gpu.major` (8).
    ///
    /// ```
    /// # use llem_core::{backend::{GpuFacts, Value}, study::Facts};
    /// let gpu = GpuFacts {
    ///     vendor: "nvidia".into(), name: "NVIDIA L4".into(), count: 1, memory_mib: 23_034,
    ///     compute_capability: Some(89), driver: None,
    /// };
    /// let facts = Facts::default().with_gpu(&gpu);
    /// assert_eq!(facts.gpu["cc"], Value::Number(8.9));
    /// ```
    #[must_use]
    pub fn with_gpu(mut self, gpu: &GpuFacts) -> Self {
        let mut set = |name: &str, value: Value| self.gpu.insert(name.to_owned(), value);
        set("name", Value::Text(gpu.name.clone()));
        set("vendor", Value::Text(gpu.vendor.clone()));
        set("count", Value::Integer(gpu.count.into()));
        set("memory_mib", Value::Integer(gpu.memory_mib.into()));
        if let Some(capability) = gpu.compute_capability {
            set("compute_capability", Value::Integer(capability.into()));
            set("cc", Value::Number(f64::from(capability) / 10.0));
            set("major", Value::Integer((capability / 10).into()));
        }
        if let Some(driver) = &gpu.driver {
            set("driver", Value::Text(driver.clone()));
        }
        self
    }

    /// Takes what a model's `config.json` says: `model.type`, `model.architecture`, `model.dtype`,
    /// `model.num_hidden_layers`, `model.num_attention_heads`, `model.num_kv_heads`, `model.head_size`,
    /// `model.hidden_size`, `model.vocab_size`, `model.max_length`, `model.num_experts`, `model.is_moe`,
    /// `model.is_encoder_decoder`, `model.use_mla`, `model.quant_method`, `model.pre_quantized`.
    ///
    /// What it does not say stays unknown, except that a configuration without a mention of experts, latent attention,
    /// an encoder or quantization has none of it.
    #[must_use]
    pub fn with_model(mut self, id: &str, config: &serde_json::Value) -> Self {
        // Multimodal configurations nest the language model's.
        let text = config.get("text_config").unwrap_or(config);
        let of = |names: &[&str]| {
            names.iter().find_map(|name| text.get(name).or_else(|| config.get(name)))
        };
        let mut known = BTreeMap::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) =
                value.filter(|value| !matches!(value, Value::Null | Value::Json(_)))
            {
                known.insert(name.to_owned(), value);
            }
        };
        for (name, keys) in [
            ("type", &["model_type"][..]),
            ("dtype", &["dtype", "torch_dtype"]),
            ("num_hidden_layers", &["num_hidden_layers", "n_layer"]),
            ("num_attention_heads", &["num_attention_heads", "n_head"]),
            ("num_kv_heads", &["num_key_value_heads", "num_attention_heads", "n_head"]),
            ("hidden_size", &["hidden_size", "n_embd"]),
            ("vocab_size", &["vocab_size"]),
            ("max_length", &["max_position_embeddings", "n_positions"]),
            ("num_experts", &["num_experts", "num_local_experts", "n_routed_experts"]),
        ] {
            set(name, of(keys).map(|value| value.clone().into()));
        }
        let count = |names: &[&str]| of(names).and_then(serde_json::Value::as_i64);
        let shared = || {
            Some(
                count(&["hidden_size", "n_embd"])?
                    / count(&["num_attention_heads", "n_head"]).filter(|it| *it > 0)?,
            )
        };
        set("head_size", count(&["head_dim"]).or_else(shared).map(Value::Integer));
        let architecture = config.get("architectures").and_then(|it| it.get(0)).cloned();
        set("architecture", architecture.map(Into::into));
        let experts = count(&["num_experts", "num_local_experts", "n_routed_experts"]).unwrap_or(0);
        set("is_moe", Some(Value::Boolean(experts > 1)));
        set("use_mla", Some(Value::Boolean(count(&["kv_lora_rank"]).unwrap_or(0) > 0)));
        let encoder =
            of(&["is_encoder_decoder"]).and_then(serde_json::Value::as_bool).unwrap_or(false);
        set("is_encoder_decoder", Some(Value::Boolean(encoder)));
        let quantization = of(&["quantization_config", "compression_config"]);
        set("pre_quantized", Some(Value::Boolean(quantization.is_some())));
        set(
            "quant_method",
            quantization.and_then(|it| it.get("quant_method")).map(|it| it.clone().into()),
        );
        if quantization.is_none() {
            known.insert("quant_method".to_owned(), Value::Null);
        }
        self.models.insert(id.to_owned(), known);
        self
    }

    /// A fact by the name that rules use, for a model.
    pub(super) fn get(&self, name: &str, model: Option<&str>) -> Option<&Value> {
        match name.split_once('.') {
            Some(("model", fact)) => self.models.get(model?)?.get(fact),
            Some(("gpu", fact)) => self.gpu.get(fact),
            _ => self.other.get(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_rules_ask() {
        let config = serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
            "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768
        });
        let facts = Facts::default().with_model("m", &config);
        let of = |name: &str| facts.get(name, Some("m")).cloned();
        assert_eq!(of("model.num_kv_heads"), Some(Value::Integer(4)));
        assert_eq!(of("model.head_size"), Some(Value::Integer(128)));
        assert_eq!(of("model.is_moe"), Some(Value::Boolean(false)));
        assert_eq!(of("model.quant_method"), Some(Value::Null));
        assert_eq!(of("model.vocab_size"), None);
        assert_eq!(facts.get("model.type", Some("other")), None);
    }
}
