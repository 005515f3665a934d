//! What a meter recorded about one device, as plain columns.
//!
//! Columns of one table have one length. Times are nanoseconds of `CLOCK_MONOTONIC`. A missing cell is
//! `None`. Nothing here is derived: counts are as read, faults are listed as incidents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Joules, Seconds, Watts, whole};

/// Everything recorded about one device between the start and the stop of a recording.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Series {
    /// Which device, and by which instrument.
    pub device: Device,
    /// What the meter learned about the instrument before it recorded.
    pub calibration: Calibration,
    /// Publications of the energy counter.
    pub ticks: Ticks,
    /// The driver's own history of power.
    pub samples: Samples,
    /// Cheap values, read once a tick.
    pub lane: Lane,
    /// Costlier values, read once a second.
    pub slow: Slow,
    /// Faults, in the order in which they were seen.
    pub incidents: Vec<Incident>,
}

/// A device as one instrument sees it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Device {
    /// Stable name: a GPU's UUID, `cpu-package-0`, `cpu-model`.
    pub id: String,
    /// Product name.
    pub name: String,
    /// Ordinal among the devices of its kind on this host.
    pub index: Option<u32>,
    /// What its energy comprises.
    pub scope: Scope,
    /// Where the figures come from.
    pub instrument: Instrument,
    /// Power limit in force when the recording began.
    pub power_limit_watts: Option<Watts>,
    /// Power limit that the vendor set.
    pub default_power_limit_watts: Option<Watts>,
    /// Identity and settings as the driver states them: versions, modes, clocks.
    pub facts: BTreeMap<String, String>,
}

/// What a reading's energy comprises; scopes are never summed silently.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One GPU board: chip, memory and regulators, as its own sensor sees them.
    #[default]
    GpuBoard,
    /// One processor package.
    CpuPackage,
    /// The memory of one processor package.
    Dram,
}

/// Where figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instrument {
    /// NVIDIA's management library.
    #[default]
    Nvml,
    /// RAPL through the kernel's perf PMU.
    RaplPerf,
    /// RAPL through the powercap file system.
    RaplPowercap,
    /// Processor time of the subject times a constant power: an estimate, no measurement.
    CpuTime,
}

/// What is known about the instrument.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Calibration {
    /// Whether the energy counter can be used, and if not, why.
    pub counter: CounterState,
    /// Energy of one count.
    pub joules_per_count: f64,
    /// Time between two publications; absent where the counter is continuous to the reader.
    pub period_seconds: Option<Seconds>,
    /// Standard deviation of publication times around their regular grid.
    pub tick_jitter_seconds: Option<Seconds>,
    /// Median time of one read of the counter.
    pub read_p50_seconds: Option<Seconds>,
    /// 99th percentile of the time of one read of the counter.
    pub read_p99_seconds: Option<Seconds>,
    /// Publications that the calibration saw.
    pub ticks_seen: u32,
    /// What the driver answers: `average`, `instant`, `samples`, `violations`, `memory_average`, …
    pub support: BTreeMap<String, bool>,
    /// Wall-clock time minus monotonic time when the session began, in nanoseconds.
    pub wall_offset_ns: Option<i64>,
}

/// Whether an energy counter can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CounterState {
    /// It advances.
    #[default]
    Live,
    /// It answers but never changed during calibration.
    Stuck,
    /// The device or the driver has none.
    Unsupported,
    /// The system refuses to let this user read it.
    Denied,
    /// Reading it failed otherwise.
    Failed,
}

/// Publications of an energy counter.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Ticks {
    /// The value was not yet published at this time: start of the last read that returned the one before.
    pub lo_ns: Vec<u64>,
    /// The value had been published by this time: end of the first read that returned it.
    pub hi_ns: Vec<u64>,
    /// The counter's value, in counts.
    pub counts: Vec<u64>,
}

