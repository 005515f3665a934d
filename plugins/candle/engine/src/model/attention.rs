//! Causal attention of a ragged batch over the sequences' own caches, without padding and without masks.
//!
//! Each query row is computed alone, in an order that depends on its position only, so that its result does not
//! depend on what else is in the batch. Projections and rotary positions are not done here.

mod kernel;

use rayon::prelude::*;

use self::kernel::Tile;
use super::{
    cache::{KvCache, LayerCache, Rows},
    config::ModelConfig,
};

/// Rows of one sequence that share a pass over its keys.
const TILE_ROWS: usize = 16;

/// Below this many multiplications one thread is faster than a hand-over.
const PARALLEL_FROM: usize = 1 << 16;

/// The rows of one sequence in a batch; its cache holds their keys and values already.
pub(crate) struct Piece<'a> {
    /// The sequence's cache.
    pub(crate) cache: &'a KvCache,
    /// Position of its first row.
    pub(crate) position: usize,
    /// Its rows.
    pub(crate) rows: usize,
}

struct Work<'a> {
    layer: &'a LayerCache,
    head: usize,
    position: usize,
    first_row: usize,
    rows: usize,
}

/// Attends with `queries`, the rows of all pieces one after the other, in layer `layer`.
pub(crate) fn attend(
    config: &ModelConfig,
    queries: &[f32],
    pieces: &[Piece<'_>],
    layer: usize,
) -> Vec<f32> {
    let work = divide(config, pieces, layer);
    let cost: usize = work.iter().map(|work| work.rows * (work.position + work.rows)).sum();
    let compute = |work: &Work<'_>| run(config, queries, work);
    let parts: Vec<Vec<f32>> = if cost * config.head_width * (config.heads / config.kv_heads)
        < PARALLEL_FROM
        || rayon::current_num_threads() == 1
    {
        work.iter().map(compute).collect()
    } else {
        work.par_iter().map(compute).collect()
    };
    let mut out = vec![0.0; queries.len()];
    let group = config.heads / config.kv_heads * config.head_width;
    for (work, part) in work.iter().zip(parts) {
        for (row, values) in part.chunks_exact(group).enumerate() {
            let start = (work.first_row + row) * config.query_width() + work.head * group;
            out[start..start + group].copy_from_slice(values);
        }
    }
    out
}

fn divide<'a>(config: &ModelConfig, pieces: &[Piece<'a>], layer: usize) -> Vec<Work<'a>> {
    let mut work = Vec::new();
    let mut first_row = 0;
    for piece in pieces {
        for start in (0..piece.rows).step_by(TILE_ROWS) {
            for head in 0..config.kv_heads {
                work.push(Work {
                    layer: piece.cache.layer(layer),
                    head,
                    position: piece.position + start,
                    first_row: first_row + start,
                    rows: TILE_ROWS.min(piece.rows - start),
                });
            }
        }
        first_row += piece.rows;
    }
    work
}

