//! Element-wise steps between the products: norm, gate, sums. Parallel over rows where that pays.

use rayon::prelude::*;

use crate::arithmetic::float;

/// Below this many elements one thread is faster than a hand-over.
const PARALLEL_FROM: usize = 1 << 15;

/// Divides each row by its root mean square and scales it by `weight`.
pub(crate) fn rms_norm(rows: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0.0; rows.len()];
    by_row(&mut out, width, |index, target| {
        let row = &rows[index * width..(index + 1) * width];
        let square: f32 = row.iter().map(|value| value * value).sum();
        let scale = (square / float(width) + epsilon).sqrt().recip();
        for ((target, value), weight) in target.iter_mut().zip(row).zip(weight) {
            *target = value * scale * weight;
        }
    });
    out
}

/// Multiplies the second half of each row by the gated first half: `silu(gate) * up`.
pub(crate) fn gated(gate_and_up: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_and_up.len() / 2];
    by_row(&mut out, width, |index, target| {
        let (gate, up) = gate_and_up[index * 2 * width..(index + 1) * 2 * width].split_at(width);
        for ((target, gate), up) in target.iter_mut().zip(gate).zip(up) {
            *target = gate / (1.0 + (-gate).exp()) * up;
        }
    });
    out
}

/// Adds `change` to `stream`.
pub(crate) fn add(stream: &mut [f32], change: &[f32]) {
    for (value, change) in stream.iter_mut().zip(change) {
        *value += change;
    }
}

fn by_row(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        out.chunks_mut(width).enumerate().for_each(|(index, row)| work(index, row));
    } else {
        out.par_chunks_mut(width).enumerate().for_each(|(index, row)| work(index, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normed_row_has_unit_mean_square() {
        let out = rms_norm(&[3.0, 4.0, 0.0, 2.0], &[1.0, 1.0], 0.0);
        let square = f32::midpoint(out[0] * out[0], out[1] * out[1]);
        assert!((square - 1.0).abs() < 1e-6, "{square}");
        assert!(out[2].abs() < 1e-6 && (out[3] - 2.0_f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_closed_gate_lets_nothing_through() {
        let out = gated(&[-100.0, 0.0, 100.0, 5.0, 5.0, 5.0], 3);
        assert!(
            out[0].abs() < 1e-6 && out[1].abs() < 1e-6 && (out[2] - 500.0).abs() < 1e-3,
            "{out:?}"
        );
    }
}
