//! What the caller can choose about instruments.
//!
//! The environment is read in one place only, [`MeterOptions::from_env`].

use std::{path::PathBuf, time::Duration};

/// Which instruments to look for, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterOptions {
    /// The management library; the system's `libnvidia-ml.so.1` where absent.
    pub nvml_library: Option<PathBuf>,
    /// Which GPUs to record.
    pub gpus: Gpus,
    /// Whether to record processor and memory.
    pub cpu: bool,
    /// Where the kernel's tree of devices is, `/sys` unless a test says otherwise.
    pub sysfs: PathBuf,
    /// Power that the processor-time model assumes for one busy hardware thread, in watts.
    pub watts_per_thread: f64,
    /// How long the energy counter of each GPU is observed at discovery.
    pub calibration: Duration,
    /// How much can be recorded at once; what is beyond is counted as lost and flagged.
    pub capacity: Duration,
}

/// Which GPUs to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// None.
    None,
    /// Every GPU that the driver shows.
    All,
    /// A list as `CUDA_VISIBLE_DEVICES` has it: indices, UUIDs, their prefixes, or MIG names.
    Visible(String),
}

impl Default for MeterOptions {
    fn default() -> Self {
        Self {
            nvml_library: None,
            gpus: Gpus::All,
            cpu: true,
            sysfs: PathBuf::from("/sys"),
            watts_per_thread: 4.0,
            calibration: Duration::from_millis(2_500),
            capacity: Duration::from_hours(2),
        }
    }
}

impl MeterOptions {
    /// The defaults, with the GPUs that `CUDA_VISIBLE_DEVICES` names if it is set.
    pub fn from_env() -> Self {
        let gpus = std::env::var("CUDA_VISIBLE_DEVICES").map_or(Gpus::All, Gpus::Visible);
        Self { gpus, ..Self::default() }
    }
}