fn run(config: &ModelConfig, queries: &[f32], work: &Work<'_>) -> Vec<f32> {
    let tile = Tile {
        queries: &queries[work.first_row * config.query_width()
            ..(work.first_row + work.rows) * config.query_width()],
        query_width: config.query_width(),
        kv_width: config.kv_width(),
        head: work.head,
        group: config.heads / config.kv_heads,
        head_width: config.head_width,
        position: work.position,
        rows: work.rows,
    };
    match (&work.layer.keys, &work.layer.values) {
        (Rows::F32(keys), Rows::F32(values)) => kernel::attend(&tile, keys, values),
        (Rows::F16(keys), Rows::F16(values)) => kernel::attend(&tile, keys, values),
        (Rows::Bf16(keys), Rows::Bf16(values)) => kernel::attend(&tile, keys, values),
        _ => unreachable!("a layer's keys and values are reserved in one format"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Precision;

    fn config() -> ModelConfig {
        let text = r#"{"hidden_size":16,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":4,
            "num_key_value_heads":2,"vocab_size":8}"#;
        ModelConfig::from_json(text, Path::new("m")).expect("well-formed")
    }

    fn row(seed: usize, width: usize) -> Vec<f32> {
        (0..width)
            .map(|i| crate::arithmetic::float((seed * 31 + i * 17) % 23) / 11.0 - 1.0)
            .collect()
    }

    fn filled(
        config: &ModelConfig,
        precision: Precision,
        positions: usize,
        seed: usize,
    ) -> KvCache {
        let mut cache = KvCache::reserve(config, precision, positions).expect("little memory");
        for position in 0..positions {
            let layer = cache.layer_mut(0);
            layer.keys.append(&row(seed + position, config.kv_width()));
            layer.values.append(&row(seed + 2 * position + 1, config.kv_width()));
        }
        cache
    }

    /// Attention written down as its definition, for one query row.
    fn expected(
        config: &ModelConfig,
        query: &[f32],
        cache_seed: usize,
        position: usize,
    ) -> Vec<f32> {
        let width = config.head_width;
        let mut out = Vec::new();
        for head in 0..config.heads {
            let shared = head / (config.heads / config.kv_heads) * width;
            let q = &query[head * width..(head + 1) * width];
            let scores: Vec<f32> = (0..=position)
                .map(|p| {
                    let key = row(cache_seed + p, config.kv_width());
                    let dot: f32 = q.iter().zip(&key[shared..]).map(|(a, b)| a * b).sum();
                    (dot / crate::arithmetic::float(width).sqrt()).exp()
                })
                .collect();
            let total: f32 = scores.iter().sum();
            out.extend((0..width).map(|i| {
                let value = |p: usize| row(cache_seed + 2 * p + 1, config.kv_width())[shared + i];
                scores.iter().enumerate().map(|(p, score)| score / total * value(p)).sum::<f32>()
            }));
        }
        out
    }

    #[test]
    fn every_row_sees_its_own_sequence_up_to_its_own_position_and_nothing_else() {
        let config = config();
        let (long, short) =
            (filled(&config, Precision::F32, 40, 0), filled(&config, Precision::F32, 3, 100));
        // 20 rows at the end of a chunked prompt beside one decoding row.
        let queries: Vec<f32> =
            (0..21).flat_map(|seed| row(seed + 7, config.query_width())).collect();
        let pieces = [
            Piece { cache: &long, position: 20, rows: 20 },
            Piece { cache: &short, position: 2, rows: 1 },
        ];
        let out = attend(&config, &queries, &pieces, 0);
        for (index, (query, found)) in queries.chunks(16).zip(out.chunks(16)).enumerate() {
            let (seed, position) = if index < 20 { (0, 20 + index) } else { (100, 2) };
            for (found, expected) in found.iter().zip(expected(&config, query, seed, position)) {
                assert!((found - expected).abs() < 1e-5, "row {index}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_alone_and_in_a_batch() {
        let config = config();
        let (first, second) =
            (filled(&config, Precision::F32, 30, 0), filled(&config, Precision::F32, 9, 50));
        let queries: Vec<f32> = (0..31).flat_map(|seed| row(seed, config.query_width())).collect();
        let together = attend(
            &config,
            &queries,
            &[
                Piece { cache: &first, position: 0, rows: 30 },
                Piece { cache: &second, position: 8, rows: 1 },
            ],
            0,
        );
        for position in 0..30 {
            let own = &queries[position * 16..(position + 1) * 16];
            let alone = attend(&config, own, &[Piece { cache: &first, position, rows: 1 }], 0);
            assert_eq!(alone, together[position * 16..(position + 1) * 16]);
        }
    }

    #[test]
    fn narrow_caches_stay_close_to_wide_ones() {
        let config = config();
        let query = row(3, config.query_width());
        let attend_in = |precision| {
            let cache = filled(&config, precision, 12, 0);
            attend(&config, &query, &[Piece { cache: &cache, position: 11, rows: 1 }], 0)
        };
        let wide = attend_in(Precision::F32);
        for (precision, tolerance) in [(Precision::F16, 2e-3), (Precision::Bf16, 2e-2)] {
            let narrow = attend_in(precision);
            assert!(wide != narrow, "the format has an effect");
            assert!(
                wide.iter().zip(&narrow).all(|(a, b)| (a - b).abs() < tolerance),
                "{wide:?} {narrow:?}"
            );
        }
    }
}
