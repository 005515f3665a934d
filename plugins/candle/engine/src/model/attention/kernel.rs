//! The inner loops of attention, compiled for the widest vectors the machine has. Starts no threads.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::{Arch, NullaryFnOnce};

use crate::arithmetic::float;

/// Partial sums of a dot product; a fixed number, so that results do not depend on the vector width.
const LANES: usize = 16;

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

impl<E: Element> NullaryFnOnce for Attend<'_, E> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        compute(self.tile, self.keys, self.values)
    }
}

#[inline(always)]
fn compute<E: Element>(tile: &Tile<'_>, keys: &[E], values: &[E]) -> Vec<f32> {
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
                dot(&tile.queries[start..start + width], key) * scale;
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
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (left_lanes, left_rest) = left.as_chunks::<LANES>();
    let (right_lanes, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_lanes.iter().zip(right_lanes) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    // Halving the lanes keeps the additions parallel.
    let mut lanes = LANES;
    while lanes > 1 {
        lanes /= 2;
        for lane in 0..lanes {
            sums[lane] += sums[lane + lanes];
        }
    }
    sums[0] + rest
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
