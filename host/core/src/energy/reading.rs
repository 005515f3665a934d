//! The energy figure of one device in one window, as it is written into a record.
//!
//! It only carries data; the estimators and the rules of judgement are elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Checks, Instrument, NetEnergy, Scope, Series, Throttle, Uncertainty, Verdict, Window};
use crate::units::{Joules, Watts};

/// Energy of one device over one window, with where it comes from and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EnergyReading {
    /// The device: a GPU's UUID or a name such as `cpu-package-0`.
    pub device: String,
    /// What the energy comprises.
    pub scope: Scope,
    /// Where the figure comes from.
    pub instrument: Instrument,
    /// How the figure was obtained; absent together with the energy.
    pub method: Option<Method>,
    /// Gross energy over the window.
    pub energy_joules: Option<Joules>,
    /// Why there is no energy.
    pub reason: Option<String>,
    /// Whether the figure is a model's estimate instead of a measurement.
    pub estimated: bool,
    /// The interval that the energy holds for.
    pub window: Window,
    /// Publications of the counter between the window's edges, or samples where there is no counter.
    pub ticks: u64,
    /// Energy over duration.
    pub average_power_watts: Option<Watts>,
    /// How uncertain the energy is.
    pub uncertainty: Option<Uncertainty>,
    /// Energy above the idle power with the engine loaded: the marginal cost of the requests.
    pub net_context: Option<NetEnergy>,
    /// Energy above the bare idle power: the cost of having the service.
    pub net_bare: Option<NetEnergy>,
    /// Shares of the window in which limits held the clocks down, by the violation counters.
    #[serde(default)]
    pub throttle: Throttle,
    /// What other instruments say about the same window.
    pub checks: Checks,
    /// Whether the figure may be ranked.
    pub verdict: Verdict,
    /// What a reader must know about the figure.
    pub flags: Vec<Flag>,
    /// Certificate of the user's calibration, where one was applied.
    pub certificate: Option<String>,
}

impl EnergyReading {
    /// A reading without energy, for this reason.
    pub(super) fn absent(series: &Series, window: Window, reason: String) -> Self {
        Self {
            device: series.device.id.clone(),
            scope: series.device.scope,
            instrument: series.device.instrument,
            method: None,
            energy_joules: None,
            reason: Some(reason),
            estimated: series.device.instrument == Instrument::CpuTime,
            window,
            ticks: 0,
            average_power_watts: None,
            uncertainty: None,
            net_context: None,
            net_bare: None,
            throttle: Throttle::default(),
            checks: Checks::default(),
            verdict: Verdict::Invalid,
            flags: Vec::new(),
            certificate: None,
        }
    }

    /// Adds a flag unless it is there.
    pub(super) fn flag(&mut self, flag: Flag) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }
}

/// How an energy was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Difference of two publications of the counter, whose times are the window's edges.
    CounterTicks,
    /// Difference of two publications in the idle guards around the window, less the guards' energy.
    CounterGuard,
    /// Counter interpolated within its period, shaped by the driver's samples where there are any.
    CounterInterpolated,
    /// Sum of the driver's power samples.
    Samples,
    /// Sum of the driver's averaged power, shifted by half of the averaging time.
    AveragePower,
    /// Processor time times a constant power: a model.
    CpuTimeModel,
}

/// Something that a reader must know about a figure.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The figure is a model's estimate.
    Estimated,
    /// The window has fewer than 50 publications.
    ShortWindow,
    /// The device has no energy counter.
    CounterUnsupported,
    /// This user may not read the counter.
    CounterDenied,
    /// Reading the counter failed.
    CounterFailed,
    /// The counter stood still.
    CounterStuck,
    /// The counter went back.
    CounterDecreased,
    /// The device was lost in the window.
    DeviceLost,
    /// No second instrument covers the window.
    NotCrossChecked,
    /// Counter and samples differ by more than their uncertainty allows.
    InstrumentDiscrepancy,
    /// Counter and samples differ so much that one of them is wrong.
    InstrumentSuspect,
    /// The driver's instant power makes no sense beside its average power.
    InstantImplausible,
    /// Mean power over at least a second exceeds 115 % of the power limit.
    AboveLimit,
    /// Mean power is below 30 % of the lowest baseline.
    BelowIdle,
    /// There were not enough idle publications before or after the window.
    GuardMissing,
    /// The device was busy in a guard.
    GuardBusy,
    /// A process that is not the subject's computed on the device.
    ForeignProcess,
    /// The power limit held the clocks down for more than 1 % of the window.
    PowerLimited,
    /// The thermal limit held the clocks down for more than 1 % of the window.
    ThermallyLimited,
    /// The power limit is not the vendor's.
    LimitNotDefault,
    /// Publications were not seen one by one; the energy does not suffer.
    TicksMissed,
    /// A read of the counter took so long that a publication is placed badly in time.
    SlowReads,
    /// The recording was full before the window ended.
    Overrun,
    /// The wall clock stepped, so that driver samples could not be placed.
    ClockStepped,
    /// The driver lacks values that the method would use.
    PartialSupport,
    /// The energy is that of a whole GPU of which the subject has a slice.
    MigParent,
    /// Another process tree became the subject within the window.
    SubjectChanged,
    /// The user's calibration was applied.
    Calibrated,
}
