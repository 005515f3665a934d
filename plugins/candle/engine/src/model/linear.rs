//! Products of activations with weight matrices, in every storage format, split over the compute threads.
//!
//! Each output element is the same sum in the same order for every number of rows, so a row's result does not
//! depend on the batch it is in. Files are not read here.

mod dense;
mod packed;
mod scratch;

use std::ops::Range;

use candle_core::{
    Device, Module, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use rayon::prelude::*;

use self::{dense::Dense, packed::Packed};
use crate::{error::EngineError, settings::Precision};

/// Columns of a shard, where the matrix is wide enough: its output row stays in the first-level cache.
const SHARD_COLUMNS: usize = 512;

/// Inputs of a block that is widened before its product.
const WIDENED_INPUTS: usize = scratch::ELEMENTS / SHARD_COLUMNS;

/// Shards end at multiples of this, so that vector kernels need no remainders.
const SHARD_STEP: usize = 16;

/// Below this many multiplications one thread is faster than a hand-over.
const PARALLEL_FROM: usize = 1 << 16;

/// A weight matrix as a model has it: a row for each output.
pub(crate) enum Matrix {
    /// Plain numbers, `[outputs, inputs]`.
    Dense(Tensor),
    /// Blocks of quantised numbers, `[outputs, inputs]`.
    Blocks(QTensor),
}

/// One or more matrices over the same inputs, their outputs side by side.
pub(crate) struct Linear {
    shards: Vec<Shard>,
    outputs: usize,
    bias: Option<Vec<f32>>,
    activations: Precision,
}

struct Shard {
    columns: Range<usize>,
    inputs: usize,
    weights: Weights,
}

enum Weights {
    Dense(Dense),
    Packed(Packed),
    Kernel(QMatMul, usize),
}

impl Linear {
    /// Lays out matrices for computation; dense ones and activations take the format `precision`.
    pub(crate) fn new(
        matrices: Vec<Matrix>,
        bias: Option<Vec<f32>>,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        let mut shards = Vec::new();
        let mut outputs = 0;
        for matrix in matrices {
            let (rows, inputs) = matrix.shape()?;
            for part in shard_ranges(rows) {
                let weights = Weights::new(&matrix, part.clone(), precision)?;
                shards.push(Shard {
                    columns: outputs + part.start..outputs + part.end,
                    inputs,
                    weights,
                });
            }
            outputs += rows;
        }
        Ok(Self { shards, outputs, bias, activations: precision })
    }

    /// Multiplies `rows` rows of activations.
    pub(crate) fn forward(
        &self,
        activations: &[f32],
        rows: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let inputs = self.shards.first().map_or(0, |shard| shard.inputs);
        let mut input = Tensor::from_slice(activations, (rows, inputs), &Device::Cpu)?;
        if self.activations != Precision::F32 {
            input = input.to_dtype(self.activations.dtype())?.to_dtype(candle_core::DType::F32)?;
        }
        let compute = |shard: &Shard| shard.weights.multiply(&input, rows);
        let few = rows * inputs * self.outputs < PARALLEL_FROM;
        let parts: Vec<Vec<f32>> = if few || rayon::current_num_threads() == 1 {
            self.shards.iter().map(compute).collect::<Result<_, _>>()?
        } else {
            self.shards.par_iter().map(compute).collect::<Result<_, _>>()?
        };
        Ok(self.assemble(&parts, rows))
    }

    /// Returns the weights of one output: of a token, where the matrix is an embedding table.
    pub(crate) fn output_weights(&self, output: usize) -> Result<Vec<f32>, EngineError> {
        let shard = self.shards.iter().find(|shard| shard.columns.contains(&output));
        let shard = shard.ok_or_else(|| {
            let reason = format!("found token {output}, the vocabulary ends at {}", self.outputs);
            EngineError::bad_parameter("prompt", reason)
        })?;
        shard.weights.column(output - shard.columns.start)
    }

    /// Returns the bytes that the weights take.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.weights.bytes()).sum::<u64>()
            + self.bias.as_ref().map_or(0, |bias| 4 * crate::arithmetic::count(bias.len()))
    }

    fn assemble(&self, parts: &[Vec<f32>], rows: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows * self.outputs);
        for row in 0..rows {
            for (shard, part) in self.shards.iter().zip(parts) {
                let width = shard.columns.len();
                out.extend_from_slice(&part[row * width..(row + 1) * width]);
            }
        }
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.outputs) {
                for (value, bias) in row.iter_mut().zip(bias) {
                    *value += bias;
                }
            }
        }
        out
    }
}

