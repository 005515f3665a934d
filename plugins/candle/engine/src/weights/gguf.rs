//! GGUF files: shape and tensors, in the block formats they are stored in. The tokenizer in them is read elsewhere.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Mutex,
};

use candle_core::{
    Device,
    quantized::{
        QTensor,
        gguf_file::{Content, Value},
    },
};

use crate::{
    arithmetic::index,
    error::EngineError,
    model::config::{ModelConfig, RotaryPairs, RotaryScaling},
};

/// An opened file.
pub(crate) struct GgufFile {
    path: PathBuf,
    reader: Mutex<BufReader<File>>,
    content: Content,
}

impl GgufFile {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let bad = |reason: String| EngineError::BadModel { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut reader = BufReader::new(file);
        let content = Content::read(&mut reader).map_err(|error| bad(error.to_string()))?;
        Ok(Self { path: path.to_owned(), reader: Mutex::new(reader), content })
    }

    /// Returns the header.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Reads a tensor of the given shape; `name` is the one of a Hugging Face checkpoint.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<QTensor, EngineError> {
        let own = own_name(name);
        let bad = |reason: String| EngineError::BadModel { path: self.path.clone(), reason };
        let mut reader = self.reader.lock().expect("nobody panics while reading");
        let tensor = self
            .content
            .tensor(&mut *reader, &own, &Device::Cpu)
            .map_err(|error| bad(format!("tensor `{own}`: {error}")))?;
        if tensor.shape().dims() != shape {
            let dims = tensor.shape().dims();
            return Err(bad(format!(
                "tensor `{own}` has shape {dims:?}, the metadata says {shape:?}"
            )));
        }
        Ok(tensor)
    }

    /// Returns the shape of the model.
    pub(crate) fn config(&self) -> Result<ModelConfig, EngineError> {
        let bad = |reason: String| EngineError::BadModel { path: self.path.clone(), reason };
        let config = self.read_config().map_err(bad)?;
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn read_config(&self) -> Result<ModelConfig, String> {
        let architecture = self
            .text("general.architecture")
            .ok_or("`general.architecture` is missing")?
            .to_owned();
        let rotary_pairs = match architecture.as_str() {
            "llama" => RotaryPairs::Neighbours,
            "qwen2" => RotaryPairs::Halves,
            other => {
                return Err(format!(
                    "the architecture is `{other}`, supported are llama and qwen2"
                ));
            }
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let need = |name: &str| {
            self.number(&key(name)).ok_or_else(|| format!("`{}` is missing", key(name)))
        };
        let hidden = need("embedding_length")?;
        let heads = need("attention.head_count")?;
        if heads == 0 {
            return Err("the number of heads is 0".to_owned());
        }
        let tokens = match self.content.metadata.get("tokenizer.ggml.tokens") {
            Some(Value::Array(tokens)) => Some(tokens.len()),
            _ => None,
        };
        let vocabulary =
            self.number(&key("vocab_size")).or(tokens).ok_or("the vocabulary size is missing")?;
        Ok(ModelConfig {
            hidden,
            intermediate: need("feed_forward_length")?,
            layers: need("block_count")?,
            heads,
            kv_heads: self.number(&key("attention.head_count_kv")).unwrap_or(heads),
            head_width: self.number(&key("attention.key_length")).unwrap_or(hidden / heads),
            vocabulary,
            max_positions: need("context_length")?,
            norm_epsilon: self.float(&key("attention.layer_norm_rms_epsilon")).ok_or_else(
                || format!("`{}` is missing", key("attention.layer_norm_rms_epsilon")),
            )?,
            rope_theta: self.float(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: self.scaling(&architecture)?,
            rotary_pairs,
            tied_embeddings: !self.has("output.weight"),
            attention_bias: self.has("blk.0.attn_q.bias"),
            output_bias: self.has("blk.0.attn_output.bias"),
            end_tokens: self.token("eos").into_iter().chain(self.token("eot")).collect(),
            architecture,
        })
    }

    fn scaling(&self, architecture: &str) -> Result<RotaryScaling, String> {
        if let Some(info) = self.content.tensor_infos.get("rope_freqs.weight") {
            let divisors = self
                .tensor("rope_freqs.weight", info.shape.dims())
                .map_err(|error| error.to_string())?
                .dequantize(&Device::Cpu)
                .and_then(|tensor| tensor.to_vec1())
                .map_err(|error| error.to_string())?;
            return Ok(RotaryScaling::Divisors(divisors));
        }
        match self.text(&format!("{architecture}.rope.scaling.type")) {
            None | Some("none") => Ok(RotaryScaling::None),
            Some("linear") => {
                let name = format!("{architecture}.rope.scaling.factor");
                let factor = self.float(&name).ok_or_else(|| format!("`{name}` is missing"))?;
                Ok(RotaryScaling::Linear { factor })
            }
            Some(other) => {
                Err(format!("rotary scaling is `{other}`, supported are none and linear"))
            }
        }
    }

    /// Returns the id of a special token, such as `eos`.
    pub(crate) fn token(&self, role: &str) -> Option<u32> {
        self.number(&format!("tokenizer.ggml.{role}_token_id"))
            .and_then(|id| u32::try_from(id).ok())
    }

    /// Returns a text of the metadata.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<usize> {
        match self.content.metadata.get(key)? {
            Value::U8(value) => Some(usize::from(*value)),
            Value::U16(value) => Some(usize::from(*value)),
            Value::U32(value) => Some(index(*value)),
            Value::U64(value) => usize::try_from(*value).ok(),
            Value::I32(value) => usize::try_from(*value).ok(),
            Value::I64(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    fn float(&self, key: &str) -> Option<f32> {
        match self.content.metadata.get(key)? {
            Value::F32(value) => Some(*value),
            Value::F64(value) => Some(crate::arithmetic::single(*value)),
            _ => None,
        }
    }

    fn has(&self, own_name: &str) -> bool {
        self.content.tensor_infos.contains_key(own_name)
    }
}

/// Translates a name of a Hugging Face checkpoint.
pub(crate) fn own_name(name: &str) -> String {
    match name {
        "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
        "model.norm.weight" => return "output_norm.weight".to_owned(),
        "lm_head.weight" => return "output.weight".to_owned(),
        _ => {}
    }
    let Some((layer, part)) =
        name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'))
    else {
        return name.to_owned();
    };
    let (part, kind) = part.rsplit_once('.').unwrap_or((part, "weight"));
    let part = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        other => other,
    };
    format!("blk.{layer}.{part}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn checkpoint_names_become_file_names() {
        for (name, expected) in [
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("model.layers.11.self_attn.q_proj.bias", "blk.11.attn_q.bias"),
            ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            ("rope_freqs.weight", "rope_freqs.weight"),
        ] {
            assert_eq!(own_name(name), expected);
        }
    }
}
