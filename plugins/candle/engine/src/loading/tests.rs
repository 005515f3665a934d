//! The same weights from a seed, from safetensors and from GGUF give the same scores.

use std::{collections::HashMap, num::NonZeroUsize};

use candle_core::{
    DType, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value as GgufValue},
    },
};
use serde_json::json;

use super::*;
use crate::{
    model::{cache::KvCache, llama::Span},
    settings::{CachePrecision, Precision, Quantization},
};

const SEED: u64 = 11;

fn settings() -> Settings {
    Settings {
        threads: NonZeroUsize::MIN,
        dtype: Precision::F32,
        quantization: Quantization::None,
        max_batch_size: NonZeroUsize::MIN,
        prefill_chunk: NonZeroUsize::MIN,
        kv_cache_dtype: CachePrecision::Auto,
        context_length: None,
    }
}

fn write_config(folder: &Path, changes: &Value) -> ModelConfig {
    let mut config = json!({
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 32, "rope_theta": 500.0,
    });
    for (name, value) in changes.as_object().expect("tests pass objects") {
        config[name] = value.clone();
    }
    fs::write(folder.join("config.json"), config.to_string()).expect("writable");
    ModelConfig::from_json(&config.to_string(), folder).expect("well-formed")
}

/// All tensors that a seed stands for, by their checkpoint names.
fn tensors(config: &ModelConfig) -> HashMap<String, Tensor> {
    let random = RandomWeights { seed: SEED };
    let mut tensors = HashMap::new();
    let mut vector = |name: String, length| {
        let values = random.vector(&name, length);
        tensors.insert(
            name,
            Tensor::from_vec(values, length, &candle_core::Device::Cpu).expect("fits"),
        );
    };
    vector("model.norm.weight".to_owned(), config.hidden);
    let (hidden, inner) = (config.hidden, config.intermediate);
    let mut shapes = vec![("model.embed_tokens".to_owned(), config.vocabulary, hidden)];
    if !config.tied_embeddings {
        shapes.push(("lm_head".to_owned(), config.vocabulary, hidden));
    }
    for layer in 0..config.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        vector(name("input_layernorm.weight"), hidden);
        vector(name("post_attention_layernorm.weight"), hidden);
        for (part, rows, columns) in [
            ("self_attn.q_proj", config.query_width(), hidden),
            ("self_attn.k_proj", config.kv_width(), hidden),
            ("self_attn.v_proj", config.kv_width(), hidden),
            ("self_attn.o_proj", hidden, config.query_width()),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ] {
            if config.attention_bias && part.starts_with("self_attn") && part != "self_attn.o_proj"
            {
                vector(name(&format!("{part}.bias")), rows);
            }
            shapes.push((name(part), rows, columns));
        }
    }
    for (name, rows, columns) in shapes {
        let name = format!("{name}.weight");
        tensors.insert(name.clone(), random.matrix(&name, (rows, columns)).expect("fits"));
    }
    tensors
}

fn scores(path: &Path, random_weights: bool) -> Vec<f32> {
    let settings = settings();
    let model =
        load(&Request { path, random_weights, seed: SEED, settings: &settings }).expect("loads");
    let mut cache =
        KvCache::reserve(&model.llama.config, Precision::F32, 8).expect("little memory");
    let tokens = [5, 99, 0, 42, 42, 7];
    let span = Span { cache: &mut cache, position: 0, tokens: &tokens, wants_scores: true };
    model.llama.forward(&mut [span]).expect("computes")
}

fn assert_close(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    let worst =
        left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
    assert!(
        left.iter().any(|score| score.abs() > 1e-2),
        "all scores near zero would prove nothing"
    );
}

#[test]
fn a_checkpoint_gives_the_scores_of_the_seed_it_was_made_from() {
    for changes in [json!({}), json!({"model_type": "qwen2", "tie_word_embeddings": true})] {
        let folder = tempfile::tempdir().expect("temporary directory");
        let config = write_config(folder.path(), &changes);
        let tensors = tensors(&config);
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors"))
            .expect("writable");
        assert_close(&scores(folder.path(), false), &scores(folder.path(), true));
    }
}

#[test]
fn a_checkpoint_that_lacks_a_tensor_or_has_another_shape_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let config = write_config(folder.path(), &json!({}));
    let mut tensors = tensors(&config);
    let mut refusal = |name: &str, tensor: Option<Tensor>| {
        let old = tensors.remove(name).expect("there is one");
        tensors.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors"))
            .expect("writable");
        tensors.insert(name.to_owned(), old);
        let settings = settings();
        let request =
            Request { path: folder.path(), random_weights: false, seed: 0, settings: &settings };
        load(&request).err().expect("refused").to_string()
    };
    let norm = "model.layers.1.input_layernorm.weight";
    assert!(refusal(norm, None).ends_with(&format!("tensor `{norm}` is missing")));
    let short = Tensor::zeros(3, DType::F32, &candle_core::Device::Cpu).expect("fits");
    assert!(refusal(norm, Some(short)).ends_with("has shape [3], the config says [64]"));
}

#[test]
fn a_gguf_file_gives_the_scores_of_the_checkpoint_it_was_made_from() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let config = write_config(folder.path(), &json!({}));
    let path = folder.path().join("model.gguf");
    write_gguf(&path, &config, tensors(&config));
    assert_close(&scores(&path, false), &scores(folder.path(), true));
}

fn write_gguf(path: &Path, config: &ModelConfig, tensors: HashMap<String, Tensor>) {
    let number = |value: usize| GgufValue::U32(u32::try_from(value).expect("small"));
    let metadata = [
        ("general.architecture", GgufValue::String("llama".to_owned())),
        ("llama.embedding_length", number(config.hidden)),
        ("llama.feed_forward_length", number(config.intermediate)),
        ("llama.block_count", number(config.layers)),
        ("llama.attention.head_count", number(config.heads)),
        ("llama.attention.head_count_kv", number(config.kv_heads)),
        ("llama.vocab_size", number(config.vocabulary)),
        ("llama.context_length", number(config.max_positions)),
        ("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(config.norm_epsilon)),
        ("llama.rope.freq_base", GgufValue::F32(config.rope_theta)),
    ];
    let tensors: Vec<(String, QTensor)> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let heads = match name.as_str() {
                name if name.contains("q_proj") => Some(config.heads),
                name if name.contains("k_proj") => Some(config.kv_heads),
                _ => None,
            };
            let tensor = heads
                .map_or_else(|| tensor.clone(), |heads| with_neighbouring_pairs(&tensor, heads));
            let blocks = QTensor::quantize(&tensor, GgmlDType::F32).expect("plain numbers fit");
            (weights::gguf::own_name(&name), blocks)
        })
        .collect();
    let metadata: Vec<(&str, &GgufValue)> =
        metadata.iter().map(|(name, value)| (*name, value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = fs::File::create(path).expect("writable");
    gguf_file::write(&mut file, &metadata, &tensors).expect("writable");
}

/// Orders the rows of a projection as GGUF files of the llama architecture have them.
fn with_neighbouring_pairs(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, inputs) = tensor.dims2().expect("a matrix");
    let halves = tensor.reshape((heads, 2, rows / heads / 2, inputs)).expect("heads are even");
    halves
        .transpose(1, 2)
        .and_then(|pairs| pairs.contiguous()?.reshape((rows, inputs)))
        .expect("same size")
}
