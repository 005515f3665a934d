//! Model shapes: facts read from a `config.json`, and built-in configurations for random weights.
//!
//! Random weights of a real shape make an engine do the same work as trained ones, without a
//! download; what they can't show is anything that depends on the text, such as mixture-of-experts
//! routing or speculative acceptance. Reads no file.

mod builtin;

pub use builtin::{BUILT_IN, UnknownShape, built_in};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Facts about a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ModelFacts {
    /// `model_type` of the configuration.
    pub model_type: String,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Width inside the feed-forward block, of one expert where there are several.
    pub intermediate_size: u32,
    /// Attention heads.
    pub attention_heads: u32,
    /// Key and value heads.
    pub key_value_heads: u32,
    /// Width of a head.
    pub head_size: u32,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Longest context.
    pub context_length: Option<u32>,
    /// Experts of a mixture-of-experts layer; none: a dense model.
    pub experts: Option<u32>,
    /// Experts that a token uses.
    pub experts_per_token: Option<u32>,
    /// Whether the output projection shares the input embedding's weights.
    pub tied_embeddings: bool,
}

/// Why a configuration gives no facts.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON.
    #[error("the model's config.json is not JSON")]
    NotJson(#[from] serde_json::Error),
    /// A key is missing or not a count.
    #[error("the model's config.json has no usable `{0}`")]
    Missing(&'static str),
}

impl ModelFacts {
    /// Reads the facts from the text of a `config.json`.
    pub fn from_config(text: &str) -> Result<Self, ConfigError> {
        let json: serde_json::Value = serde_json::from_str(text)?;
        // Multimodal configurations nest the language model's.
        let json = json.get("text_config").unwrap_or(&json);
        let count = |key: &'static str| {
            json.get(key).and_then(serde_json::Value::as_u64).and_then(|it| u32::try_from(it).ok())
        };
        let need =
            |key: &'static str| count(key).filter(|it| *it > 0).ok_or(ConfigError::Missing(key));
        let attention_heads = need("num_attention_heads")?;
        let hidden_size = need("hidden_size")?;
        Ok(Self {
            model_type: json
                .get("model_type")
                .and_then(|it| it.as_str())
                .unwrap_or("unknown")
                .to_owned(),
            layers: need("num_hidden_layers")?,
            hidden_size,
            intermediate_size: count("moe_intermediate_size")
                .map_or_else(|| need("intermediate_size"), Ok)?,
            attention_heads,
            key_value_heads: count("num_key_value_heads").unwrap_or(attention_heads),
            head_size: count("head_dim").unwrap_or(hidden_size / attention_heads),
            vocabulary: need("vocab_size")?,
            context_length: count("max_position_embeddings"),
            experts: count("num_local_experts").or_else(|| count("num_experts")),
            experts_per_token: count("num_experts_per_tok"),
            tied_embeddings: json
                .get("tie_word_embeddings")
                .and_then(serde_json::Value::as_bool)
                .unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_shape_has_facts() {
        for name in BUILT_IN {
            let facts =
                ModelFacts::from_config(built_in(name).expect("it is built in")).expect(name);
            assert_eq!(facts.attention_heads % facts.key_value_heads, 0, "{name}");
            assert!(facts.context_length.is_some(), "{name}");
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        let error =
            ModelFacts::from_config(r#"{"num_attention_heads": 4}"#).expect_err("incomplete");
        assert_eq!(error.to_string(), "the model's config.json has no usable `hidden_size`");
    }

    #[test]
    fn an_unknown_shape_lists_the_known_and_the_nearest() {
        let error = built_in("qwen2.5-7").expect_err("unknown").to_string();
        assert!(error.contains("qwen2.5-7b") && error.contains("smollm2-135m"), "{error}");
    }
}
