//! The few number conversions that have no lossless form, each with its reason. Computes nothing.

/// Converts a count to `f32`; counts here stay far below 2²⁴ or feed an approximation.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "no lossless conversion exists"
)]
pub(crate) fn float(count: usize) -> f32 {
    count as f32
}

/// Converts a count to `f64`; exact below 2⁵³.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "no lossless conversion exists"
)]
pub(crate) fn double(count: u64) -> f64 {
    count as f64
}

/// Rounds to the nearest `f32`.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounding is meant")]
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

/// Widens an index or token id.
pub(crate) fn index(id: u32) -> usize {
    usize::try_from(id).expect("a 32-bit id fits the address space of every supported target")
}

/// Widens a length.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit 64 bits")
}
