//! Plain weights in 32 or 16 bits. 16-bit ones are widened block by block, on their way through the cache.

use candle_core::{CpuStorage, DType, Storage, Tensor};
use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{WIDENED_INPUTS, accumulate, scratch};
use crate::{arithmetic::count, error::EngineError, settings::Precision};

/// Inputs of a block of 32-bit weights. The product's own kernels split sums at 512 or later, and differently for
/// one row; blocks no longer than that keep every sum one chain.
const F32_INPUTS: usize = 512;

/// A shard of plain weights: blocks of `[inputs, columns]`, in the order of the inputs.
pub(super) struct Dense {
    blocks: Vec<Tensor>,
}

impl Dense {
    /// Lays out `[columns, inputs]`.
    pub(super) fn new(rows: &Tensor, precision: Precision) -> Result<Self, EngineError> {
        let step = if precision == Precision::F32 { F32_INPUTS } else { WIDENED_INPUTS };
        let inputs = rows.dim(1)?;
        let block = |start: usize| {
            let rows = rows.narrow(1, start, step.min(inputs - start))?;
            Ok(rows.to_dtype(precision.dtype())?.t()?.contiguous()?)
        };
        Ok(Self {
            blocks: (0..inputs).step_by(step).map(block).collect::<Result<_, EngineError>>()?,
        })
    }

    /// Multiplies rows of activations.
    pub(super) fn multiply(&self, input: &Tensor, rows: usize) -> Result<Vec<f32>, EngineError> {
        let mut sum = Vec::new();
        let mut start = 0;
        for block in &self.blocks {
            let inputs = block.dim(0)?;
            // One block needs no narrowing; of several, each takes its own inputs.
            let part = input.narrow(1, start, inputs)?;
            let product = if block.dtype() == DType::F32 {
                part.matmul(block)?
            } else {
                part.matmul(&widen(block)?)?
            };
            if sum.is_empty() {
                sum.reserve_exact(rows * product.dim(1)?);
            }
            accumulate(&mut sum, &product)?;
            start += inputs;
        }
        Ok(sum)
    }

    /// Returns one column.
    pub(super) fn column(&self, column: usize) -> Result<Vec<f32>, EngineError> {
        let mut weights = Vec::new();
        for block in &self.blocks {
            let part: Vec<f32> =
                block.narrow(1, column, 1)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            weights.extend(part);
        }
        Ok(weights)
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| count(block.elem_count() * block.dtype().size_in_bytes()))
            .sum()
    }
}

fn widen(block: &Tensor) -> Result<Tensor, EngineError> {
    let (inputs, columns) = block.dims2()?;
    let (storage, layout) = block.storage_and_layout();
    let range = layout.start_offset()..layout.start_offset() + inputs * columns;
    match &*storage {
        Storage::Cpu(CpuStorage::F16(narrow)) => scratch::filled(inputs, columns, |wide| {
            <[f16]>::convert_to_f32_slice(&narrow[range.clone()], wide)
        }),
        Storage::Cpu(CpuStorage::BF16(narrow)) => scratch::filled(inputs, columns, |wide| {
            <[bf16]>::convert_to_f32_slice(&narrow[range.clone()], wide)
        }),
        _ => unreachable!("blocks are f32, f16 or bf16 on the CPU"),
    }
}
