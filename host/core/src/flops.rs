//! Arithmetic that inference needs, from a model's shape; and its share of what a device can do.
//!
//! Counted is what the model asks for, not what an implementation executes: a multiplication and an
//! addition are two operations; embeddings, norms, rotary positions and activations are left out; a
//! prompt needs the output projection once, at its last position. Nothing is timed here.

mod peaks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::peaks::{NumberFormat, Peak, peak};
use crate::{
    model::ModelFacts,
    units::{Seconds, whole},
};

/// Families whose feed-forward block has two matrices; all others that are known have three.
const UNGATED: [&str; 9] =
    ["bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "mpt", "opt", "starcoder2"];
/// Families whose facts do not say how much they compute: latent attention, shared experts, state
/// spaces, or attention over a part of the context.
const UNKNOWN: [&str; 14] = [
    "deepseek_v2",
    "deepseek_v3",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "glm4_moe",
    "gpt_oss",
    "jamba",
    "llama4",
    "llama4_text",
    "mamba",
    "mamba2",
    "qwen2_moe",
    "qwen3_next",
];

/// A model whose arithmetic can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arithmetic {
    /// Weights of all layers that one token meets.
    active: u64,
    /// Weights of the output projection.
    head: u64,
    /// Layers times heads times width of a head.
    attention: u64,
    /// Layers times key and value heads times width of a head, for keys and for values.
    cache: u64,
}

/// Why arithmetic cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlopsError {
    /// The family computes more or less than its facts say.
    #[error("the arithmetic of model type `{0}` is not known")]
    Family(String),
    /// A mixture of experts that does not say how many a token uses.
    #[error("the model has experts but does not say how many a token uses")]
    Experts,
}

/// Arithmetic of a window, by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Flops {
    /// Floating-point operations of prompts.
    pub prefill: f64,
    /// Floating-point operations of generated tokens after the first.
    pub decode: f64,
}

impl Flops {
    /// Both phases.
    pub fn total(self) -> f64 {
        self.prefill + self.decode
    }

    /// Adds another request's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { prefill: self.prefill + other.prefill, decode: self.decode + other.decode }
    }
}

impl Arithmetic {
    /// Counts the weights that a token meets.
    pub fn of(facts: &ModelFacts) -> Result<Self, FlopsError> {
        let family = facts.model_type.as_str();
        if UNKNOWN.contains(&family) {
            return Err(FlopsError::Family(family.to_owned()));
        }
        let [layers, hidden, inner] =
            [facts.layers, facts.hidden_size, facts.intermediate_size].map(u64::from);
        let heads = u64::from(facts.attention_heads) * u64::from(facts.head_size);
        let shared = u64::from(facts.key_value_heads) * u64::from(facts.head_size);
        let matrices = if UNGATED.contains(&family) { 2 } else { 3 };
        let block = matrices * hidden * inner;
        let feed_forward = match (facts.experts, facts.experts_per_token) {
            (Some(experts), Some(used)) if experts > 0 => {
                u64::from(used) * block + u64::from(experts) * hidden
            }
            (Some(experts), None) if experts > 0 => return Err(FlopsError::Experts),
            _ => block,
        };
        // Queries and output have all heads; keys and values have the shared ones.
        let projections = 2 * hidden * heads + 2 * hidden * shared;
        Ok(Self {
            active: layers * (projections + feed_forward),
            head: hidden * u64::from(facts.vocabulary),
            attention: layers * heads,
            cache: 2 * layers * shared,
        })
    }

    /// Operations of a prompt of which the first `cached` tokens were already there.
    pub fn prefill(&self, prompt: u64, cached: u64) -> f64 {
        let new = whole(prompt.saturating_sub(cached));
        if new <= 0.0 {
            return 0.0;
        }
        // Token i attends to i tokens: the sum of cached+1 … prompt.
        let pairs = new * (whole(cached) + whole(prompt) + 1.0) / 2.0;
        2.0 * whole(self.active) * new + self.attend(pairs) + 2.0 * whole(self.head)
    }