impl Ticks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Best single estimate of a publication's time: the middle of its bracket.
    pub fn mid_ns(&self, index: usize) -> u64 {
        self.lo_ns[index].midpoint(self.hi_ns[index])
    }

    /// Half the width of a publication's bracket.
    pub fn half_width(&self, index: usize) -> Seconds {
        Seconds::between(self.lo_ns[index], self.hi_ns[index]) / 2.0
    }

    /// Energy from one publication to a later one; negative if the counter went back.
    pub fn energy(&self, from: usize, to: usize, joules_per_count: f64) -> Joules {
        let (from, to) = (self.counts[from], self.counts[to]);
        let distance = whole(from.abs_diff(to)) * joules_per_count;
        Joules::new(if to < from { -distance } else { distance })
    }
}

/// The driver's own history of power, about fifty values a second.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Samples {
    /// The driver's stamp of the sample, mapped to the monotonic clock; the value holds for the
    /// time up to it.
    pub at_ns: Vec<u64>,
    /// Power.
    pub power_watts: Vec<Watts>,
}

/// Values that cost about a microsecond each, read once a tick.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Lane {
    /// When the row was read.
    pub at_ns: Vec<u64>,
    /// Power averaged by the driver, over one second on recent devices.
    pub average_power_watts: Vec<Option<Watts>>,
    /// Power over the driver's shortest interval; aliased by periodic loads, never integrated here.
    pub instant_power_watts: Vec<Option<Watts>>,
    /// Temperature of the chip in degrees Celsius.
    pub temperature_celsius: Vec<Option<u32>>,
    /// Temperature of the memory in degrees Celsius.
    pub memory_temperature_celsius: Vec<Option<u32>>,
    /// Clock of the multiprocessors in megahertz.
    pub sm_clock_megahertz: Vec<Option<u32>>,
    /// Clock of the memory in megahertz.
    pub memory_clock_megahertz: Vec<Option<u32>>,
    /// The driver's bit set of reasons for reduced clocks.
    pub throttle_bits: Vec<Option<u64>>,
    /// Share of time in which a kernel ran, in percent.
    pub utilization_percent: Vec<Option<u32>>,
    /// Performance state, 0 is the fastest.
    pub performance_state: Vec<Option<u32>>,
    /// Time that all the host's hardware threads together have been busy since boot.
    pub machine_busy_seconds: Vec<Option<Seconds>>,
}

/// Values read once a second.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Slow {
    /// When the row was read.
    pub at_ns: Vec<u64>,
    /// Time that the power limit has held the clocks down, cumulated.
    pub power_violation_ns: Vec<Option<u64>>,
    /// Time that the thermal limit has held the clocks down, cumulated.
    pub thermal_violation_ns: Vec<Option<u64>>,
    /// Power limit in force.
    pub power_limit_watts: Vec<Option<Watts>>,
    /// Memory in use on the device.
    pub memory_used_bytes: Vec<Option<u64>>,
    /// Processes that compute on the device.
    pub processes: Vec<Option<u32>>,
    /// Of these, how many do not belong to the subject; absent while no subject is set.
    pub foreign_processes: Vec<Option<u32>>,
}

/// A fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Incident {
    /// When it was seen.
    pub at_ns: u64,
    /// What it was.
    pub kind: IncidentKind,
    /// The library's return code, the number of missed ticks, or zero.
    pub detail: u64,
}

/// Kinds of fault that a meter can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// The device fell off the bus or the driver went away.
    DeviceLost,
    /// A read failed; `detail` is the code.
    ReadFailed,
    /// The counter stood still for more than five periods.
    CounterStuck,
    /// The counter went back.
    CounterDecreased,
    /// Publications were not seen one by one; no energy is lost by that.
    TicksMissed,
    /// The recording was full; `detail` counts what was not kept.
    Overrun,
    /// The wall clock stepped against the monotonic clock, so driver samples could not be placed.
    ClockStepped,
    /// Another process tree became the subject.
    SubjectChanged,
}

impl IncidentKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::DeviceLost,
        Self::ReadFailed,
        Self::CounterStuck,
        Self::CounterDecreased,
        Self::TicksMissed,
        Self::Overrun,
        Self::ClockStepped,
        Self::SubjectChanged,
    ];
}
