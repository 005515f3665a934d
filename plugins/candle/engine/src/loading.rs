//! From a path to a model that can run: finds out what is there, checks that it fits and lays out the weights.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    chat::ChatTemplate,
    error::EngineError,
    memory,
    model::{
        config::{ModelConfig, TokenIds},
        linear::Linear,
        llama::{Layer, Llama},
        rope::Rotary,
    },
    settings::Settings,
    tokenizer::TextTokenizer,
    weights::{self, Source, gguf::GgufFile, random::RandomWeights, safetensors::SafetensorsFiles},
};

/// What to load.
pub(crate) struct Request<'a> {
    /// A directory or a GGUF file.
    pub(crate) path: &'a Path,
    /// Draw the weights instead of reading them.
    pub(crate) random_weights: bool,
    /// Seed of random weights.
    pub(crate) seed: u64,
    /// How to load it.
    pub(crate) settings: &'a Settings,
}

/// A model that can run.
pub(crate) struct LoadedModel {
    /// Weights and shape.
    pub(crate) llama: Llama,
    /// Its tokenizer, or why there is none.
    pub(crate) tokenizer: Result<Arc<TextTokenizer>, String>,
    /// Its chat template, or why there is none.
    pub(crate) chat: Result<ChatTemplate, String>,
    /// Longest sequence.
    pub(crate) context_length: usize,
}

/// Loads a model. Call it inside the compute pool.
pub(crate) fn load(request: &Request<'_>) -> Result<LoadedModel, EngineError> {
    let path = request.path;
    let kind = fs::metadata(path).map_err(|error| EngineError::ModelNotFound {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    if kind.is_dir() { load_directory(request) } else { load_file(request) }
}

fn load_file(request: &Request<'_>) -> Result<LoadedModel, EngineError> {
    let path = request.path;
    if path.extension().is_none_or(|extension| extension != "gguf") {
        return Err(EngineError::BadModel {
            path: path.to_owned(),
            reason: "a model is a directory or a file whose name ends in `.gguf`".to_owned(),
        });
    }
    if request.random_weights {
        let reason = "random weights need a directory with config.json, not a file";
        return Err(EngineError::bad_parameter("random_weights", reason));
    }
    let file = GgufFile::open(path)?;
    let config = file.config()?;
    let stored = fs::metadata(path).map_or(0, |file| file.len());
    let wanted = request
        .settings
        .quantization
        .block_format()
        .map(|_| weights::expected_bytes(&config, request.settings));
    memory::require("the weights", wanted.unwrap_or(stored))?;
    let tokenizer = TextTokenizer::from_gguf(file.content()).map(Arc::new);
    let special = |role| {
        let id = file.token(role)?;
        tokenizer.as_ref().ok()?.token(id)
    };
    let chat = match file.text("tokenizer.chat_template") {
        Some(template) => ChatTemplate::new(template, special("bos"), special("eos")),
        None => Err("the file has no chat template".to_owned()),
    };
    finish(request, &config, &Source::Gguf(file), tokenizer, chat)
}

fn load_directory(request: &Request<'_>) -> Result<LoadedModel, EngineError> {
    let folder = request.path;
    let config_path = folder.join("config.json");
    let text = fs::read_to_string(&config_path).map_err(|error| EngineError::ModelNotFound {
        path: config_path.clone(),
        reason: error.to_string(),
    })?;
    let mut config = ModelConfig::from_json(&text, &config_path)?;
    config.end_tokens.extend(generation_end_tokens(folder)?);
    config.end_tokens.sort_unstable();
    config.end_tokens.dedup();
    memory::require("the weights", weights::expected_bytes(&config, request.settings))?;
    let source = if request.random_weights {
        Source::Random(RandomWeights { seed: request.seed })
    } else {
        Source::Safetensors(SafetensorsFiles::open(folder)?)
    };
    if let Source::Safetensors(files) = &source {
        // Checkpoints tie the head by leaving it out, whatever the config says.
        config.tied_embeddings |= !files.has("lm_head.weight");
    }
    let tokenizer_path = folder.join("tokenizer.json");
    let tokenizer = if tokenizer_path.exists() {
        TextTokenizer::from_file(&tokenizer_path).map(Arc::new)
    } else {
        Err("the model directory has no tokenizer.json".to_owned())
    };
    finish(request, &config, &source, tokenizer, ChatTemplate::from_directory(folder))
}

fn generation_end_tokens(folder: &Path) -> Result<Vec<u32>, EngineError> {
    let path = folder.join("generation_config.json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let bad = |error: serde_json::Error| EngineError::BadModel {
        path: path.clone(),
        reason: error.to_string(),
    };
    let config: Value = serde_json::from_str(&text).map_err(bad)?;
    match config.get("eos_token_id") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(ids) => Ok(serde_json::from_value::<TokenIds>(ids.clone()).map_err(bad)?.into_vec()),
    }
}

fn finish(
    request: &Request<'_>,
    config: &ModelConfig,
    source: &Source,
    tokenizer: Result<Arc<TextTokenizer>, String>,
    chat: Result<ChatTemplate, String>,
) -> Result<LoadedModel, EngineError> {
    let context_length = match request.settings.context_length {
        None => config.max_positions,
        Some(wanted) if wanted.get() <= config.max_positions => wanted.get(),
        Some(wanted) => {
            let reason = format!("found {wanted}, the model has at most {}", config.max_positions);
            return Err(EngineError::bad_parameter("context_length", reason));
        }
    };
    let llama = Assembly { config, source, settings: request.settings }.build(context_length)?;
    Ok(LoadedModel { llama, tokenizer, chat, context_length })
}

struct Assembly<'a> {
    config: &'a ModelConfig,
    source: &'a Source,
    settings: &'a Settings,
}

