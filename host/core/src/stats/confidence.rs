//! Estimates of a mean with their intervals.
//!
//! For values above zero the mean is the geometric one, so that ratios of means are means of ratios;
//! otherwise the arithmetic one.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{
    compare::Comparison,
    resample::bca,
    sample::{Sample, mean, standard_deviation},
};
use crate::units::length;

/// A range that covers the true value in this share of studies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of studies in which such an interval covers.
    pub coverage: f64,
}

impl Interval {
    /// Whether a value is inside.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// How an interval was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Student's t on the logarithms.
    LogT,
    /// Student's t.
    T,
    /// Bias-corrected and accelerated bootstrap.
    Bca,
    /// Student's t on the means of groups.
    Hierarchical,
}

/// An estimate with what is known of its error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The best value.
    pub point: f64,
    /// Standard error, in the unit of the point.
    pub standard_error: f64,
    /// Interval.
    pub interval: Interval,
    /// How the interval was found.
    pub method: Method,
}

impl Estimate {
    /// Half the interval's width relative to the point; none around zero.
    pub fn relative_half_width(&self) -> Option<f64> {
        let width = (self.interval.high - self.interval.low) / 2.0 / self.point.abs();
        width.is_finite().then_some(width)
    }
}

/// Samples of at least this size are resampled; below it the bootstrap's intervals are too narrow.
const RESAMPLED: usize = 20;

/// The mean of a sample with its interval; none of a single value.
///
/// Below 20 values Student's t, on the logarithms where all values are above zero; from there on the `BCa` bootstrap
/// (Efron, J. Am. Stat. Assoc. 82 (1987) 171) with the correction for small samples of Hesterberg (Am. Stat. 69 (2015)
/// 371).
///
/// ```
/// use llem_core::stats::{Sample, confidence};
/// let sample = Sample::new(vec![1.00, 1.02, 0.98]).unwrap();
/// let estimate = confidence::of_mean(&sample, 0.95).unwrap();
/// assert!(estimate.interval.contains(1.0) && estimate.relative_half_width().unwrap() < 0.06);
/// ```
pub fn of_mean(sample: &Sample, coverage: f64) -> Option<Estimate> {
    if sample.len() < 2 {
        return None;
    }
    if !sample.is_positive() {
        return if sample.len() < RESAMPLED {
            t(sample.values(), coverage)
        } else {
            resampled(sample.values(), coverage)
        };
    }
    let logs: Vec<f64> = sample.values().iter().map(|value| value.ln()).collect();
    let on_logs =
        if sample.len() < RESAMPLED { t(&logs, coverage) } else { resampled(&logs, coverage) };
    on_logs.map(exponential)
}

/// The mean of values that come in groups, such as the windows of trials: groups are what repeats.
///
/// Values of a group are alike, so that more of them narrow nothing between the groups; the interval is Student's t over
/// the groups' means. None of a single group.
pub fn of_groups(groups: &[Sample], coverage: f64) -> Option<Estimate> {
    let positive = groups.iter().all(Sample::is_positive);
    let means: Vec<f64> = groups
        .iter()
        .map(|group| {
            if positive {
                mean(&group.values().iter().map(|it| it.ln()).collect::<Vec<_>>())
            } else {
                group.mean()
            }
        })
        .collect();
    let estimate = t(&means, coverage)?;
    let estimate = if positive { exponential(estimate) } else { estimate };
    Some(Estimate { method: Method::Hierarchical, ..estimate })
}

/// Second over first of two independent samples of values above zero, with Welch's interval (Biometrika 34 (1947) 28)
/// on the logarithms; none where either has fewer than two values or one that is not above zero.
///
/// ```
/// use llem_core::stats::{Sample, confidence};
/// let of = |values: &[f64]| Sample::new(values.to_vec()).unwrap();
/// let found = confidence::ratio(&of(&[1.0, 1.01, 0.99]), &of(&[2.0, 2.02]), 0.95).unwrap();
/// assert!(found.ratio.interval.contains(2.01) && found.p_value < 0.01);
/// ```
pub fn ratio(first: &Sample, second: &Sample, coverage: f64) -> Option<Comparison> {
    if !first.is_positive() || !second.is_positive() {
        return None;
    }
    let of = |sample: &Sample| {
        let logs: Vec<f64> = sample.values().iter().map(|it| it.ln()).collect();
        let variance = standard_deviation(&logs)?.powi(2) / length(logs.len());
        Some((mean(&logs), variance, length(logs.len() - 1)))
    };
    let ((one, its, few), (other, others, more)) = (of(first)?, of(second)?);
    let variance = its + others;
    let freedom = if variance > 0.0 {
        variance.powi(2) / (its.powi(2) / few + others.powi(2) / more)
    } else {
        few + more
    };
    let difference = other - one;
    let error = variance.sqrt();
    let p_value = if error > 0.0 {
        t_p_value(difference / error, freedom)
    } else {
        f64::from(u8::from(difference == 0.0))
    };
    let ratio = exponential(from_error(difference, error, freedom, coverage));
    Some(Comparison { ratio, p_value, blocks: first.len().min(second.len()) })
}

