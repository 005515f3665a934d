//! Facts about this machine for the record: hardware, system, versions. No names of people or hosts
//! beyond the host name, and no secrets.

mod cores;

use std::{fs, path::PathBuf, time::Duration};

use llem_core::{
    backend::GpuFacts,
    energy::{Device, Instrument},
    record::Site,
};
use llem_meter::{Instruments, MeterOptions};
use serde::{Deserialize, Serialize};

pub(crate) use self::cores::{Cores, divide as divide_cores};
use crate::config;

/// The machine that a study ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Version of llem.
    pub(crate) llem: String,
    /// Host name.
    pub(crate) host: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Distribution.
    pub(crate) system: Option<String>,
    /// Processor.
    pub(crate) processor: Option<String>,
    /// Hardware threads that llem may use.
    pub(crate) hardware_threads: usize,
    /// Memory in bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// Frequency governor of the first processor.
    pub(crate) governor: Option<String>,
    /// Whether the processor may exceed its nominal frequency.
    pub(crate) turbo: Option<bool>,
    /// Processors that llem keeps for itself, where engines are kept away from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) host_cores: Vec<usize>,
    /// Processors that engines are kept to, in the same case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) engine_cores: Vec<usize>,
    /// Hypervisor, where there is one.
    pub(crate) virtualised: bool,
    /// What the instruments say of themselves, by device.
    pub(crate) devices: Vec<Device>,
}

impl Machine {
    /// Reads the facts.
    pub(crate) fn read(devices: Vec<Device>, cores: &Cores) -> Self {
        let text = |path: &str| fs::read_to_string(path).ok().map(|it| it.trim().to_owned());
        let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
        let cpu_value = |key: &str| {
            let line = cpuinfo.lines().find(|it| it.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let os_release = text("/etc/os-release").unwrap_or_default();
        let pretty = os_release.lines().find_map(|it| it.strip_prefix("PRETTY_NAME="));
        let boost = text("/sys/devices/system/cpu/cpufreq/boost").map(|it| it == "1");
        let no_turbo = text("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|it| it == "0");
        Self {
            llem: env!("CARGO_PKG_VERSION").to_owned(),
            host: host_name(),
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            system: pretty.map(|it| it.trim_matches('"').to_owned()),
            processor: cpu_value("model name"),
            hardware_threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: procfs::Current::current().ok().map(|it: procfs::Meminfo| it.mem_total),
            governor: governor(),
            turbo: boost.or(no_turbo),
            host_cores: cores.host.clone(),
            engine_cores: cores.engines.clone(),
            virtualised: cpu_value("flags")
                .is_some_and(|it| it.split(' ').any(|flag| flag == "hypervisor")),
            devices,
        }
    }
}

/// Frequency governor of the first processor, where the system shows it.
pub(crate) fn governor() -> Option<String> {
    let text = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    text.ok().map(|it| it.trim().to_owned())
}

/// The directory for what llem can make again: compiled plugins, shapes.
pub(crate) fn cache_directory() -> PathBuf {
    own_directory(&config::CACHE_DIRECTORY, "XDG_CACHE_HOME", ".cache/llem", "llem-cache")
}

/// By the user's configuration, by the base directories of freedesktop.org, by the home directory, else a temporary one.
fn own_directory(own: &config::Key, base: &str, below_home: &str, temporary: &str) -> PathBuf {
    own.path()
        .or_else(|| named_directory(base).map(|it| it.join("llem")))
        .or_else(|| named_directory("HOME").map(|it| it.join(below_home)))
        .unwrap_or_else(|| std::env::temp_dir().join(temporary))
}

/// The directory that a variable names; an empty variable names none.
fn named_directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|it| !it.is_empty()).map(PathBuf::from)
}

/// Bytes that built artefacts may have together.
pub(crate) fn artefact_limit() -> u64 {
    let wanted = config::CACHE_LIMIT.get().and_then(|it| it.parse::<u64>().ok());
    wanted.unwrap_or(DEFAULT_LIMIT_GIB) << 30
}

/// A few engines built for large models.
const DEFAULT_LIMIT_GIB: u64 = 100;

/// The directory for what can't be made again: grants, installed plugins.
pub(crate) fn data_directory() -> PathBuf {
    own_directory(&config::DATA_DIRECTORY, "XDG_DATA_HOME", ".local/share/llem", "llem-data")
}

/// The hub's model cache, as its own tools find it.
pub(crate) fn hub_cache() -> Option<PathBuf> {
    named_directory("HF_HOME")
        .or_else(|| named_directory("HOME").map(|it| it.join(".cache/huggingface")))
        .filter(|it| it.is_dir())
}

/// The GPUs that engines may use, if they are alike and the driver says enough of them.
pub(crate) fn gpu(devices: &[Device]) -> Option<GpuFacts> {
    let gpus: Vec<&Device> =
        devices.iter().filter(|it| it.instrument == Instrument::Nvml).collect();
    let first = gpus.first()?;
    let fact = |name: &str| first.facts.get(name).cloned();
    let memory: u64 = fact("memory_bytes")?.parse().ok()?;
    let capability = fact("compute_capability").and_then(|it| {
        let (major, minor) = it.split_once('.')?;
        Some(major.parse::<u32>().ok()? * 10 + minor.parse::<u32>().ok()?)
    });
    Some(GpuFacts {
        vendor: "nvidia".to_owned(),
        name: first.name.clone(),
        count: u32::try_from(gpus.len()).ok()?,
        memory_mib: u32::try_from(memory >> 20).ok()?,
        compute_capability: capability,
        driver: fact("driver_version"),
    })
}

/// The GPUs of this machine without a look at their counters, which takes seconds.
pub(crate) fn gpu_here() -> Option<GpuFacts> {
    let options = MeterOptions {
        cpu: false,
        calibration: Duration::from_millis(1),
        ..config::meter_options()
    };
    gpu(&Instruments::discover(&options).0.devices())
}

/// The directory of the hub's models; its tools also take it from a variable of its own.
pub(crate) fn hub_models() -> Option<PathBuf> {
    named_directory("HF_HUB_CACHE")
        .or_else(|| hub_cache().map(|it| it.join("hub")))
        .filter(|it| it.is_dir())
}

/// UUIDs of the GPUs that engines may use; of a GPU of which the user named a slice, the slice's.
pub(crate) fn gpu_ids(devices: &[Device]) -> Vec<String> {
    let gpus = devices.iter().filter(|it| it.instrument == Instrument::Nvml);
    gpus.map(|it| it.facts.get("mig_slice").unwrap_or(&it.id).clone()).collect()
}

/// This machine and the boards that are metered, for records.
pub(crate) fn site(devices: &[Device]) -> Site {
    let gpus: Vec<&Device> =
        devices.iter().filter(|it| it.instrument == Instrument::Nvml).collect();
    let alike = gpus.first().filter(|first| gpus.iter().all(|it| it.name == first.name));
    Site {
        node: host_name(),
        boards: gpus.iter().map(|it| it.id.clone()).collect(),
        model: alike.map(|it| it.name.clone()),
        block: None,
    }
}

/// The name of this host.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned())
}
