//! The inner loops of attention, compiled for the widest vectors the machine has. Starts no threads.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::{Arch, Simd, WithSimd};

use crate::arithmetic::float;

/// Some consecutive query rows of one sequence and one key-value head.
pub(super) struct Tile<'a> {
    /// The rows, all heads of each.
    pub(super) queries: &'a [f32],
    /// Width of a row of queries.
    pub(super) query_width: usize,
    /// Width of a row of keys.
    pub(super) kv_width: usize,
    /// The key-value head.
    pub(super) head: usize,
    /// Query heads that share it.
    pub(super) group: usize,
    /// Width of a head.
    pub(super) head_width: usize,
    /// Position of the first row.
    pub(super) position: usize,
    /// Number of rows.
    pub(super) rows: usize,
}

/// A number format of the cache.
pub(super) trait Element: Copy {
    /// Returns a row as `f32`, in `scratch` unless it is so already.
    fn widen<'a>(row: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32];
}

impl Element for f32 {
    #[inline(always)]
    fn widen<'a>(row: &'a [Self], _: &'a mut [f32]) -> &'a [f32] {
        row
    }
}

impl Element for f16 {
    #[inline(always)]
    fn widen<'a>(row: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32] {
        row.convert_to_f32_slice(scratch);
        scratch
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen<'a>(row: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32] {
        for (wide, narrow) in scratch.iter_mut().zip(row) {
            *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
        }
        scratch
    }
}

/// Attends with a tile: for each row, its group's heads one after the other.
pub(super) fn attend<E: Element>(tile: &Tile<'_>, keys: &[E], values: &[E]) -> Vec<f32> {
    Arch::new().dispatch(Attend { tile, keys, values })
}

struct Attend<'a, E> {
    tile: &'a Tile<'a>,
    keys: &'a [E],
    values: &'a [E],
}

impl<E: Element> WithSimd for Attend<'_, E> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        compute(simd, self.tile, self.keys, self.values)
    }
}

#[inline(always)]
fn compute<S: Simd, E: Element>(simd: S, tile: &Tile<'_>, keys: &[E], values: &[E]) -> Vec<f32> {
    let (width, group) = (tile.head_width, tile.group);
    let context = tile.position + tile.rows;
    let heads = tile.rows * group;
    let mut scratch = vec![0.0; width];
    let mut scores = vec![0.0; heads * context];
    let scale = float(width).sqrt().recip();
    for position in 0..context {
        let key = E::widen(head_row(tile, keys, position), &mut scratch);
        for index in first_seeing(tile, position) * group..heads {
            let start =
                index / group * tile.query_width + (tile.head * group + index % group) * width;
            scores[index * context + position] =
                dot(simd, &tile.queries[start..start + width], key) * scale;
        }
    }
    for (index, scores) in scores.chunks_exact_mut(context).enumerate() {
        softmax(&mut scores[..=tile.position + index / group]);
    }
    let mut out = vec![0.0; heads * width];
    for position in 0..context {
        let value = E::widen(head_row(tile, values, position), &mut scratch);
        for index in first_seeing(tile, position) * group..heads {
            let weight = scores[index * context + position];
            for (out, value) in out[index * width..(index + 1) * width].iter_mut().zip(value) {
                *out += weight * value;
            }
        }
    }
    out
}

/// Returns the first row of the tile that may look at `position`: itself or what comes later.
#[inline(always)]
fn first_seeing(tile: &Tile<'_>, position: usize) -> usize {
    position.saturating_sub(tile.position)
}

#[inline(always)]
fn head_row<'a, E>(tile: &Tile<'_>, rows: &'a [E], position: usize) -> &'a [E] {
    let start = position * tile.kv_width + tile.head * tile.head_width;
    &rows[start..start + tile.head_width]
}

#[inline(always)]
fn dot<S: Simd>(simd: S, left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = S::as_simd_f32s(left);
    let (right, right_rest) = S::as_simd_f32s(right);
    // Two sums, so that one addition need not wait for the other.
    let mut sums = [simd.splat_f32s(0.0); 2];
    let (left_pairs, left_last) = left.as_chunks::<2>();
    let (right_pairs, right_last) = right.as_chunks::<2>();
    for (left, right) in left_pairs.iter().zip(right_pairs) {
        sums[0] = simd.mul_add_e_f32s(left[0], right[0], sums[0]);
        sums[1] = simd.mul_add_e_f32s(left[1], right[1], sums[1]);
    }
    for (left, right) in left_last.iter().zip(right_last) {
        sums[0] = simd.mul_add_e_f32s(*left, *right, sums[0]);
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1])) + rest
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    let scale = f32::recip(total);
    for score in scores {
        *score *= scale;
    }
}