impl Assembly<'_> {
    fn build(&self, context_length: usize) -> Result<Llama, EngineError> {
        let config = self.config;
        let table = (config.vocabulary, config.hidden);
        let head = if config.tied_embeddings {
            None
        } else {
            Some(self.linear(&[("lm_head", table)], false)?)
        };
        Ok(Llama {
            embedding: self.linear(&[("model.embed_tokens", table)], false)?,
            layers: (0..config.layers).map(|index| self.layer(index)).collect::<Result<_, _>>()?,
            norm: self.source.vector("model.norm.weight", config.hidden)?,
            head,
            rotary: Rotary::new(config, context_length),
            config: config.clone(),
        })
    }

    fn layer(&self, index: usize) -> Result<Layer, EngineError> {
        let config = self.config;
        let (hidden, inner) = (config.hidden, config.intermediate);
        let (query, kv) = (config.query_width(), config.kv_width());
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let (q, k, v) =
            (name("self_attn.q_proj"), name("self_attn.k_proj"), name("self_attn.v_proj"));
        let (gate, up) = (name("mlp.gate_proj"), name("mlp.up_proj"));
        let projections = [(q.as_str(), (query, hidden)), (&k, (kv, hidden)), (&v, (kv, hidden))];
        Ok(Layer {
            attention_norm: self.source.vector(&name("input_layernorm.weight"), hidden)?,
            query_key_value: self.linear(&projections, config.attention_bias)?,
            output: self
                .linear(&[(&name("self_attn.o_proj"), (hidden, query))], config.output_bias)?,
            mlp_norm: self.source.vector(&name("post_attention_layernorm.weight"), hidden)?,
            gate_up: self.linear(&[(&gate, (inner, hidden)), (&up, (inner, hidden))], false)?,
            down: self.linear(&[(&name("mlp.down_proj"), (hidden, inner))], false)?,
        })
    }

    fn linear(
        &self,
        parts: &[(&str, (usize, usize))],
        has_bias: bool,
    ) -> Result<Linear, EngineError> {
        let format = self.settings.quantization.block_format();
        let mut matrices = Vec::new();
        let mut bias = Vec::new();
        for (name, shape) in parts {
            matrices.push(self.source.matrix(&format!("{name}.weight"), *shape, format)?);
            if has_bias {
                bias.extend(self.source.vector(&format!("{name}.bias"), shape.0)?);
            }
        }
        Linear::new(matrices, has_bias.then_some(bias), self.settings.dtype)
    }
}

/// Returns the name under which a model is known where none is given: its path.
pub(crate) fn default_name(path: &Path) -> String {
    PathBuf::from(path).display().to_string()
}

#[cfg(test)]
mod tests;
