//! Comparisons of two configurations within blocks.
//!
//! A block is one repeat, in which both ran near each other: what drifts between blocks is common to
//! both and cancels.

use serde::{Deserialize, Serialize};

use super::confidence::{Estimate, exponential, t, t_p_value};
use crate::units::length;

/// How much one configuration differs from another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Value of the second relative to the first, with its interval.
    pub ratio: Estimate,
    /// Probability of such a difference if there were none (two-sided t test of the logarithms' differences).
    pub p_value: f64,
    /// Blocks that have both.
    pub blocks: usize,
}

/// Compares second with first; each pair is one block. None of fewer than two blocks or of values that are not above
/// zero.
///
/// ```
/// use llem_core::stats::paired;
/// let comparison = paired(&[(1.0, 2.0), (1.1, 2.2), (0.9, 1.8001)], 0.95).unwrap();
/// assert!((comparison.ratio.point - 2.0).abs() < 1e-3 && comparison.p_value < 0.001);
/// ```
pub fn paired(pairs: &[(f64, f64)], coverage: f64) -> Option<Comparison> {
    let usable = |it: &f64| it.is_finite() && *it > 0.0;
    if !pairs.iter().all(|(first, second)| usable(first) && usable(second)) {
        return None;
    }
    let logs: Vec<f64> = pairs.iter().map(|(first, second)| (second / first).ln()).collect();
    let estimate = t(&logs, coverage)?;
    let p_value = if estimate.standard_error > 0.0 {
        t_p_value(estimate.point / estimate.standard_error, length(logs.len() - 1))
    } else if estimate.point == 0.0 {
        1.0
    } else {
        0.0
    };
    Some(Comparison { ratio: exponential(estimate), p_value, blocks: logs.len() })
}

/// P values adjusted for being many, so that the chance of any false finding stays below the level (Holm, Scand. J.
/// Stat. 6 (1979) 65).
///
/// ```
/// use llem_core::stats::holm;
/// assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut greatest: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        greatest = greatest.max(p_values[at] * length(p_values.len() - rank)).min(1.0);
        adjusted[at] = greatest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_drifts_between_blocks_cancels() {
        let pairs: Vec<(f64, f64)> =
            (0..6).map(|block| 1.0 + f64::from(block)).map(|level| (level, 1.1 * level)).collect();
        let comparison = paired(&pairs, 0.95).unwrap();
        assert!(
            (comparison.ratio.point - 1.1).abs() < 1e-9
                && comparison.ratio.relative_half_width().unwrap() < 1e-9
        );
    }

    #[test]
    fn one_block_compares_nothing() {
        assert_eq!(paired(&[(1.0, 2.0)], 0.95), None);
        assert_eq!(paired(&[(1.0, 2.0), (0.0, 1.0)], 0.95), None);
    }

    proptest! {
        #[test]
        fn adjusted_p_values_are_never_smaller_and_keep_their_order(p in proptest::collection::vec(0.0_f64..1.0, 0..12)) {
            let adjusted = holm(&p);
            for (at, before) in p.iter().enumerate() {
                prop_assert!(adjusted[at] >= *before && adjusted[at] <= 1.0);
                for (other, its) in p.iter().enumerate() {
                    prop_assert!(before > its || adjusted[at] <= adjusted[other]);
                }
            }
        }
    }
}
