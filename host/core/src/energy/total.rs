//! The sum of readings of one scope over several devices.
//!
//! Scopes are never mixed: whoever wants GPU and processor together adds two totals on purpose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnergyReading, Scope, Uncertainty, Verdict};
use crate::units::{Joules, count};

/// Energy of all devices of one scope.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Total {
    /// What the energy comprises.
    pub scope: Scope,
    /// Gross energy; absent if it is for any device.
    pub energy_joules: Option<Joules>,
    /// How many devices were summed.
    pub devices: u64,
    /// Standard uncertainty without the sensors' gains.
    pub compare_joules: Option<Joules>,
    /// Standard uncertainty with the sensors' gains.
    pub absolute_joules: Option<Joules>,
    /// The worst of the devices' verdicts.
    pub verdict: Verdict,
    /// Whether any part is a model's estimate.
    pub estimated: bool,
}

/// Sums the readings of one scope, or gives nothing where there is none.
///
/// Gains of different boards are independent and add in quadrature; everything else may be common to
/// the devices of a host and adds linearly.
pub fn total(readings: &[EnergyReading], scope: Scope) -> Option<Total> {
    let of_scope: Vec<_> = readings.iter().filter(|reading| reading.scope == scope).collect();
    let first = of_scope.first()?;
    let energy_joules: Option<Joules> = of_scope.iter().map(|reading| reading.energy_joules).sum();
    let uncertainties: Option<Vec<&Uncertainty>> =
        of_scope.iter().map(|reading| reading.uncertainty.as_ref()).collect();
    let compare = uncertainties.as_ref().map(|all| all.iter().map(|u| u.compare_joules).sum());
    let absolute = uncertainties.as_ref().zip(compare).map(|(all, compare): (_, Joules)| {
        let gains: f64 = all.iter().map(|u| u.gain_joules().get().powi(2)).sum();
        Joules::new(compare.get().hypot(gains.sqrt()))
    });
    Some(Total {
        scope: first.scope,
        energy_joules,
        devices: count(of_scope.len()),
        compare_joules: compare,
        absolute_joules: absolute,
        verdict: of_scope.iter().map(|reading| reading.verdict).max().unwrap_or_default(),
        estimated: of_scope.iter().any(|reading| reading.estimated),
    })
}
