//! Layers and forward pass over a ragged batch: prompts in chunks and decoding sequences side by side.
//!
//! Which rows come together is the scheduler's business, which token follows is the sampler's.

use super::{
    attention::{self, Piece},
    cache::KvCache,
    config::ModelConfig,
    linear::Linear,
    norm::{add, gated, rms_norm},
    rope::Rotary,
};
use crate::{arithmetic::index, error::EngineError};

/// A loaded model.
pub(crate) struct Llama {
    /// Its shape.
    pub(crate) config: ModelConfig,
    /// Token embeddings, an output a token.
    pub(crate) embedding: Linear,
    /// Its layers.
    pub(crate) layers: Vec<Layer>,
    /// Scale of the last norm.
    pub(crate) norm: Vec<f32>,
    /// Output head, where it is not the embedding.
    pub(crate) head: Option<Linear>,
    /// Tables of rotary positions.
    pub(crate) rotary: Rotary,
}

/// One transformer layer.
pub(crate) struct Layer {
    /// Scale of the norm before attention.
    pub(crate) attention_norm: Vec<f32>,
    /// Query, key and value projections side by side.
    pub(crate) query_key_value: Linear,
    /// The attention's output projection.
    pub(crate) output: Linear,
    /// Scale of the norm before the MLP.
    pub(crate) mlp_norm: Vec<f32>,
    /// Gate and up projections side by side.
    pub(crate) gate_up: Linear,
    /// Down projection.
    pub(crate) down: Linear,
}

/// The next tokens of one sequence.
pub(crate) struct Span<'a> {
    /// Its cache; the tokens are appended.
    pub(crate) cache: &'a mut KvCache,
    /// Position of the first token.
    pub(crate) position: usize,
    /// The tokens.
    pub(crate) tokens: &'a [u32],
    /// The scores of the token after the last one are wanted.
    pub(crate) wants_scores: bool,
}

impl Llama {
    /// Processes the spans and returns the scores of those that want them: a row of the vocabulary's length each.
    pub(crate) fn forward(&self, spans: &mut [Span<'_>]) -> Result<Vec<f32>, EngineError> {
        let mut stream = self.embed(spans)?;
        let rows = stream.len() / self.config.hidden;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = rms_norm(&stream, &layer.attention_norm, self.config.norm_epsilon);
            let projected = layer.query_key_value.forward(&normed, rows)?;
            let queries = self.store(spans, projected, index);
            let pieces: Vec<Piece<'_>> = spans
                .iter()
                .map(|span| Piece {
                    cache: span.cache,
                    position: span.position,
                    rows: span.tokens.len(),
                })
                .collect();
            let attended = attention::attend(&self.config, &queries, &pieces, index);
            add(&mut stream, &layer.output.forward(&attended, rows)?);
            let normed = rms_norm(&stream, &layer.mlp_norm, self.config.norm_epsilon);
            let inner = gated(&layer.gate_up.forward(&normed, rows)?, self.config.intermediate);
            add(&mut stream, &layer.down.forward(&inner, rows)?);
        }
        self.scores(spans, &stream)
    }

    /// Returns the bytes that the weights take.
    pub(crate) fn bytes(&self) -> u64 {
        let layer = |layer: &Layer| {
            layer.query_key_value.bytes()
                + layer.output.bytes()
                + layer.gate_up.bytes()
                + layer.down.bytes()
        };
        let tables = self.embedding.bytes() + self.head.as_ref().map_or(0, Linear::bytes);
        tables + self.layers.iter().map(layer).sum::<u64>()
    }

    fn embed(&self, spans: &[Span<'_>]) -> Result<Vec<f32>, EngineError> {
        let mut stream = Vec::new();
        for token in spans.iter().flat_map(|span| span.tokens) {
            stream.extend(self.embedding.output_weights(index(*token))?);
        }
        Ok(stream)
    }

    /// Turns queries and keys to their positions, appends keys and values to the caches and returns the queries.
    fn store(&self, spans: &mut [Span<'_>], mut projected: Vec<f32>, layer: usize) -> Vec<f32> {
        let (query, kv) = (self.config.query_width(), self.config.kv_width());
        let mut queries = Vec::with_capacity(projected.len() / (query + 2 * kv) * query);
        let mut rows = projected.chunks_exact_mut(query + 2 * kv);
        for span in spans {
            let cache = span.cache.layer_mut(layer);
            for (offset, row) in rows.by_ref().take(span.tokens.len()).enumerate() {
                let (turned, values) = row.split_at_mut(query + kv);
                self.rotary.turn(turned, span.position + offset);
                queries.extend_from_slice(&turned[..query]);
                cache.keys.append(&turned[query..]);
                cache.values.append(values);
            }
        }
        queries
    }

    fn scores(&self, spans: &[Span<'_>], stream: &[f32]) -> Result<Vec<f32>, EngineError> {
        let hidden = self.config.hidden;
        let mut last = Vec::new();
        let mut end = 0;
        for span in spans {
            end += span.tokens.len() * hidden;
            if span.wants_scores {
                last.extend_from_slice(&stream[end - hidden..end]);
            }
        }
        if last.is_empty() {
            return Ok(Vec::new());
        }
        let normed = rms_norm(&last, &self.norm, self.config.norm_epsilon);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.forward(&normed, last.len() / hidden)
    }
}