    /// Operations of generating `tokens` after a prompt; the first of them is the prefill's.
    pub fn decode(&self, prompt: u64, tokens: u64) -> f64 {
        let steps = whole(tokens.saturating_sub(1));
        // Step k attends to the prompt and to k generated tokens.
        let pairs = steps * whole(prompt) + steps * (steps + 1.0) / 2.0;
        2.0 * whole(self.active + self.head) * steps + self.attend(pairs)
    }

    /// Operations of one request.
    pub fn request(&self, prompt: u64, cached: u64, tokens: u64) -> Flops {
        Flops { prefill: self.prefill(prompt, cached), decode: self.decode(prompt, tokens) }
    }

    /// Bytes that decoding must read: the weights once a step, and the cache of every context token.
    pub fn decode_bytes(&self, steps: u64, context_tokens: u64, weight: f64, cache: f64) -> f64 {
        whole(steps) * whole(self.active + self.head) * weight
            + whole(context_tokens) * whole(self.cache) * cache
    }

    /// Scores and weighted sums: two operations each for a multiplication and an addition.
    fn attend(&self, pairs: f64) -> f64 {
        4.0 * whole(self.attention) * pairs
    }
}

/// Share of the devices' peak that was used: model FLOPs utilisation.
///
/// ```
/// use llem_core::{flops::utilization, units::Seconds};
/// assert_eq!(utilization(1e15, Seconds::new(4.0), 2, 1e15), Some(0.125));
/// ```
pub fn utilization(amount: f64, time: Seconds, devices: u64, peak: f64) -> Option<f64> {
    let possible = time.get() * whole(devices) * peak;
    (possible > 0.0).then(|| amount / possible)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(json: &str) -> ModelFacts {
        ModelFacts::from_config(json).expect("a complete configuration")
    }

    const QWEN_7B: &str = r#"{"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584,
        "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152064}"#;

    #[test]
    fn a_gated_grouped_model_meets_the_weights_that_its_card_states() {
        // Qwen2.5-7B: 6.53 billion parameters without embeddings.
        let model = Arithmetic::of(&facts(QWEN_7B)).expect("a known family");
        let active = whole(model.active);
        assert!((active / 6.53e9 - 1.0).abs() < 0.003, "{active}");
        assert_eq!(model.head, 3584 * 152_064);
    }

    #[test]
    fn a_mixture_meets_its_active_experts() {
        let mixtral = r#"{"model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096,
            "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
            "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}"#;
        let model = Arithmetic::of(&facts(mixtral)).expect("a known family");
        // 12.9 billion active parameters, of which embeddings and head have 0.26.
        assert!((whole(model.active) / 12.62e9 - 1.0).abs() < 0.01, "{}", model.active);
    }

    #[test]
    fn what_the_facts_do_not_tell_is_refused() {
        let latent = QWEN_7B.replace("qwen2", "deepseek_v3");
        assert_eq!(
            Arithmetic::of(&facts(&latent)),
            Err(FlopsError::Family("deepseek_v3".to_owned()))
        );
    }

    #[test]
    fn a_cached_prompt_needs_nothing() {
        let model = Arithmetic::of(&facts(QWEN_7B)).expect("a known family");
        assert!(model.prefill(100, 100).abs() < f64::EPSILON);
        assert!(model.decode(100, 1).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn a_prompt_in_two_parts_needs_one_head_more(prompt in 2_u64..5_000, cut in 1_u64..5_000) {
            let model = Arithmetic::of(&facts(QWEN_7B)).expect("a known family");
            let cut = cut % (prompt - 1) + 1;
            let (whole_prompt, parts) =
                (model.prefill(prompt, 0), model.prefill(cut, 0) + model.prefill(prompt, cut));
            let head = 2.0 * whole(model.head);
            prop_assert!((parts - whole_prompt - head).abs() < 1e-9 * parts);
        }
    }
}
