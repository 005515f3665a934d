//! Whether a metric drifted over the study, whatever ran.

use serde::{Deserialize, Serialize};

use super::confidence::{Estimate, exponential, from_error, t_p_value};
use crate::units::length;

/// One value of one experiment at its position in the study.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Index of the experiment.
    pub experiment: usize,
    /// Position in the study.
    pub position: usize,
    /// The metric; above zero.
    pub value: f64,
}

/// A linear drift.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Factor by which the metric changed from the first position to the last.
    pub change: Estimate,
    /// Probability of such a change if there were none (two-sided t test of the slope).
    pub p_value: f64,
}

/// A linear trend of the logarithms over positions, each experiment around its own mean; none where no experiment has
/// two values, or a value is not above zero.
pub fn of_study(values: &[Placed], coverage: f64) -> Option<Drift> {
    if values.iter().any(|it| !it.value.is_finite() || it.value <= 0.0) {
        return None;
    }
    let experiments = values.iter().map(|it| it.experiment).max()? + 1;
    let mut sums = vec![(0.0, 0.0, 0_usize); experiments];
    for it in values {
        let (position, log, count) = &mut sums[it.experiment];
        *position += length(it.position);
        *log += it.value.ln();
        *count += 1;
    }
    let present = sums.iter().filter(|(.., count)| *count > 0).count();
    let freedom = length(values.len().checked_sub(present + 1).filter(|it| *it > 0)?);
    let centred = |it: &Placed| {
        let (position, log, count) = sums[it.experiment];
        (length(it.position) - position / length(count), it.value.ln() - log / length(count))
    };
    let (mut squares, mut products) = (0.0, 0.0);
    for (position, log) in values.iter().map(centred) {
        squares += position * position;
        products += position * log;
    }
    if squares <= 0.0 {
        return None;
    }
    let slope = products / squares;
    let residual: f64 =
        values.iter().map(centred).map(|(position, log)| (log - slope * position).powi(2)).sum();
    let error = (residual / freedom / squares).sqrt();
    let span = {
        let positions = values.iter().map(|it| it.position);
        length(positions.clone().max()? - positions.min()?)
    };
    let p_value = if error > 0.0 {
        t_p_value(slope / error, freedom)
    } else {
        f64::from(u8::from(slope == 0.0))
    };
    Some(Drift {
        change: exponential(from_error(slope * span, error * span, freedom, coverage)),
        p_value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(drift: f64) -> Vec<Placed> {
        (0..24_usize)
            .map(|position| {
                let experiment = position % 4;
                let noise = 0.001 * length((position * 7) % 5);
                Placed {
                    experiment,
                    position,
                    value: length(experiment + 1)
                        * (1.0 + noise)
                        * (drift * length(position) / 23.0).exp(),
                }
            })
            .collect()
    }

    #[test]
    fn a_drift_is_found_across_different_experiments() {
        let drift = of_study(&study(0.05), 0.95).unwrap();
        assert!(
            drift.p_value < 1e-6 && drift.change.interval.contains(0.05_f64.exp()),
            "{drift:?}"
        );
    }

    #[test]
    fn no_drift_is_found_where_there_is_none() {
        assert!(of_study(&study(0.0), 0.95).unwrap().p_value > 0.05);
    }

    #[test]
    fn single_values_show_no_drift() {
        assert_eq!(of_study(&study(0.0)[..4], 0.95), None);
    }
}
