//! Weights in blocks of 32 with a scale, kept in their 4, 5 or 8 bits and widened on their way through the cache.
//!
//! The bits are those of the block format, only their order differs: neighbours in memory are neighbouring
//! outputs, so that widening needs no shuffles and the product runs at the speed of plain weights.

use std::ops::Range;

use candle_core::{
    Tensor,
    quantized::{GgmlDType, QTensor},
};
use half::{f16, slice::HalfFloatSliceExt};

use super::{WIDENED_INPUTS, accumulate, scratch};
use crate::{arithmetic::count, error::EngineError};

/// Weights in a block.
const BLOCK: usize = 32;

/// A shard of packed weights. Everything is laid out block by block, in each block row by row, in each row column
/// by column.
pub(super) struct Packed {
    format: Format,
    inputs: usize,
    columns: usize,
    /// A scale for each block and column.
    scales: Vec<f16>,
    /// A minimum for each block and column, in the formats that have one.
    minima: Vec<f16>,
    /// Low bits: two inputs a byte (i and i + 16 of the block), or one in the 8-bit format.
    low: Vec<u8>,
    /// Fifth bits: eight inputs a byte, in the 5-bit formats.
    fifth: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    bits: u8,
    has_minimum: bool,
    /// What a stored number means zero, in the formats without minimum.
    zero: u8,
}

impl Format {
    fn of(format: GgmlDType) -> Option<Self> {
        Some(match format {
            GgmlDType::Q4_0 => Self { bits: 4, has_minimum: false, zero: 8 },
            GgmlDType::Q4_1 => Self { bits: 4, has_minimum: true, zero: 0 },
            GgmlDType::Q5_0 => Self { bits: 5, has_minimum: false, zero: 16 },
            GgmlDType::Q5_1 => Self { bits: 5, has_minimum: true, zero: 0 },
            GgmlDType::Q8_0 => Self { bits: 8, has_minimum: false, zero: 128 },
            _ => return None,
        })
    }

    fn low_rows(self) -> usize {
        if self.bits == 8 { BLOCK } else { BLOCK / 2 }
    }

    fn fifth_rows(self) -> usize {
        if self.bits == 5 { BLOCK / 8 } else { 0 }
    }
}

impl Packed {
    /// Says whether the block format is one of those that are packed.
    pub(super) fn supports(format: GgmlDType) -> bool {
        Format::of(format).is_some()
    }

    /// Packs some rows (outputs) of a quantised matrix.
    pub(super) fn new(blocks: &QTensor, rows: Range<usize>) -> Result<Self, EngineError> {
        let format = Format::of(blocks.dtype()).expect("asked before");
        let (_, inputs) = blocks.shape().dims2()?;
        let (columns, per_row) = (rows.len(), inputs / BLOCK);
        let data = blocks.data()?;
        let block_bytes = blocks.dtype().type_size();
        let mut packed = Self {
            format,
            inputs,
            columns,
            scales: vec![f16::ZERO; per_row * columns],
            minima: vec![f16::ZERO; if format.has_minimum { per_row * columns } else { 0 }],
            low: vec![0; per_row * format.low_rows() * columns],
            fifth: vec![0; per_row * format.fifth_rows() * columns],
        };
        for (column, row) in rows.enumerate() {
            let start = row * per_row * block_bytes;
            for (index, block) in
                data[start..start + per_row * block_bytes].chunks_exact(block_bytes).enumerate()
            {
                packed.place(block, index, column);
            }
        }
        Ok(packed)
    }

    fn place(&mut self, block: &[u8], index: usize, column: usize) {
        let (columns, format) = (self.columns, self.format);
        let number = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
        self.scales[index * columns + column] = number(0);
        let mut at = 2;
        if format.has_minimum {
            self.minima[index * columns + column] = number(at);
            at += 2;
        }
        for row in 0..format.fifth_rows() {
            self.fifth[(index * format.fifth_rows() + row) * columns + column] = block[at + row];
        }
        at += format.fifth_rows();
        for row in 0..format.low_rows() {
            let byte = block[at + row];
            // Signed bytes become unsigned ones with 128 for zero.
            let byte = if format.bits == 8 { byte ^ 0x80 } else { byte };
            self.low[(index * format.low_rows() + row) * columns + column] = byte;
        }
    }

    /// Multiplies rows of activations.
    pub(super) fn multiply(&self, input: &Tensor, rows: usize) -> Result<Vec<f32>, EngineError> {
        let mut sum = Vec::with_capacity(rows * self.columns);
        for start in (0..self.inputs).step_by(WIDENED_INPUTS) {
            let inputs = WIDENED_INPUTS.min(self.inputs - start);
            let block =
                scratch::filled(inputs, self.columns, |wide| self.widen(start / BLOCK, wide))?;
            accumulate(&mut sum, &input.narrow(1, start, inputs)?.matmul(&block)?)?;
        }
        Ok(sum)
    }

