//! Samples of repeated measurements and what describes them.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::confidence::{self, Estimate};
use crate::units::length;

/// At least one finite number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Sample {
    values: Vec<f64>,
}

/// Why numbers are no sample.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// There is none.
    #[error("a sample needs at least 1 value, found none")]
    Empty,
    /// One is not finite.
    #[error("value {index} of a sample must be finite, found {found}")]
    NotFinite {
        /// Its position.
        index: usize,
        /// What it is.
        found: f64,
    },
}

impl TryFrom<Vec<f64>> for Sample {
    type Error = SampleError;

    fn try_from(values: Vec<f64>) -> Result<Self, SampleError> {
        Self::new(values)
    }
}

impl From<Sample> for Vec<f64> {
    fn from(sample: Sample) -> Self {
        sample.values
    }
}

impl Sample {
    /// A sample of these values, in the order in which they were measured.
    pub fn new(values: Vec<f64>) -> Result<Self, SampleError> {
        if values.is_empty() {
            return Err(SampleError::Empty);
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(SampleError::NotFinite { index, found: values[index] }),
            None => Ok(Self { values }),
        }
    }

    /// The values in the order in which they were measured.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a sample is never empty")]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Arithmetic mean.
    pub fn mean(&self) -> f64 {
        mean(&self.values)
    }

    /// Standard deviation with n − 1; none of a single value.
    pub fn standard_deviation(&self) -> Option<f64> {
        standard_deviation(&self.values)
    }

    /// Quantile of type 7 of Hyndman and Fan (Am. Stat. 50 (1996) 361): linear between order statistics.
    ///
    /// ```
    /// use llem_core::stats::Sample;
    /// let sample = Sample::new(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
    /// assert_eq!(sample.quantile(0.5), 2.5);
    /// ```
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&sorted(&self.values), share)
    }

    /// Whether all values are above zero.
    pub fn is_positive(&self) -> bool {
        self.values.iter().all(|value| *value > 0.0)
    }

    /// Everything that describes it; `coverage` is that of the interval of the mean, 0.95 as a rule.
    pub fn summary(&self, coverage: f64) -> Summary {
        let sorted = sorted(&self.values);
        Summary {
            count: self.len(),
            mean: self.mean(),
            median: quantile(&sorted, 0.5),
            standard_deviation: self.standard_deviation(),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            estimate: confidence::of_mean(self, coverage),
            outliers: outliers(&self.values),
        }
    }
}

/// What describes a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Standard deviation with n − 1; none of a single value.
    pub standard_deviation: Option<f64>,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Mean with its interval; none of a single value.
    pub estimate: Option<Estimate>,
    /// Values far from the others. They are part of everything else here.
    pub outliers: Vec<Outlier>,
}

/// A value far from the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// Its position in the sample.
    pub index: usize,
    /// The value.
    pub value: f64,
    /// Its distance from the median, in standard deviations estimated from the median absolute deviation.
    pub score: f64,
}

/// Values with a modified z score above 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993); below five
/// values none is called far.
fn outliers(values: &[f64]) -> Vec<Outlier> {
    if values.len() < 5 {
        return Vec::new();
    }
    let median = quantile(&sorted(values), 0.5);
    let deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    let mad = quantile(&sorted(&deviations), 0.5);
    let normal = Normal::standard();
    let spread = mad / normal.inverse_cdf(0.75);
    if spread <= 0.0 {
        return Vec::new();
    }
    let scored = values.iter().enumerate().map(|(index, value)| Outlier {
        index,
        value: *value,
        score: (value - median) / spread,
    });
    scored.filter(|it| it.score.abs() > 3.5).collect()
}

/// In ascending order.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Type 7 quantile of ascending values.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * length(sorted.len() - 1);
    let below = index(at.floor()).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - at.floor()) * (sorted[above] - sorted[below])
}

/// A whole number that is not negative, as an index.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers floor numbers of at least 0 and below a length"
)]
pub(super) fn index(at: f64) -> usize {
    at.max(0.0) as usize
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / length(values.len())
}

pub(super) fn standard_deviation(values: &[f64]) -> Option<f64> {
    (values.len() > 1).then(|| {
        let mean = mean(values);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / length(values.len() - 1)).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_and_no_number_are_no_sample() {
        assert_eq!(Sample::new(vec![]), Err(SampleError::Empty));
        let error = Sample::new(vec![1.0, f64::INFINITY]).unwrap_err();
        assert_eq!(error.to_string(), "value 1 of a sample must be finite, found inf");
    }

    #[test]
    fn a_single_value_has_no_spread_and_no_interval() {
        let summary = Sample::new(vec![3.0]).unwrap().summary(0.95);
        assert_eq!((summary.mean, summary.standard_deviation, summary.estimate), (3.0, None, None));
    }

    #[test]
    fn a_far_value_is_named_and_kept() {
        let summary = Sample::new(vec![10.0, 10.1, 9.9, 10.2, 9.8, 30.0]).unwrap().summary(0.95);
        assert_eq!(summary.outliers.iter().map(|it| it.index).collect::<Vec<_>>(), [5]);
        assert!((summary.mean - 80.0 / 6.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn quantiles_are_ordered_and_within_the_sample(values in proptest::collection::vec(-1e6_f64..1e6, 1..40), a in 0.0_f64..1.0, b in 0.0_f64..1.0) {
            let sample = Sample::new(values).unwrap();
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(sample.quantile(low) <= sample.quantile(high));
            prop_assert!(sample.quantile(0.0) <= sample.quantile(low) && sample.quantile(high) <= sample.quantile(1.0));
        }
    }
}
