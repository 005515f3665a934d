//! Energy arithmetic: from a meter's raw series to figures with an uncertainty and a verdict.
//!
//! A meter records one [`Series`] per device; [`measure`] turns series and a requested window into a
//! [`Measurement`]: the window in which tokens must be counted, and one [`EnergyReading`] per device.
//! Baselines, throttling, phases and emissions are further pure functions of the same data, so that
//! every figure can be derived again from a stored series.
//!
//! Nothing here reads a device or a clock, and nothing sums scopes or repairs a faulty counter: what
//! cannot be known is absent, with the reason.

mod baseline;
mod budget;
mod check;
mod clockwork;
mod emission;
mod measure;
mod nnls;
mod phases;
mod power;
#[cfg(test)]
mod properties;
mod reading;
mod regression;
mod remark;
mod series;
mod shape;
mod throttle;
mod ticks;
mod told;
mod total;
mod window;
mod work;

pub use baseline::{Baseline, BaselineError, Baselines, NetEnergy, baseline};
pub use budget::{Calibrated, Component, Evaluation, Uncertainty};
pub use check::{Checks, Verdict};
pub use emission::{Carbon, CarbonIntensity, Emission, EmissionError, emission};
pub use measure::{Measurement, Request, Settings, measure};
pub use phases::{
    Attribution, AttributionError, Coefficient, PhaseShare, RequestEnergy, StepSource, attribute,
};
pub use reading::{EnergyReading, Flag, Method};
pub use series::{
    Calibration, CounterState, Device, Incident, IncidentKind, Instrument, Lane, Samples, Scope,
    Series, Slow, Ticks,
};
pub use throttle::{Throttle, throttle};
pub use told::{Progress, steps_from_engine};
pub use total::{Total, total};
pub use window::{Mode, Window};
pub use work::{Arrivals, Step, StepShare, steps_from_arrivals};
