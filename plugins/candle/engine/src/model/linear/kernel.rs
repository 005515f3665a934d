//! The inner loop of every product: some rows of activations times a panel of weights. Starts no threads.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use std::borrow::Cow;

use pulp::Simd;

/// Columns of a panel.
pub(super) const WIDTH: usize = 32;

/// Rows of activations that share one pass over the weights; with two vectors each they fill the registers.
const ROWS: usize = 6;

/// Activations in the order in which products read them: in groups of rows, input by input.
pub(super) struct Activations<'a> {
    values: Cow<'a, [f32]>,
    rows: usize,
    inputs: usize,
}

impl<'a> Activations<'a> {
    /// Orders rows of activations.
    pub(super) fn new(plain: Cow<'a, [f32]>, rows: usize) -> Self {
        let inputs = plain.len() / rows;
        if rows == 1 {
            return Self { values: plain, rows, inputs };
        }
        let mut values = Vec::with_capacity(plain.len());
        for group in plain.chunks(ROWS * inputs) {
            for input in 0..inputs {
                values.extend(group.iter().skip(input).step_by(inputs));
            }
        }
        Self { values: Cow::Owned(values), rows, inputs }
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the inputs from `start` on of the `count` rows from `row` on, which are a group.
    #[inline(always)]
    fn group(&self, row: usize, count: usize, start: usize, inputs: usize) -> &[f32] {
        let first = row * self.inputs + start * count;
        &self.values[first..first + inputs * count]
    }
}

/// Adds to the first [`WIDTH`] columns of `out` the product of `weights`, rows of [`WIDTH`] for the inputs from
/// `start` on, and all rows of activations.
///
/// Each element is one chain of additions in the order of the inputs, whatever the number of rows.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(
    simd: S,
    activations: &Activations<'_>,
    start: usize,
    weights: &[f32],
    out: &mut [f32],
    outputs: usize,
) {
    let inputs = weights.len() / WIDTH;
    let mut row = 0;
    while row < activations.rows {
        let rows = ROWS.min(activations.rows - row);
        let group = activations.group(row, rows, start, inputs);
        let out = &mut out[row * outputs..];
        match rows {
            1 => tile::<S, 1>(simd, group, weights, out, outputs),
            2 => tile::<S, 2>(simd, group, weights, out, outputs),
            3 => tile::<S, 3>(simd, group, weights, out, outputs),
            4 => tile::<S, 4>(simd, group, weights, out, outputs),
            5 => tile::<S, 5>(simd, group, weights, out, outputs),
            _ => tile::<S, ROWS>(simd, group, weights, out, outputs),
        }
        row += rows;
    }
}

#[inline(always)]
fn tile<S: Simd, const R: usize>(
    simd: S,
    activations: &[f32],
    weights: &[f32],
    out: &mut [f32],
    outputs: usize,
) {
    // Few rows need more columns, or they wait for each addition to end.
    if R <= 2 && (WIDTH / S::F32_LANES).is_multiple_of(4) {
        columns::<S, R, 4>(simd, activations, weights, out, outputs);
    } else {
        columns::<S, R, 2>(simd, activations, weights, out, outputs);
    }
}

#[expect(clippy::manual_memcpy, reason = "a copy would take the sums' address")]
#[inline(always)]
fn columns<S: Simd, const R: usize, const V: usize>(
    simd: S,
    activations: &[f32],
    weights: &[f32],
    out: &mut [f32],
    outputs: usize,
) {
    let (activations, _) = activations.as_chunks::<R>();
    let (weights, _) = weights.as_chunks::<WIDTH>();
    for group in (0..WIDTH / S::F32_LANES).step_by(V) {
        // By value throughout: sums whose address is taken would go through memory in every step.
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for r in 0..R {
            let (out, _) = S::as_simd_f32s(&out[r * outputs..r * outputs + WIDTH]);
            for v in 0..V {
                sums[r][v] = out[group + v];
            }
        }
        for (activations, weights) in activations.iter().zip(weights) {
            let (weights, _) = S::as_simd_f32s(weights);
            for r in 0..R {
                let activation = simd.splat_f32s(activations[r]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(activation, weights[group + v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            let (out, _) = S::as_mut_simd_f32s(&mut out[r * outputs..r * outputs + WIDTH]);
            for v in 0..V {
                out[group + v] = sums[r][v];
            }
        }
    }
}
