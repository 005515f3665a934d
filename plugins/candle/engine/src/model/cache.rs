//! The key-value cache of one sequence: contiguous, appended in place. Knows no other sequence.

use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::config::ModelConfig;
use crate::{arithmetic::count, error::EngineError, settings::Precision};

/// Keys and values of one sequence in every layer.
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
}

/// Keys and values of one sequence in one layer, a row a position.
pub(crate) struct LayerCache {
    /// Keys, all heads of a position together.
    pub(crate) keys: Rows,
    /// Values, laid out as the keys.
    pub(crate) values: Rows,
}

/// Rows in one of the number formats.
pub(crate) enum Rows {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
}

impl KvCache {
    /// Reserves room for `positions` positions.
    pub(crate) fn reserve(
        config: &ModelConfig,
        precision: Precision,
        positions: usize,
    ) -> Result<Self, EngineError> {
        let elements = positions * config.kv_width();
        let refused = || EngineError::OutOfMemory {
            what: format!("the key-value cache for {positions} positions"),
            needed: bytes(config, precision, positions),
            available: crate::memory::available().unwrap_or(0),
        };
        let layer = || {
            let keys = Rows::reserve(precision, elements).ok_or_else(refused)?;
            let values = Rows::reserve(precision, elements).ok_or_else(refused)?;
            Ok(LayerCache { keys, values })
        };
        Ok(Self {
            layers: (0..config.layers).map(|_| layer()).collect::<Result<_, EngineError>>()?,
        })
    }

    /// Returns one layer.
    pub(crate) fn layer(&self, index: usize) -> &LayerCache {
        &self.layers[index]
    }

    /// Returns one layer for appending.
    pub(crate) fn layer_mut(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }
}

/// Returns the bytes that `positions` positions take.
pub(crate) fn bytes(config: &ModelConfig, precision: Precision, positions: usize) -> u64 {
    let row = count(2 * config.kv_width()) * count(precision.dtype().size_in_bytes());
    row * count(config.layers) * count(positions)
}

impl Rows {
    fn reserve(precision: Precision, elements: usize) -> Option<Self> {
        fn room<T>(elements: usize) -> Option<Vec<T>> {
            let mut rows = Vec::new();
            rows.try_reserve_exact(elements).ok()?;
            Some(rows)
        }
        Some(match precision {
            Precision::F32 => Self::F32(room(elements)?),
            Precision::F16 => Self::F16(room(elements)?),
            Precision::Bf16 => Self::Bf16(room(elements)?),
        })
    }

    /// Appends a row, rounded to the format.
    pub(crate) fn append(&mut self, row: &[f32]) {
        match self {
            Self::F32(rows) => rows.extend_from_slice(row),
            Self::F16(rows) => {
                let start = rows.len();
                rows.resize(start + row.len(), f16::ZERO);
                rows[start..].convert_from_f32_slice(row);
            }
            Self::Bf16(rows) => {
                let start = rows.len();
                rows.resize(start + row.len(), bf16::ZERO);
                rows[start..].convert_from_f32_slice(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_within_the_reservation_never_moves_the_rows() {
        let mut rows = Rows::reserve(Precision::F16, 64).expect("little memory");
        rows.append(&[1.0; 16]);
        let Rows::F16(before) = &rows else { panic!("f16 was asked for") };
        let address = before.as_ptr();
        (0..3).for_each(|_| rows.append(&[1.5; 16]));
        let Rows::F16(after) = &rows else { panic!("f16 was asked for") };
        assert_eq!((after.len(), after.as_ptr()), (64, address));
        assert!((after[16].to_f32() - 1.5).abs() < f32::EPSILON);
    }
}
