//! Emissions of a window's energy, scope by scope, where the user gave an intensity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::energy::{Emission, Scope, Series, Settings, Total, Window, emission};

/// Emissions of the energy of one scope.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ScopeEmission {
    /// What the energy comprises.
    pub scope: Scope,
    /// The emissions and their factors.
    pub emission: Option<Emission>,
    /// Why there are none.
    pub reason: Option<String>,
}

/// Emissions of each scope that has an energy; nothing where no intensity was given.
pub(super) fn of(
    totals: &[Total],
    window: Window,
    series: &[Series],
    settings: &Settings,
) -> Vec<ScopeEmission> {
    let Some(carbon) = &settings.carbon else { return Vec::new() };
    let offset = series.iter().find_map(|it| it.calibration.wall_offset_ns);
    let one = |total: &Total| {
        let energy = total.energy_joules?;
        let found = offset.ok_or_else(|| "the wall clock was not read".to_owned()).and_then(|by| {
            let span = (unix(window.begin_ns, by), unix(window.end_ns, by));
            emission(energy, span, &carbon.intensity, carbon.power_usage_effectiveness)
                .map_err(|error| error.to_string())
        });
        Some(match found {
            Ok(found) => ScopeEmission { scope: total.scope, emission: Some(found), reason: None },
            Err(reason) => {
                ScopeEmission { scope: total.scope, emission: None, reason: Some(reason) }
            }
        })
    };
    totals.iter().filter_map(one).collect()
}

/// Unix time in seconds of a monotonic time.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a tenth of a microsecond is far below what an intensity resolves"
)]
fn unix(at_ns: u64, offset_ns: i64) -> f64 {
    (i128::from(at_ns) + i128::from(offset_ns)) as f64 / 1e9
}
