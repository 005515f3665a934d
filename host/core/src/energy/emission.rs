//! Greenhouse gas emissions of an energy: its electricity's intensity, and what the data centre adds.
//!
//! It knows no grid and no default: both factors come from the user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::units::Joules;

/// Joules in a kilowatt-hour.
const KILOWATT_HOUR: f64 = 3.6e6;

/// Emissions of electricity, in grams of CO2 equivalent per kilowatt-hour.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CarbonIntensity {
    /// The same at all times.
    Constant(f64),
    /// Unix time in seconds and the intensity from then on, in ascending order.
    Series(Vec<(f64, f64)>),
}

/// What the user knows about the electricity.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carbon {
    /// Its intensity.
    pub intensity: CarbonIntensity,
    /// Power usage effectiveness: energy of the whole site over that of its computers.
    pub power_usage_effectiveness: f64,
}

/// Emissions of an energy with what they were computed from.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Emission {
    /// Mass of CO2 equivalent in kilograms.
    pub co2e_kilograms: f64,
    /// Mean intensity over the window, in grams per kilowatt-hour.
    pub intensity_grams_per_kilowatt_hour: f64,
    /// Power usage effectiveness: energy of the whole site over that of its computers.
    pub power_usage_effectiveness: f64,
}

/// Why emissions cannot be computed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EmissionError {
    /// A factor makes no sense.
    #[error("power usage effectiveness must be at least 1, found {0}")]
    Effectiveness(f64),
    /// The series does not reach back far enough.
    #[error("the intensity series begins at {begins}, after the window's begin at {wanted}")]
    NotCovered {
        /// Its first time.
        begins: f64,
        /// The window's begin.
        wanted: f64,
    },
    /// The series is empty, out of order, or negative.
    #[error("an intensity must be finite, not negative, and in ascending order of time")]
    Malformed,
}

/// Emissions of an energy taken evenly over a window between two Unix times in seconds.
///
/// ```
/// use llem_core::{energy::{CarbonIntensity, emission}, units::Joules};
/// let kilowatt_hour = Joules::new(3.6e6);
/// let emission = emission(kilowatt_hour, (0.0, 60.0), &CarbonIntensity::Constant(400.0), 1.25).unwrap();
/// assert!((emission.co2e_kilograms - 0.5).abs() < 1e-12);
/// ```
pub fn emission(
    energy: Joules,
    (begin, end): (f64, f64),
    intensity: &CarbonIntensity,
    effectiveness: f64,
) -> Result<Emission, EmissionError> {
    if !(effectiveness >= 1.0 && effectiveness.is_finite()) {
        return Err(EmissionError::Effectiveness(effectiveness));
    }
    let mean = match intensity {
        CarbonIntensity::Constant(value) => *value,
        CarbonIntensity::Series(points) => mean(points, begin, end)?,
    };
    if !(mean >= 0.0 && mean.is_finite()) {
        return Err(EmissionError::Malformed);
    }
    Ok(Emission {
        co2e_kilograms: energy.get() * effectiveness / KILOWATT_HOUR * mean / 1e3,
        intensity_grams_per_kilowatt_hour: mean,
        power_usage_effectiveness: effectiveness,
    })
}

fn mean(points: &[(f64, f64)], begin: f64, end: f64) -> Result<f64, EmissionError> {
    let first = points.first().ok_or(EmissionError::Malformed)?;
    let sound = points.iter().all(|p| p.1 >= 0.0 && p.1.is_finite());
    if !sound || points.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
        return Err(EmissionError::Malformed);
    }
    if first.0 > begin {
        return Err(EmissionError::NotCovered { begins: first.0, wanted: begin });
    }
    let at = |time: f64| points[points.partition_point(|p| p.0 <= time) - 1].1;
    if end <= begin {
        return Ok(at(begin));
    }
    let ends = points.iter().skip(1).map(|p| p.0).chain([f64::INFINITY]);
    let spans = points.iter().zip(ends);
    let weighted = spans.map(|(p, next)| p.1 * (next.min(end) - p.0.max(begin)).max(0.0));
    Ok(weighted.sum::<f64>() / (end - begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_averaged_over_the_window() {
        let series = CarbonIntensity::Series(vec![(0.0, 100.0), (50.0, 300.0)]);
        let found = emission(Joules::new(3.6e6), (25.0, 75.0), &series, 1.0).expect("covered");
        assert!((found.intensity_grams_per_kilowatt_hour - 200.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        let series = CarbonIntensity::Series(vec![(10.0, 100.0)]);
        let refused = emission(Joules::new(1.0), (0.0, 5.0), &series, 1.0);
        assert_eq!(refused, Err(EmissionError::NotCovered { begins: 10.0, wanted: 0.0 }));
        let refused = emission(Joules::new(1.0), (0.0, 5.0), &CarbonIntensity::Constant(1.0), 0.9);
        assert_eq!(refused, Err(EmissionError::Effectiveness(0.9)));
        let backwards = CarbonIntensity::Series(vec![(1.0, 1.0), (0.0, 1.0)]);
        assert!(emission(Joules::new(1.0), (2.0, 3.0), &backwards, 1.0).is_err());
    }
}
