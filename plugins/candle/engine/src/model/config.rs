//! The shape of a llama-family model, from `config.json`. Holds no weights.

use std::path::Path;

use serde::Deserialize;

use crate::error::EngineError;

/// How rotary positions pair the elements of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RotaryPairs {
    /// Element i with element i + half, as checkpoints in safetensors have it.
    Halves,
    /// Element 2i with element 2i + 1, as GGUF files of the llama architecture have it.
    Neighbours,
}

/// How rotary frequencies are stretched for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RotaryScaling {
    /// They are not.
    None,
    /// All frequencies divided by a factor.
    Linear {
        /// The factor.
        factor: f32,
    },
    /// Llama 3: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of low frequencies.
        factor: f32,
        /// Wavelengths longer than the original context over this are divided.
        low_frequency_factor: f32,
        /// Wavelengths shorter than the original context over this are kept.
        high_frequency_factor: f32,
        /// Context the model was first trained for.
        original_context: f32,
    },
    /// Divisors given one by one, as GGUF files have them.
    Divisors(Vec<f32>),
}

/// Everything about a model's shape that the forward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct ModelConfig {
    /// Model family, as the file names it.
    pub(crate) architecture: String,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Width of the gated MLP.
    pub(crate) intermediate: usize,
    /// Layers.
    pub(crate) layers: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; query heads share them in equal groups.
    pub(crate) kv_heads: usize,
    /// Width of a head.
    pub(crate) head_width: usize,
    /// Tokens in the vocabulary.
    pub(crate) vocabulary: usize,
    /// Longest sequence the model was made for.
    pub(crate) max_positions: usize,
    /// Added to the mean square in each norm.
    pub(crate) norm_epsilon: f32,
    /// Base of the rotary frequencies.
    pub(crate) rope_theta: f32,
    /// How rotary frequencies are stretched.
    pub(crate) rope_scaling: RotaryScaling,
    /// How rotary positions pair elements.
    pub(crate) rotary_pairs: RotaryPairs,
    /// The output head is the embedding matrix.
    pub(crate) tied_embeddings: bool,
    /// Query, key and value projections have biases.
    pub(crate) attention_bias: bool,
    /// The attention's output projection has a bias.
    pub(crate) output_bias: bool,
    /// Tokens that end a sequence.
    pub(crate) end_tokens: Vec<u32>,
}

impl ModelConfig {
    /// Parses the text of `config.json`; `path` is for messages.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self, EngineError> {
        let bad = |reason: String| EngineError::BadModel { path: path.to_owned(), reason };
        let file: ConfigFile =
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let config = file.into_config().map_err(bad)?;
        config.check().map_err(|reason| EngineError::BadModel { path: path.to_owned(), reason })?;
        Ok(config)
    }

    /// Says what is impossible in the shape.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("hidden size", self.hidden),
            ("intermediate size", self.intermediate),
            ("number of layers", self.layers),
            ("number of heads", self.heads),
            ("number of key-value heads", self.kv_heads),
            ("head width", self.head_width),
            ("vocabulary size", self.vocabulary),
            ("context length", self.max_positions),
        ] {
            if value == 0 {
                return Err(format!("the {name} is 0"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!(
                "{} heads can't share {} key-value heads",
                self.heads, self.kv_heads
            ));
        }
        if !self.head_width.is_multiple_of(2) {
            return Err(format!(
                "the head width {} is odd, rotary positions need pairs",
                self.head_width
            ));
        }
        Ok(())
    }

    /// Returns the width of all query heads together.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Returns the width of all key heads, or of all value heads, together.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Counts the weights, biases and norms left out.
    pub(crate) fn parameters(&self) -> u64 {
        let size = |rows: usize, columns: usize| {
            crate::arithmetic::count(rows) * crate::arithmetic::count(columns)
        };
        let attention =
            size(self.hidden, 2 * self.query_width()) + size(self.hidden, 2 * self.kv_width());
        let layer = attention + size(self.hidden, 3 * self.intermediate);
        let tables = if self.tied_embeddings { 1 } else { 2 };
        layer.saturating_mul(crate::arithmetic::count(self.layers))
            + size(self.hidden, tables * self.vocabulary)
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    #[serde(default = "default_positions")]
    max_position_embeddings: usize,
    #[serde(default = "default_epsilon")]
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    tie_word_embeddings: bool,
    attention_bias: Option<bool>,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    sliding_window: Option<usize>,
    eos_token_id: Option<TokenIds>,
}

#[derive(Deserialize)]
struct RopeParameters {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<f32>,
}

/// One token id or several, as `eos_token_id` has them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenIds {
    /// One.
    One(u32),
    /// Several.
    Several(Vec<u32>),
}

impl TokenIds {
    /// Returns them as a list.
    pub(crate) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Several(ids) => ids,
        }
    }
}

fn default_positions() -> usize {
    2048
}

fn default_epsilon() -> f32 {
    1e-6
}

