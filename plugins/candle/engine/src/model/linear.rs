//! Products of activations with weight matrices, in every storage format, split over the compute threads.
//!
//! Each output element is the same sum in the same order for every number of rows, so a row's result does not
//! depend on the batch it is in. Files are not read here.

mod blocks;
mod kernel;
mod panels;

use std::{borrow::Cow, ops::Range};

use candle_core::{
    Device, Module, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use self::{
    blocks::Format,
    kernel::{Activations, WIDTH},
    panels::Panels,
};
use crate::{error::EngineError, settings::Precision};

/// Columns of a shard, where the matrix is wide enough: what one thread takes at a time.
const SHARD_COLUMNS: usize = 512;

/// Below this many multiplications one thread is faster than a hand-over.
const PARALLEL_FROM: usize = 1 << 17;

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
    inputs: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
    activations: Precision,
}

struct Shard {
    columns: Range<usize>,
    weights: Weights,
}

enum Weights {
    /// Computed by this module.
    Panels(Panels),
    /// Computed by candle, with the bytes that they take.
    Kernel(QMatMul, u64),
}

impl Linear {
    /// Lays out matrices for computation; plain ones and activations take the format `precision`.
    pub(crate) fn new(
        matrices: Vec<Matrix>,
        bias: Option<Vec<f32>>,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        let mut shards = Vec::new();
        let (mut inputs, mut outputs) = (0, 0);
        for matrix in matrices {
            let (rows, own_inputs) = matrix.shape()?;
            inputs = own_inputs;
            for part in shard_ranges(rows) {
                let weights = Weights::new(&matrix, &part, precision)?;
                shards.push(Shard { columns: outputs + part.start..outputs + part.end, weights });
            }
            outputs += rows;
        }
        Ok(Self { shards, inputs, outputs, bias, activations: precision })
    }

    /// Multiplies `rows` rows of activations.
    pub(crate) fn forward(
        &self,
        activations: &[f32],
        rows: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let plain = round(activations, self.activations);
        let ordered = Activations::new(Cow::Borrowed(&plain), rows);
        let compute = |shard: &Shard| shard.weights.multiply(&plain, &ordered);
        let few = rows * self.inputs * self.outputs < PARALLEL_FROM;
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
                // A part may be wider than its shard, to fill its last panel.
                let start = row * (part.len() / rows);
                out.extend_from_slice(&part[start..start + shard.columns.len()]);
            }
        }
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.outputs) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
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
    fn new(
        matrix: &Matrix,
        rows: &Range<usize>,
        precision: Precision,
    ) -> Result<Self, EngineError> {
        let blocks = match matrix {
            Matrix::Dense(tensor) => {
                let part = tensor.narrow(0, rows.start, rows.len())?;
                return Ok(Self::Panels(Panels::from_plain(&part, precision)?));
            }
            Matrix::Blocks(blocks) => slice_blocks(blocks, rows)?,
        };
        if let Some(format) = Format::of(blocks.dtype()) {
            return Ok(Self::Panels(Panels::from_blocks(&blocks, format)?));
        }
        if matches!(blocks.dtype(), GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            return Ok(Self::Panels(Panels::from_plain(
                &blocks.dequantize(&Device::Cpu)?,
                precision,
            )?));
        }
        let bytes = crate::arithmetic::count(blocks.storage_size_in_bytes());
        Ok(Self::Kernel(QMatMul::QTensor(blocks.into()), bytes))
    }

    /// Multiplies activations, given row by row and in the order of panels.
    fn multiply(&self, plain: &[f32], ordered: &Activations<'_>) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Panels(panels) => Ok(panels.multiply(ordered)),
            Self::Kernel(kernel, _) => {
                let rows = ordered.rows();
                let input = Tensor::from_slice(plain, (rows, plain.len() / rows), &Device::Cpu)?;
                // candle multiplies a single row in another way, with other roundings; a row never comes alone.
                let input = if rows == 1 { Tensor::cat(&[&input, &input], 0)? } else { input };
                Ok(kernel.forward(&input)?.narrow(0, 0, rows)?.flatten_all()?.to_vec1()?)
            }
        }
    }

    fn column(&self, column: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Panels(panels) => Ok(panels.column(column)),
            Self::Kernel(kernel, _) => {
                let id = u32::try_from(column).expect("a shard has few columns");
                Ok(kernel
                    .embedding(&Tensor::new(&[id], &Device::Cpu)?)?
                    .flatten_all()?
                    .to_vec1()?)
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Panels(panels) => panels.bytes(),
            Self::Kernel(_, bytes) => *bytes,
        }
    }
}

/// Rounds activations to a number format; they stay `f32`.
fn round(activations: &[f32], precision: Precision) -> Cow<'_, [f32]> {
    let mut wide = vec![0.0; if precision == Precision::F32 { 0 } else { activations.len() }];
    match precision {
        Precision::F32 => return Cow::Borrowed(activations),
        Precision::F16 => {
            let mut narrow = vec![f16::ZERO; activations.len()];
            narrow.convert_from_f32_slice(activations);
            narrow.convert_to_f32_slice(&mut wide);
        }
        Precision::Bf16 => {
            let mut narrow = vec![bf16::ZERO; activations.len()];
            narrow.convert_from_f32_slice(activations);
            narrow.convert_to_f32_slice(&mut wide);
        }
    }
    Cow::Owned(wide)
}

fn slice_blocks(blocks: &QTensor, rows: &Range<usize>) -> Result<QTensor, EngineError> {
    let (all, inputs) = blocks.shape().dims2()?;
    let data = blocks.data()?;
    let row = data.len() / all;
    let part = Cow::Borrowed(&data[rows.start * row..rows.end * row]);
    let storage = QStorage::from_data(part, &Device::Cpu, blocks.dtype())?;
    Ok(QTensor::new(storage, (rows.len(), inputs))?)
}

/// Divides the outputs of a matrix: shards of [`SHARD_COLUMNS`], or one a thread where that makes fewer.
fn shard_ranges(outputs: usize) -> Vec<Range<usize>> {
    let shards = outputs.div_ceil(SHARD_COLUMNS).next_multiple_of(rayon::current_num_threads());
    let width = outputs.div_ceil(shards).next_multiple_of(WIDTH);
    (0..outputs).step_by(width).map(|start| start..outputs.min(start + width)).collect()
}

#[cfg(test)]
mod tests;
