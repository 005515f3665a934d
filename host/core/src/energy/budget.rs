//! The uncertainty budget of a figure, after the GUM (JCGM 100:2008): components, their combination,
//! and intervals with coverage factor 2.
//!
//! Which components a figure has is decided by its estimator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Joules;

/// Half-width of a sensor's gain between boards, relative: Yang, Adamek and Armour, SC24
/// (doi:10.1109/SC41406.2024.00028) found a proportional error of about ±5 %.
pub(super) const GAIN_HALF_WIDTH: f64 = 0.05;
/// Half-width of what a counter may miss of a load, relative, for loads that are not synchronous
/// with the sensor; measured on an H100.
pub(super) const COVERAGE_HALF_WIDTH: f64 = 0.003;
/// Half-width of the delay between an event and its publication, in seconds; measured on an H100.
pub(super) const LAG_HALF_WIDTH: f64 = 0.025;
/// Standard uncertainty of the processor-time model, relative: a power anywhere between a tenth and
/// the whole of the nominal one, 0.9/sqrt(12).
pub(super) const MODEL_RELATIVE: f64 = 0.26;

/// How uncertain an energy is.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Uncertainty {
    /// What contributes.
    pub components: Vec<Component>,
    /// Standard uncertainty without the sensor's gain: for comparisons on the same device.
    pub compare_joules: Joules,
    /// Standard uncertainty with the sensor's gain: for the figure alone.
    pub absolute_joules: Joules,
    /// Energy ± 2 `compare_joules`.
    pub compare_interval_joules: [Joules; 2],
    /// Energy ± 2 `absolute_joules`.
    pub absolute_interval_joules: [Joules; 2],
}

impl Uncertainty {
    /// Combines independent components around an energy.
    pub(super) fn around(energy: Joules, components: Vec<Component>) -> Self {
        let root = |with_gain: bool| {
            let squares = components.iter().filter(|component| with_gain || !component.gain);
            Joules::new(squares.map(|c| c.standard_joules.get().powi(2)).sum::<f64>().sqrt())
        };
        let (compare, absolute) = (root(false), root(true));
        let interval = |u: Joules| [energy - u * 2.0, energy + u * 2.0];
        Self {
            compare_interval_joules: interval(compare),
            absolute_interval_joules: interval(absolute),
            compare_joules: compare,
            absolute_joules: absolute,
            components,
        }
    }

    /// The part that is common to all figures of one board.
    pub(super) fn gain_joules(&self) -> Joules {
        let squares = self.components.iter().filter(|component| component.gain);
        Joules::new(squares.map(|c| c.standard_joules.get().powi(2)).sum::<f64>().sqrt())
    }
}

/// One contribution to an uncertainty.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Component {
    /// What it is.
    pub name: String,
    /// Its standard uncertainty.
    pub standard_joules: Joules,
    /// How it was evaluated.
    pub evaluation: Evaluation,
    /// Whether it is the sensor's gain, which cancels in ratios on the same device.
    pub gain: bool,
}

/// How an uncertainty was evaluated, in the terms of the GUM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluation {
    /// By statistics of the window's own data.
    TypeA,
    /// From other knowledge.
    TypeB,
}

impl Component {
    /// A component evaluated from the data.
    pub(super) fn type_a(name: &str, standard: f64) -> Self {
        Self::new(name, standard, Evaluation::TypeA)
    }

    /// A component evaluated from other knowledge.
    pub(super) fn type_b(name: &str, standard: f64) -> Self {
        Self::new(name, standard, Evaluation::TypeB)
    }

    /// The gain of the sensor of one board.
    pub(super) fn gain(standard: f64) -> Self {
        Self { gain: true, ..Self::type_b("sensor_gain", standard) }
    }

    fn new(name: &str, standard: f64, evaluation: Evaluation) -> Self {
        let standard_joules = Joules::new(standard.abs());
        Self { name: name.to_owned(), standard_joules, evaluation, gain: false }
    }
}

/// Standard uncertainty of a quantity known to lie within ± `half_width`, each value equally likely.
pub(super) fn rectangular(half_width: f64) -> f64 {
    half_width.abs() / 3.0_f64.sqrt()
}

/// A calibration of one device's sensor against a reference instrument.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// The device that was calibrated.
    pub device: String,
    /// Reference over reading, for power above the offset.
    pub gain: f64,
    /// Power to add after the gain.
    #[serde(default)]
    pub offset_watts: f64,
    /// Relative standard uncertainty (k = 1) of a corrected energy, from the certificate.
    pub relative_uncertainty: f64,
    /// Which certificate or session this is from.
    pub certificate: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_in_the_absolute_uncertainty_only() {
        let parts = vec![Component::type_b("edges", 3.0), Component::gain(4.0)];
        let u = Uncertainty::around(Joules::new(100.0), parts);
        assert_eq!((u.compare_joules.get(), u.absolute_joules.get()), (3.0, 5.0));
        assert_eq!(u.absolute_interval_joules, [90.0, 110.0].map(Joules::new));
        assert_eq!(u.gain_joules(), Joules::new(4.0));
    }
}
