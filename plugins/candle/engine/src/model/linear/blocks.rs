//! Weights in blocks of 32 with a scale, in panels, kept in their 4, 5 or 8 bits.
//!
//! The bits are those of the block format, only their order differs: neighbours in memory are neighbouring
//! columns, so that widening needs no shuffles. Products are computed elsewhere.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined to where its instructions are enabled"
)]

use candle_core::quantized::GgmlDType;
use half::{f16, slice::HalfFloatSliceExt};
use pulp::{Arch, NullaryFnOnce};

use super::kernel::WIDTH;

/// Inputs of a block.
const BLOCK: usize = 32;

/// A block format of 32 inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    bits: u8,
    has_minimum: bool,
    /// What a stored number means zero, in the formats without minimum.
    zero: u8,
}

impl Format {
    /// Returns the format, or `None` for those with other blocks.
    pub(super) fn of(format: GgmlDType) -> Option<Self> {
        Some(match format {
            GgmlDType::Q4_0 => Self { bits: 4, has_minimum: false, zero: 8 },
            GgmlDType::Q4_1 => Self { bits: 4, has_minimum: true, zero: 0 },
            GgmlDType::Q5_0 => Self { bits: 5, has_minimum: false, zero: 16 },
            GgmlDType::Q5_1 => Self { bits: 5, has_minimum: true, zero: 0 },
            GgmlDType::Q8_0 => Self { bits: 8, has_minimum: false, zero: 128 },
            _ => return None,
        })
    }

    /// Rows of the low bits: two inputs a byte (i and i + 16 of the block), or one in the 8-bit format.
    fn low_rows(self) -> usize {
        if self.bits == 8 { BLOCK } else { BLOCK / 2 }
    }

    /// Rows of the fifth bits: eight inputs a byte.
    fn fifth_rows(self) -> usize {
        if self.bits == 5 { BLOCK / 8 } else { 0 }
    }

    fn minimum_rows(self) -> usize {
        usize::from(self.has_minimum)
    }

    fn bytes(self) -> usize {
        2 + 2 * self.minimum_rows() + self.fifth_rows() + self.low_rows()
    }
}

/// Panels of blocks: all blocks of a panel one after the other, each in rows of [`WIDTH`] columns.
pub(super) struct Blocks {
    format: Format,
    scales: Vec<f16>,
    minima: Vec<f16>,
    low: Vec<u8>,
    fifth: Vec<u8>,
}

impl Blocks {
    /// Lays out the bytes of `columns` rows of blocks.
    pub(super) fn new(bytes: &[u8], format: Format, columns: usize, inputs: usize) -> Self {
        let per_column = inputs / BLOCK;
        let all = columns.div_ceil(WIDTH) * per_column;
        let mut blocks = Self {
            format,
            scales: vec![f16::ZERO; all * WIDTH],
            minima: vec![f16::ZERO; all * format.minimum_rows() * WIDTH],
            low: vec![0; all * format.low_rows() * WIDTH],
            fifth: vec![0; all * format.fifth_rows() * WIDTH],
        };
        for (column, row) in bytes.chunks_exact(per_column * format.bytes()).enumerate() {
            for (index, block) in row.chunks_exact(format.bytes()).enumerate() {
                blocks.place(block, column / WIDTH * per_column + index, column % WIDTH);
            }
        }
        blocks
    }

    fn place(&mut self, block: &[u8], index: usize, column: usize) {
        let format = self.format;
        let number = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
        self.scales[index * WIDTH + column] = number(0);
        let mut at = 2;
        if format.has_minimum {
            self.minima[index * WIDTH + column] = number(at);
            at += 2;
        }
        for row in 0..format.fifth_rows() {
            self.fifth[(index * format.fifth_rows() + row) * WIDTH + column] = block[at + row];
        }
        at += format.fifth_rows();
        for row in 0..format.low_rows() {
            let byte = block[at + row];
            // Signed bytes become unsigned ones with 128 for zero.
            let byte = if format.bits == 8 { byte ^ 0x80 } else { byte };
            self.low[(index * format.low_rows() + row) * WIDTH + column] = byte;
        }
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        2 * (self.scales.len() + self.minima.len()) + self.low.len() + self.fifth.len()
    }

    /// Widens rows of inputs from `row` on, counted over all panels; both ends are ends of blocks.
    pub(super) fn widen(&self, row: usize, wide: &mut [f32]) {
        for (offset, wide) in wide.chunks_exact_mut(BLOCK * WIDTH).enumerate() {
            let index = row / BLOCK + offset;
            let range = |rows: usize| index * rows * WIDTH..(index + 1) * rows * WIDTH;
            let mut scales = [0.0; WIDTH];
            let mut minima = [0.0; WIDTH];
            self.scales[range(1)].convert_to_f32_slice(&mut scales);
            if self.format.has_minimum {
                self.minima[range(1)].convert_to_f32_slice(&mut minima);
            } else {
                // Exact: a scale has 11 bits, the zero at most 8.
                let zero = -f32::from(self.format.zero);
                minima.iter_mut().zip(scales).for_each(|(minimum, scale)| *minimum = zero * scale);
            }
            let low = &self.low[range(self.format.low_rows())];
            let fifth = &self.fifth[range(self.format.fifth_rows())];
            Arch::new().dispatch(Widen {
                bits: self.format.bits,
                scales,
                minima,
                low,
                fifth,
                wide,
            });
        }
    }
}

struct Widen<'a> {
    bits: u8,
    scales: [f32; WIDTH],
    minima: [f32; WIDTH],
    low: &'a [u8],
    fifth: &'a [u8],
    wide: &'a mut [f32],
}

impl NullaryFnOnce for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (scales, minima) = (&self.scales, &self.minima);
        let (wide, _) = self.wide.as_chunks_mut::<WIDTH>();
        let (low, _) = self.low.as_chunks::<WIDTH>();
        let (fifth, _) = self.fifth.as_chunks::<WIDTH>();
        match self.bits {
            8 => wide.iter_mut().zip(low).for_each(|(wide, low)| scale(wide, low, scales, minima)),
            4 => {
                let (first, second) = wide.split_at_mut(BLOCK / 2);
                for ((first, second), low) in first.iter_mut().zip(second).zip(low) {
                    scale(first, &low.map(|byte| byte & 0xF), scales, minima);
                    scale(second, &low.map(|byte| byte >> 4), scales, minima);
                }
            }
            _ => {
                let (first, second) = wide.split_at_mut(BLOCK / 2);
                for (row, ((first, second), low)) in
                    first.iter_mut().zip(second).zip(low).enumerate()
                {
                    let bits = |row: usize| fifth[row / 8].map(|byte| (byte >> (row % 8) & 1) << 4);
                    scale(first, &join(low.map(|byte| byte & 0xF), bits(row)), scales, minima);
                    scale(
                        second,
                        &join(low.map(|byte| byte >> 4), bits(row + BLOCK / 2)),
                        scales,
                        minima,
                    );
                }
            }
        }
    }
}

#[inline(always)]
fn join(low: [u8; WIDTH], high: [u8; WIDTH]) -> [u8; WIDTH] {
    let mut joined = low;
    joined.iter_mut().zip(high).for_each(|(low, high)| *low |= high);
    joined
}

#[inline(always)]
fn scale(
    wide: &mut [f32; WIDTH],
    numbers: &[u8; WIDTH],
    scales: &[f32; WIDTH],
    minima: &[f32; WIDTH],
) {
    for column in 0..WIDTH {
        wide[column] = f32::from(numbers[column]) * scales[column] + minima[column];
    }
}
