//! Small linear algebra of the energy arithmetic: lines with robust errors, and quantiles.
//!
//! It knows nothing of energy.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::units::length;

/// A straight line through points.
pub(crate) struct Line {
    /// Change of y per unit of x.
    pub(crate) slope: f64,
    /// Standard error of the slope, with autocorrelation up to a lag (Newey and West, 1987).
    pub(crate) slope_error: f64,
}

/// Least squares with heteroskedasticity- and autocorrelation-consistent error of the slope.
pub(crate) fn line(x: &[f64], y: &[f64], lag: usize) -> Line {
    let count = length(x.len());
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / count, y.iter().sum::<f64>() / count);
    let square: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let cross: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = cross / square;
    let score: Vec<f64> =
        x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y - slope * (x - mean_x))).collect();
    let product = |k: usize| score.iter().zip(&score[k..]).map(|(a, b)| a * b).sum::<f64>();
    let lag = lag.min(score.len() - 1);
    let weight = |k: usize| 1.0 - length(k) / length(lag + 1);
    let variance = product(0) + 2.0 * (1..=lag).map(|k| weight(k) * product(k)).sum::<f64>();
    Line { slope, slope_error: variance.max(0.0).sqrt() / square }
}

/// The two-sided 95 % quantile of Student's t.
pub(crate) fn quantile_95(freedom: usize) -> f64 {
    let t = StudentsT::new(0.0, 1.0, length(freedom.max(1))).expect("positive degrees of freedom");
    t.inverse_cdf(0.975)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_with_its_slope_and_no_error() {
        let x: Vec<f64> = (0..50).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 0.25 * x).collect();
        let fit = line(&x, &y, 10);
        assert!((fit.slope + 0.25).abs() < 1e-12 && fit.slope_error < 1e-12);
    }

    #[test]
    fn student_s_quantile_has_its_known_value() {
        assert!((quantile_95(10) - 2.228).abs() < 1e-3);
    }
}
