//! How the GPUs that do not exist are described.
//!
//! Times in a description count from the origin: when the library was configured, unless it says else.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Profile, Replay};

/// The whole library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose time passes.
    pub time: Time,
    /// Origin of the scripts on `CLOCK_MONOTONIC`; absent: when the library is configured.
    pub origin_ns: Option<u64>,
    /// The driver's version.
    pub driver: String,
    /// What initialisation returns, 0 for success.
    pub init_code: u32,
    /// The GPUs.
    pub gpus: Vec<GpuConfig>,
    /// Seconds by which the wall clock steps, and when.
    pub wall_step: Option<(f64, f64)>,
    /// File that keeps what clients set, for all processes and beyond them, as a driver does; absent: each loaded copy
    /// keeps its own.
    pub settings: Option<PathBuf>,
}

/// Whose time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// The machine's.
    #[default]
    Real,
    /// The test's: it passes only by reads and when it is moved.
    Virtual,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuConfig {
    /// Its UUID.
    pub uuid: String,
    /// Its product name.
    pub name: String,
    /// Its power in watts.
    pub power: Profile,
    /// A recording to answer with instead of `power`.
    pub replay: Option<Replay>,
    /// Time between two publications of the counter.
    pub period_seconds: f64,
    /// Standard deviation of a publication's time.
    pub jitter_seconds: f64,
    /// Time of the first publication.
    pub phase_seconds: f64,
    /// Time of one read of the counter: at least, median, 95th, 99th percentile, at most.
    pub read_seconds: [f64; 5],
    /// Which part of a read has passed when the value is taken.
    pub read_point: f64,
    /// Seed of jitter and read times.
    pub seed: u64,
    /// Power limit in force as long as nobody sets another, in watts.
    pub limit_watts: f64,
    /// Least power limit that can be set, in watts.
    pub lowest_limit_watts: f64,
    /// The vendor's power limit, in watts.
    pub default_limit_watts: f64,
    /// Share of time under the power limit, 0 to 1, over time.
    pub power_limited: Profile,
    /// Share of time under the thermal limit, 0 to 1, over time.
    pub thermally_limited: Profile,
    /// Utilisation in percent over time.
    pub utilization: Profile,
    /// Temperature in degrees Celsius over time.
    pub temperature: Profile,
    /// UUIDs of MIG slices; MIG is on where there are any.
    pub slices: Vec<String>,
    /// Whether its driver stays loaded.
    pub persistence: bool,
    /// Processes that compute on it.
    pub processes: Vec<u32>,
    /// Memory in use.
    pub memory_bytes: u64,
    /// What is wrong with it.
    pub faults: Faults,
}

/// What is wrong with a GPU; times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent faults, any combination is possible"
)]
pub struct Faults {
    /// It is lost from then on.
    pub lost_at: Option<f64>,
    /// It has no energy counter.
    pub no_counter: bool,
    /// Its energy counter may not be read.
    pub counter_denied: bool,
    /// Its counter stands still from then on.
    pub stuck_at: Option<f64>,
    /// Its counter begins again at zero then.
    pub reset_at: Option<f64>,
    /// Its counter runs this many times too fast.
    pub counter_gain: Option<f64>,
    /// Its instant power is always this, in watts.
    pub instant_watts: Option<f64>,
    /// It has no power samples.
    pub no_samples: bool,
    /// It has no averaged power.
    pub no_average: bool,
    /// It has no violation counters by policy, only by field.
    pub no_violation_status: bool,
    /// Nothing of it may be set by this user.
    pub settings_denied: bool,
    /// Its power limit can't be set.
    pub no_power_limit: bool,
    /// Its clocks can't be locked.
    pub no_locked_clocks: bool,
    /// A power limit is taken and rounded up to a multiple of this, in watts.
    pub limit_step_watts: Option<f64>,
    /// Settings are taken without an effect.
    pub settings_ignored: bool,
    /// From then on another limit of the machine holds, in watts.
    pub lower_limit_at: Option<(f64, f64)>,
    /// Under load its SM clock stays below a locked one by this, in MHz.
    pub clock_shortfall_megahertz: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            time: Time::Real,
            origin_ns: None,
            driver: "580.159.04".to_owned(),
            init_code: 0,
            gpus: vec![GpuConfig::default()],
            wall_step: None,
            settings: None,
        }
    }
}

impl Default for GpuConfig {
    fn default() -> Self {
        Self {
            uuid: "GPU-00000000-0000-0000-0000-000000000000".to_owned(),
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            power: Profile::square(128.0, 480.0, 4.0),
            replay: None,
            period_seconds: 0.100_008,
            jitter_seconds: 0.000_3,
            phase_seconds: 0.0,
            read_seconds: [0.002_6, 0.002_9, 0.004_5, 0.015_6, 0.017_6],
            read_point: 0.5,
            seed: 0,
            limit_watts: 700.0,
            lowest_limit_watts: 200.0,
            default_limit_watts: 700.0,
            power_limited: Profile::constant(0.0),
            thermally_limited: Profile::constant(0.0),
            utilization: Profile::constant(0.0),
            temperature: Profile::constant(40.0),
            slices: Vec::new(),
            persistence: true,
            processes: Vec::new(),
            memory_bytes: 5_000_000_000,
            faults: Faults::default(),
        }
    }
}

impl Config {
    /// One GPU in virtual time.
    pub fn simulated(gpu: GpuConfig) -> Self {
        Self { time: Time::Virtual, gpus: vec![gpu], ..Self::default() }
    }
}
