//! The inner loop of every product: some rows of activations times a panel of weights. Starts no threads.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel.
pub(super) const WIDTH: usize = 32;

/// Rows of activations that share one pass over the weights; with two vectors each they fill the registers.
const ROWS: usize = 6;

/// A product to add to `out`: all of `weights`, which are rows of [`WIDTH`], times part of `activations`.
pub(super) struct Product<'a> {
    /// Rows of activations.
    pub(super) activations: &'a [f32],
    /// Elements of a row of activations.
    pub(super) inputs: usize,
    /// The first input that `weights` belong to.
    pub(super) start: usize,
    /// A row for each input.
    pub(super) weights: &'a [f32],
    /// Where the product goes: in each row, the first [`WIDTH`] elements.
    pub(super) out: &'a mut [f32],
    /// Elements of a row of `out`.
    pub(super) outputs: usize,
}

/// Adds a product. Each element is one chain of additions in the order of the inputs, whatever the number of rows.
pub(super) fn accumulate(product: Product<'_>) {
    Arch::new().dispatch(product);
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.activations.len() / self.inputs;
        let whole = rows / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            self.tile::<S, ROWS>(simd, row);
        }
        match rows - whole {
            1 => self.tile::<S, 1>(simd, whole),
            2 => self.tile::<S, 2>(simd, whole),
            3 => self.tile::<S, 3>(simd, whole),
            4 => self.tile::<S, 4>(simd, whole),
            5 => self.tile::<S, 5>(simd, whole),
            _ => {}
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, row: usize) {
        // Few rows need more columns, or they wait for each addition to end.
        if R <= 2 && (WIDTH / S::F32_LANES).is_multiple_of(4) {
            self.columns::<S, R, 4>(simd, row);
        } else {
            self.columns::<S, R, 2>(simd, row);
        }
    }

    #[inline(always)]
    fn columns<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, row: usize) {
        let depth = self.weights.len() / WIDTH;
        let activations: [&[f32]; R] = std::array::from_fn(|r| {
            let start = (row + r) * self.inputs + self.start;
            &self.activations[start..start + depth]
        });
        for group in (0..WIDTH / S::F32_LANES).step_by(V) {
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                let out = &self.out[(row + r) * self.outputs..][..WIDTH];
                sums.copy_from_slice(&S::as_simd_f32s(out).0[group..group + V]);
            }
            let (weights, _) = self.weights.as_chunks::<WIDTH>();
            for (input, weights) in weights.iter().enumerate() {
                let weights = &S::as_simd_f32s(weights).0[group..group + V];
                for r in 0..R {
                    let activation = simd.splat_f32s(activations[r][input]);
                    for v in 0..V {
                        sums[r][v] = simd.mul_add_e_f32s(activation, weights[v], sums[r][v]);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let out = &mut self.out[(row + r) * self.outputs..][..WIDTH];
                S::as_mut_simd_f32s(out).0[group..group + V].copy_from_slice(sums);
            }
        }
    }
}
