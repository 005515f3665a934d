//! Weights in panels: a few columns, all their inputs one after the other, so that a product reads memory in order.
//!
//! Narrow formats are widened block by block on the way, while the block is in the first-level cache.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use candle_core::{DType, Tensor, quantized::QTensor};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use pulp::{Arch, NullaryFnOnce, Simd, WithSimd};

use super::{
    blocks::{Blocks, Format},
    kernel::{Activations, WIDTH, accumulate},
};
use crate::{arithmetic::count, error::EngineError, settings::Precision};

/// Inputs of a block that is widened at once.
const BLOCK_INPUTS: usize = 64;

/// Weights of some columns.
pub(super) struct Panels {
    inputs: usize,
    columns: usize,
    storage: Storage,
}

enum Storage {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    Blocks(Blocks),
}

impl Panels {
    /// Lays out plain numbers, `[columns, inputs]`, in the given format.
    pub(super) fn from_plain(rows: &Tensor, precision: Precision) -> Result<Self, EngineError> {
        let (columns, inputs) = rows.dims2()?;
        let rows: Vec<f32> = rows.to_dtype(DType::F32)?.contiguous()?.flatten_all()?.to_vec1()?;
        let mut wide = vec![0.0; columns.div_ceil(WIDTH) * inputs * WIDTH];
        for (column, row) in rows.chunks_exact(inputs).enumerate() {
            let panel = column / WIDTH * inputs * WIDTH + column % WIDTH;
            for (input, weight) in row.iter().enumerate() {
                wide[panel + input * WIDTH] = *weight;
            }
        }
        let storage = match precision {
            Precision::F32 => Storage::F32(wide),
            Precision::F16 => {
                let mut narrow = vec![f16::ZERO; wide.len()];
                narrow.convert_from_f32_slice(&wide);
                Storage::F16(narrow)
            }
            Precision::Bf16 => {
                let mut narrow = vec![bf16::ZERO; wide.len()];
                narrow.convert_from_f32_slice(&wide);
                Storage::Bf16(narrow)
            }
        };
        Ok(Self { inputs, columns, storage })
    }

    /// Lays out quantised numbers, `[columns, inputs]`.
    pub(super) fn from_blocks(rows: &QTensor, format: Format) -> Result<Self, EngineError> {
        let (columns, inputs) = rows.shape().dims2()?;
        Ok(Self {
            inputs,
            columns,
            storage: Storage::Blocks(Blocks::new(&rows.data()?, format, columns, inputs)),
        })
    }

    /// Returns the columns of a product: those of the weights, and those that fill the last panel.
    pub(super) fn outputs(&self) -> usize {
        self.columns.next_multiple_of(WIDTH)
    }

    /// Multiplies rows of activations.
    pub(super) fn multiply(&self, activations: &Activations<'_>) -> Vec<f32> {
        Arch::new().dispatch(Multiply { panels: self, activations })
    }

    /// Returns one column.
    pub(super) fn column(&self, column: usize) -> Vec<f32> {
        let mut scratch = [0.0; BLOCK_INPUTS * WIDTH];
        let mut weights = Vec::with_capacity(self.inputs);
        for start in (0..self.inputs).step_by(BLOCK_INPUTS) {
            let inputs = BLOCK_INPUTS.min(self.inputs - start);
            let block = self.block(column / WIDTH * self.inputs + start, inputs, &mut scratch);
            weights.extend(block.chunks_exact(WIDTH).map(|row| row[column % WIDTH]));
        }
        weights
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> u64 {
        count(match &self.storage {
            Storage::F32(weights) => 4 * weights.len(),
            Storage::F16(weights) => 2 * weights.len(),
            Storage::Bf16(weights) => 2 * weights.len(),
            Storage::Blocks(blocks) => blocks.bytes(),
        })
    }

    /// Returns `inputs` rows of a panel from `row` on, counted over all panels.
    fn block<'a>(&'a self, row: usize, inputs: usize, scratch: &'a mut [f32]) -> &'a [f32] {
        let range = row * WIDTH..(row + inputs) * WIDTH;
        let scratch = &mut scratch[..inputs * WIDTH];
        match &self.storage {
            Storage::F32(weights) => return &weights[range],
            Storage::F16(weights) => weights[range].convert_to_f32_slice(scratch),
            Storage::Bf16(weights) => Arch::new().dispatch(WidenBf16(&weights[range], scratch)),
            Storage::Blocks(blocks) => blocks.widen(row, scratch),
        }
        scratch
    }
}

struct Multiply<'a> {
    panels: &'a Panels,
    activations: &'a Activations<'a>,
}

impl WithSimd for Multiply<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let (panels, outputs) = (self.panels, self.panels.outputs());
        let mut out = vec![0.0; self.activations.rows() * outputs];
        let mut scratch = [0.0; BLOCK_INPUTS * WIDTH];
        for panel in 0..outputs / WIDTH {
            for start in (0..panels.inputs).step_by(BLOCK_INPUTS) {
                let inputs = BLOCK_INPUTS.min(panels.inputs - start);
                let weights = panels.block(panel * panels.inputs + start, inputs, &mut scratch);
                accumulate(
                    simd,
                    self.activations,
                    start,
                    weights,
                    &mut out[panel * WIDTH..],
                    outputs,
                );
            }
        }
        out
    }
}

struct WidenBf16<'a>(&'a [bf16], &'a mut [f32]);

impl NullaryFnOnce for WidenBf16<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (wide, narrow) in self.1.iter_mut().zip(self.0) {
            *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
        }
    }
}