impl Matrix {
    /// Returns outputs and inputs.
    pub(crate) fn shape(&self) -> Result<(usize, usize), EngineError> {
        Ok(match self {
            Self::Dense(tensor) => tensor.dims2()?,
            Self::Blocks(blocks) => blocks.shape().dims2()?,
        })
    }
}

impl Weights {
    fn new(matrix: &Matrix, rows: Range<usize>, precision: Precision) -> Result<Self, EngineError> {
        Ok(match matrix {
            Matrix::Dense(tensor) => {
                Self::Dense(Dense::new(&tensor.narrow(0, rows.start, rows.len())?, precision)?)
            }
            Matrix::Blocks(blocks) if Packed::supports(blocks.dtype()) => {
                Self::Packed(Packed::new(blocks, rows)?)
            }
            Matrix::Blocks(blocks) if is_float(blocks.dtype()) => {
                let tensor = blocks.dequantize(&Device::Cpu)?.narrow(0, rows.start, rows.len())?;
                Self::Dense(Dense::new(&tensor, precision)?)
            }
            Matrix::Blocks(blocks) => {
                let part = slice_blocks(blocks, &rows)?;
                let bytes = part.storage_size_in_bytes();
                Self::Kernel(QMatMul::QTensor(part.into()), bytes)
            }
        })
    }

    fn multiply(&self, input: &Tensor, rows: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Dense(dense) => dense.multiply(input, rows),
            Self::Packed(packed) => packed.multiply(input, rows),
            Self::Kernel(kernel, _) => Ok(kernel.forward(input)?.flatten_all()?.to_vec1()?),
        }
    }

    fn column(&self, column: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Dense(dense) => dense.column(column),
            Self::Packed(packed) => Ok(packed.column(column)),
            Self::Kernel(kernel, _) => {
                let id = Tensor::new(&[u32::try_from(column).unwrap_or(u32::MAX)], &Device::Cpu)?;
                Ok(kernel.embedding(&id)?.flatten_all()?.to_vec1()?)
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Packed(packed) => packed.bytes(),
            Self::Kernel(_, bytes) => crate::arithmetic::count(*bytes),
        }
    }
}

/// Adds the result of a product to `sum`, or becomes it where `sum` is empty.
fn accumulate(sum: &mut Vec<f32>, product: &Tensor) -> Result<(), EngineError> {
    let (storage, layout) = product.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        unreachable!("all tensors are on the CPU")
    };
    let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
    if sum.is_empty() {
        sum.extend_from_slice(values);
    } else {
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    Ok(())
}

fn is_float(format: GgmlDType) -> bool {
    matches!(format, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
}

fn slice_blocks(blocks: &QTensor, rows: &Range<usize>) -> Result<QTensor, EngineError> {
    let (all, inputs) = blocks.shape().dims2()?;
    let data = blocks.data()?;
    let row = data.len() / all;
    let part = std::borrow::Cow::Borrowed(&data[rows.start * row..rows.end * row]);
    let storage = candle_core::quantized::QStorage::from_data(part, &Device::Cpu, blocks.dtype())?;
    Ok(QTensor::new(storage, (rows.len(), inputs))?)
}

/// Divides the outputs of a matrix: shards of [`SHARD_COLUMNS`], or one a thread where that makes fewer.
fn shard_ranges(outputs: usize) -> Vec<Range<usize>> {
    let shards = outputs.div_ceil(SHARD_COLUMNS).next_multiple_of(rayon::current_num_threads());
    let width = outputs.div_ceil(shards).next_multiple_of(SHARD_STEP);
    (0..outputs).step_by(width).map(|start| start..outputs.min(start + width)).collect()
}

#[cfg(test)]
mod tests;