/// Arithmetic mean with Student's interval.
pub(super) fn t(values: &[f64], coverage: f64) -> Option<Estimate> {
    let deviation = standard_deviation(values)?;
    let standard_error = deviation / length(values.len()).sqrt();
    Some(from_error(mean(values), standard_error, length(values.len() - 1), coverage))
}

/// Student's interval around a point.
pub(super) fn from_error(point: f64, standard_error: f64, freedom: f64, coverage: f64) -> Estimate {
    let half = t_quantile(freedom, coverage) * standard_error;
    let interval = Interval { low: point - half, high: point + half, coverage };
    Estimate { point, standard_error, interval, method: Method::T }
}

/// Two-sided quantile of Student's t.
pub(super) fn t_quantile(freedom: f64, coverage: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .expect("degrees of freedom are above 0")
        .inverse_cdf(0.5 + coverage / 2.0)
}

/// Two-sided p value of Student's t.
pub(super) fn t_p_value(statistic: f64, freedom: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are above 0");
    2.0 * t.sf(statistic.abs())
}

fn resampled(values: &[f64], coverage: f64) -> Option<Estimate> {
    let standard_error = standard_deviation(values)? / length(values.len()).sqrt();
    let interval = bca(values, mean, coverage);
    Some(Estimate { point: mean(values), standard_error, interval, method: Method::Bca })
}

/// From the mean of logarithms to the geometric mean.
pub(super) fn exponential(logs: Estimate) -> Estimate {
    let point = logs.point.exp();
    let interval =
        Interval { low: logs.interval.low.exp(), high: logs.interval.high.exp(), ..logs.interval };
    let method = if logs.method == Method::T { Method::LogT } else { logs.method };
    Estimate { point, standard_error: point * logs.standard_error, interval, method }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_t_interval_is_that_of_the_tables() {
        // Four values, t(3; 0.975) = 3.182.
        let estimate = t(&[-1.0, 0.0, 0.0, 1.0], 0.95).unwrap();
        let error = (2.0_f64 / 3.0).sqrt() / 2.0;
        assert!((estimate.standard_error - error).abs() < 1e-12);
        assert!((estimate.interval.high - 3.182_446 * error).abs() < 1e-5);
    }

    #[test]
    fn equal_values_have_an_interval_without_width() {
        for count in [2, 40] {
            let estimate = of_mean(&Sample::new(vec![2.0; count]).unwrap(), 0.95).unwrap();
            assert!(
                (estimate.point - 2.0).abs() < 1e-12
                    && estimate.relative_half_width().unwrap() < 1e-9,
                "{estimate:?}"
            );
        }
    }

    #[test]
    fn values_below_zero_get_an_arithmetic_mean() {
        let estimate = of_mean(&Sample::new(vec![-1.0, 1.0, 3.0]).unwrap(), 0.95).unwrap();
        assert_eq!((estimate.point, estimate.method), (1.0, Method::T));
    }

    #[test]
    fn the_interval_is_the_same_in_every_unit() {
        let values: Vec<f64> = (0..25).map(|it| 1.0 + f64::from(it % 7) * 0.01).collect();
        let scaled: Vec<f64> = values.iter().map(|it| it * 3600.0).collect();
        for count in [5, 25] {
            let of = |values: &[f64]| {
                of_mean(&Sample::new(values[..count].to_vec()).unwrap(), 0.95).unwrap()
            };
            let (small, large) = (of(&values), of(&scaled));
            assert!((large.interval.high / small.interval.high / 3600.0 - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn windows_of_one_trial_do_not_narrow_the_interval_of_several() {
        let few: Vec<Sample> =
            [1.0, 1.1, 0.9].iter().map(|it| Sample::new(vec![*it]).unwrap()).collect();
        let many: Vec<Sample> =
            [1.0, 1.1, 0.9].iter().map(|it| Sample::new(vec![*it; 10]).unwrap()).collect();
        let (few, many) = (of_groups(&few, 0.95).unwrap(), of_groups(&many, 0.95).unwrap());
        assert!((few.interval.low - many.interval.low).abs() < 1e-12);
        assert_eq!(few.method, Method::Hierarchical);
    }
}