impl ConfigFile {
    fn into_config(self) -> Result<ModelConfig, String> {
        let architecture = self.model_type.unwrap_or_else(|| "llama".to_owned());
        // Qwen2 always has biases on query, key and value, none on the output, and no key for it.
        let (attention_bias, output_bias) = match architecture.as_str() {
            "llama" | "smollm" | "mistral" => {
                let bias = self.attention_bias.unwrap_or(false);
                (bias, bias)
            }
            "qwen2" => (true, false),
            other => {
                return Err(format!(
                    "the model type is `{other}`, supported are llama, mistral and qwen2"
                ));
            }
        };
        if self.mlp_bias {
            return Err("`mlp_bias` is true, MLP biases are not supported".to_owned());
        }
        if self.use_sliding_window {
            return Err("`use_sliding_window` is true, only full attention is supported".to_owned());
        }
        if let Some(activation) = self.hidden_act.filter(|name| name != "silu") {
            return Err(format!("`hidden_act` is `{activation}`, only silu is supported"));
        }
        if self.num_attention_heads == 0 {
            return Err("the number of heads is 0".to_owned());
        }
        // Up to the length of the window, windowed attention is full attention.
        let window =
            self.sliding_window.filter(|_| architecture == "mistral").unwrap_or(usize::MAX);
        let rope = self.rope_scaling.or(self.rope_parameters);
        let theta =
            self.rope_theta.or(rope.as_ref().and_then(|rope| rope.rope_theta)).unwrap_or(10_000.0);
        Ok(ModelConfig {
            architecture,
            hidden: self.hidden_size,
            intermediate: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_width: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads),
            vocabulary: self.vocab_size,
            max_positions: self.max_position_embeddings.min(window),
            norm_epsilon: self.rms_norm_eps,
            rope_theta: theta,
            rope_scaling: rope.map_or(Ok(RotaryScaling::None), RopeParameters::scaling)?,
            rotary_pairs: RotaryPairs::Halves,
            tied_embeddings: self.tie_word_embeddings,
            attention_bias,
            output_bias,
            end_tokens: self.eos_token_id.map_or_else(Vec::new, TokenIds::into_vec),
        })
    }
}

impl RopeParameters {
    fn scaling(self) -> Result<RotaryScaling, String> {
        let need = |name: &str, value: Option<f32>| {
            value.ok_or_else(|| format!("`rope_scaling` lacks `{name}`"))
        };
        match self.rope_type.as_deref().unwrap_or("default") {
            "default" => Ok(RotaryScaling::None),
            "linear" => Ok(RotaryScaling::Linear { factor: need("factor", self.factor)? }),
            "llama3" => Ok(RotaryScaling::Llama3 {
                factor: need("factor", self.factor)?,
                low_frequency_factor: need("low_freq_factor", self.low_freq_factor)?,
                high_frequency_factor: need("high_freq_factor", self.high_freq_factor)?,
                original_context: need(
                    "original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            }),
            other => Err(format!(
                "`rope_scaling` is `{other}`, supported are default, linear and llama3"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(changes: &Value) -> Result<ModelConfig, String> {
        let mut config = json!({
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 32, "eos_token_id": [1, 2],
        });
        for (name, value) in changes.as_object().expect("tests pass objects") {
            config[name] = value.clone();
        }
        ModelConfig::from_json(&config.to_string(), Path::new("m"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_llama_config_gives_its_shape() {
        let config = parse(&json!({"tie_word_embeddings": true})).expect("well-formed");
        assert_eq!((config.head_width, config.kv_width(), config.query_width()), (16, 32, 64));
        assert_eq!(config.end_tokens, [1, 2]);
        assert_eq!(config.parameters(), 2 * (64 * 128 + 64 * 64 + 64 * 384) + 64 * 100);
        assert!(!config.attention_bias);
    }

    #[test]
    fn qwen2_has_biases_on_query_key_and_value_only() {
        let config = parse(&json!({"model_type": "qwen2"})).expect("well-formed");
        assert!(config.attention_bias && !config.output_bias);
    }

    #[test]
    fn a_sliding_window_bounds_the_context() {
        let positions = |changes| parse(&changes).expect("well-formed").max_positions;
        assert_eq!(positions(json!({"model_type": "mistral", "sliding_window": 16})), 16);
        assert_eq!(positions(json!({"model_type": "mistral", "sliding_window": null})), 32);
        assert_eq!(
            positions(json!({"model_type": "qwen2", "sliding_window": 16})),
            32,
            "it is switched off"
        );
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (changes, expected) in [
            (json!({"model_type": "mamba"}), "the model type is `mamba`"),
            (json!({"hidden_act": "gelu"}), "`hidden_act` is `gelu`"),
            (json!({"num_key_value_heads": 3}), "4 heads can't share 3"),
            (json!({"vocab_size": 0}), "the vocabulary size is 0"),
            (json!({"hidden_size": "wide"}), "invalid type"),
            (json!({"rope_scaling": {"rope_type": "yarn"}}), "`rope_scaling` is `yarn`"),
            (json!({"rope_scaling": {"type": "linear"}}), "`rope_scaling` lacks `factor`"),
        ] {
            let message = parse(&changes).expect_err("refused");
            assert!(message.contains(expected), "{message}");
        }
    }
}