    /// Returns one column.
    pub(super) fn column(&self, column: usize) -> Vec<f32> {
        let value = |input: usize| {
            let (block, row) = (input / BLOCK, input % BLOCK);
            let scale = self.scales[block * self.columns + column].to_f32();
            let minimum = if self.format.has_minimum {
                self.minima[block * self.columns + column].to_f32()
            } else {
                -f32::from(self.format.zero) * scale
            };
            f32::from(self.number(block, row, column)) * scale + minimum
        };
        (0..self.inputs).map(value).collect()
    }

    fn number(&self, block: usize, row: usize, column: usize) -> u8 {
        let low_rows = self.format.low_rows();
        let low = self.low[(block * low_rows + row % low_rows) * self.columns + column];
        if self.format.bits == 8 {
            return low;
        }
        let low = if row < BLOCK / 2 { low & 0xF } else { low >> 4 };
        if self.format.bits == 4 {
            return low;
        }
        let fifth =
            self.fifth[(block * self.format.fifth_rows() + row / 8) * self.columns + column];
        low | ((fifth >> (row % 8)) & 1) << 4
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> u64 {
        count(2 * (self.scales.len() + self.minima.len()) + self.low.len() + self.fifth.len())
    }

    fn widen(&self, first_block: usize, wide: &mut [f32]) {
        let mut scales = vec![0.0; self.columns];
        let mut minima = vec![0.0; self.columns];
        for (block, wide) in wide.chunks_exact_mut(BLOCK * self.columns).enumerate() {
            let block = first_block + block;
            let range = block * self.columns..(block + 1) * self.columns;
            self.scales[range.clone()].convert_to_f32_slice(&mut scales);
            if self.format.has_minimum {
                self.minima[range].convert_to_f32_slice(&mut minima);
            } else {
                let zero = -f32::from(self.format.zero);
                // Exact: a scale has 11 bits, the zero at most 8.
                minima.iter_mut().zip(&scales).for_each(|(minimum, scale)| *minimum = zero * scale);
            }
            let low_rows = self.format.low_rows();
            let fifth_rows = self.format.fifth_rows();
            let rows = Rows {
                columns: self.columns,
                bits: self.format.bits,
                scales: &scales,
                minima: &minima,
                low: &self.low
                    [block * low_rows * self.columns..(block + 1) * low_rows * self.columns],
                fifth: &self.fifth
                    [block * fifth_rows * self.columns..(block + 1) * fifth_rows * self.columns],
            };
            rows.widen(wide);
        }
    }
}

/// One block of all columns.
struct Rows<'a> {
    columns: usize,
    bits: u8,
    scales: &'a [f32],
    minima: &'a [f32],
    low: &'a [u8],
    fifth: &'a [u8],
}

impl Rows<'_> {
    fn widen(&self, wide: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "vector instructions are chosen at run time")]
            // SAFETY: the line above found the feature.
            return unsafe { self.widen_avx512(wide) };
        } else if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "vector instructions are chosen at run time")]
            // SAFETY: the line above found the feature.
            return unsafe { self.widen_avx2(wide) };
        }
        self.widen_portable(wide);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn widen_avx512(&self, wide: &mut [f32]) {
        self.widen_portable(wide);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn widen_avx2(&self, wide: &mut [f32]) {
        self.widen_portable(wide);
    }

    #[inline(always)]
    fn widen_portable(&self, wide: &mut [f32]) {
        let columns = self.columns;
        if self.bits == 8 {
            for (out, low) in wide.chunks_exact_mut(columns).zip(self.low.chunks_exact(columns)) {
                self.row(out, low, |byte, _| byte, low);
            }
            return;
        }
        let (first, second) = wide.split_at_mut(BLOCK / 2 * columns);
        let halves = first.chunks_exact_mut(columns).zip(second.chunks_exact_mut(columns));
        for (row, ((first, second), low)) in halves.zip(self.low.chunks_exact(columns)).enumerate()
        {
            if self.bits == 4 {
                self.row(first, low, |byte, _| byte & 0xF, low);
                self.row(second, low, |byte, _| byte >> 4, low);
            } else {
                let bit = row % 8;
                let fifth = |row: usize| &self.fifth[row / 8 * columns..(row / 8 + 1) * columns];
                self.row(
                    first,
                    low,
                    |byte, fifth| (byte & 0xF) | ((fifth >> bit) & 1) << 4,
                    fifth(row),
                );
                self.row(
                    second,
                    low,
                    |byte, fifth| (byte >> 4) | ((fifth >> bit) & 1) << 4,
                    fifth(row + BLOCK / 2),
                );
            }
        }
    }

    #[inline(always)]
    fn row(&self, out: &mut [f32], low: &[u8], number: impl Fn(u8, u8) -> u8, fifth: &[u8]) {
        let numbers = low.iter().zip(fifth).map(|(low, fifth)| f32::from(number(*low, *fifth)));
        for (((out, number), scale), minimum) in
            out.iter_mut().zip(numbers).zip(self.scales).zip(self.minima)
        {
            *out = number * scale + minimum;
        }
    }
}
