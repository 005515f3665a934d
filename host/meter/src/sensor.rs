//! What the recording loops need of a device, and how its faults look.
//!
//! Reads are raw: no unit is converted and nothing is judged here.

use llem_core::energy::{Device, IncidentKind};

/// A cell that the device did not answer.
pub(crate) const MISSING: u64 = u64::MAX;

/// A device as the loops see it. No method may allocate once recording has begun.
pub(crate) trait Sensor: Send {
    /// Identity and settings as of now; may allocate.
    fn device(&self) -> Device;
    /// The energy counter.
    fn counter(&mut self) -> Result<u64, Fault>;
    /// Cheap values.
    fn lane(&mut self) -> LaneRow {
        LaneRow::default()
    }
    /// Gives each power sample newer than `since_us` as (driver's stamp in microseconds, milliwatts).
    fn samples(&mut self, _since_us: u64, _each: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }
    /// Costlier values; the subject's process decides which others are foreign.
    fn slow(&mut self, _subject: Option<u32>) -> Option<SlowRow> {
        None
    }
    /// Tells a sensor that follows processes which one to follow.
    fn follow(&mut self, _subject: Option<u32>) {}
}

/// Cheap values; [`MISSING`] where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneRow {
    pub(crate) average_milliwatts: u64,
    pub(crate) instant_milliwatts: u64,
    pub(crate) temperature: u64,
    pub(crate) memory_temperature: u64,
    pub(crate) sm_clock: u64,
    pub(crate) memory_clock: u64,
    pub(crate) throttle_bits: u64,
    pub(crate) utilization: u64,
    pub(crate) performance_state: u64,
    pub(crate) busy_ns: u64,
}

impl Default for LaneRow {
    fn default() -> Self {
        Self {
            average_milliwatts: MISSING,
            instant_milliwatts: MISSING,
            temperature: MISSING,
            memory_temperature: MISSING,
            sm_clock: MISSING,
            memory_clock: MISSING,
            throttle_bits: MISSING,
            utilization: MISSING,
            performance_state: MISSING,
            busy_ns: MISSING,
        }
    }
}

/// Costlier values; [`MISSING`] where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowRow {
    pub(crate) power_violation_ns: u64,
    pub(crate) thermal_violation_ns: u64,
    pub(crate) limit_milliwatts: u64,
    pub(crate) memory_used: u64,
    pub(crate) processes: u64,
    pub(crate) foreign: u64,
}

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device or the driver went away.
    Lost,
    /// There is no such value.
    Unsupported,
    /// This user may not read it.
    Denied,
    /// Anything else, with the library's code or the system's error number.
    Code(u32),
}

impl Fault {
    pub(crate) fn incident(self) -> (IncidentKind, u64) {
        match self {
            Self::Lost => (IncidentKind::DeviceLost, 0),
            Self::Unsupported => (IncidentKind::ReadFailed, 3),
            Self::Denied => (IncidentKind::ReadFailed, 4),
            Self::Code(code) => (IncidentKind::ReadFailed, u64::from(code)),
        }
    }
}
