//! One GPU as a sensor.
//!
//! Its reads map the library's answers to rows; when to read is the loop's business.

use std::{collections::BTreeMap, sync::Arc};

use llem_core::{
    energy::{Device, Instrument, Scope},
    units::Watts,
};

use super::{
    library::{Handle, Library, ProcessBuffer, SampleBuffer},
    select::Chosen,
};
use crate::{
    process,
    sensor::{Fault, LaneRow, MISSING, Sensor, SlowRow},
};

const CLOCK_SM: u32 = 1;
const CLOCK_MEMORY: u32 = 2;
const POLICY_POWER: u32 = 0;
const POLICY_THERMAL: u32 = 1;
const FIELD_MEMORY_TEMPERATURE: u32 = 82;
const FIELD_AVERAGE: u32 = 185;
const FIELD_INSTANT: u32 = 186;
const FIELD_POWER_VIOLATION: u32 = 74;
/// Fields of time in software and in hardware thermal slowdown, before driver 580.82.
const FIELDS_THERMAL: [u32; 2] = [251, 252];
/// What driver 580.82 added to their numbers.
const RENUMBERED_BY: u32 = 18;
const MOST_PROCESSES: usize = 64;

/// A GPU that can be read.
pub(crate) struct Gpu {
    library: Arc<Library>,
    handle: Handle,
    chosen: Chosen,
    driver: String,
    samples: SampleBuffer,
    processes: ProcessBuffer,
    thermal_fields: [u32; 2],
    host_pids: bool,
}

impl Gpu {
    pub(crate) fn open(library: &Arc<Library>, chosen: &Chosen) -> Result<Self, Fault> {
        let handle = library.by_uuid(&chosen.node.uuid)?;
        let driver = library.driver_version().unwrap_or_default();
        let kept = library.power_samples_kept(handle).unwrap_or(0);
        let shift = if renumbered(&driver) { RENUMBERED_BY } else { 0 };
        Ok(Self {
            library: Arc::clone(library),
            handle,
            chosen: chosen.clone(),
            samples: SampleBuffer::with_capacity(kept + kept / 4 + 16),
            processes: ProcessBuffer::with_capacity(MOST_PROCESSES),
            thermal_fields: FIELDS_THERMAL.map(|id| id + shift),
            host_pids: process::sees_host_pids(),
            driver,
        })
    }

    /// Which values the driver answers.
    pub(crate) fn support(&self) -> BTreeMap<String, bool> {
        let (library, handle) = (&self.library, self.handle);
        let fields =
            library.fields(handle, [FIELD_AVERAGE, FIELD_INSTANT, FIELD_MEMORY_TEMPERATURE]);
        let [average, instant, memory] = fields.unwrap_or([Err(Fault::Unsupported); 3]);
        let violations = self.power_violation().is_ok() && self.thermal_violation().is_ok();
        let processes = ProcessBuffer::with_capacity(MOST_PROCESSES);
        let mut processes = processes;
        [
            ("average", average.is_ok()),
            ("instant", instant.is_ok()),
            ("memory_temperature", memory.is_ok()),
            ("samples", library.power_samples_kept(handle).is_ok_and(|kept| kept > 0)),
            ("violations", violations),
            ("temperature", library.temperature(handle).is_ok()),
            ("clocks", library.clock(handle, CLOCK_SM).is_ok()),
            ("throttle_bits", library.throttle_bits(handle).is_ok()),
            ("utilization", library.utilization(handle).is_ok()),
            ("processes", library.processes(handle, &mut processes).is_ok()),
        ]
        .into_iter()
        .map(|(name, answered)| (name.to_owned(), answered))
        .collect()
    }

    /// Memory in use and processes that compute on it.
    pub(crate) fn holds(&mut self) -> (Option<u64>, Vec<u32>) {
        let count = self.library.processes(self.handle, &mut self.processes).unwrap_or(0);
        let processes = self.processes.pids(count).collect();
        (self.library.memory_used(self.handle).ok(), processes)
    }

    fn power_violation(&self) -> Result<u64, Fault> {
        self.library.violation_ns(self.handle, POLICY_POWER).or_else(|_| {
            let [value] = self.library.fields(self.handle, [FIELD_POWER_VIOLATION])?;
            value
        })
    }

    fn thermal_violation(&self) -> Result<u64, Fault> {
        self.library.violation_ns(self.handle, POLICY_THERMAL).or_else(|_| {
            let [software, hardware] = self.library.fields(self.handle, self.thermal_fields)?;
            match (software, hardware) {
                (Ok(software), Ok(hardware)) => Ok(software.max(hardware)),
                (one, other) => one.or(other),
            }
        })
    }

    /// How many of the listed processes are not the subject's.
    fn foreign(&self, count: usize, subject: Option<u32>) -> u64 {
        let Some(subject) = subject else { return MISSING };
        let mut foreign = count.saturating_sub(MOST_PROCESSES);
        let mut hidden = false;
        for pid in self.processes.pids(count) {
            match process::belongs(pid, subject) {
                Some(true) => {}
                Some(false) => foreign += 1,
                None => hidden = true,
            }
        }
        // A process that is not there has ended since, unless this one cannot see the host's numbers.
        if foreign == 0 && hidden && !self.host_pids {
            return MISSING;
        }
        u64::try_from(foreign).unwrap_or(MISSING)
    }
}

/// Whether the driver uses the field numbers of 580.82 and later.
fn renumbered(driver: &str) -> bool {
    let mut parts = driver.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (major, minor) >= (580, 82)
}

impl Sensor for Gpu {
    fn device(&self) -> Device {
        let (library, handle) = (&self.library, self.handle);
        let on = |name: &str| (name.to_owned(), ["disabled", "enabled"]);
        let mode = |name: &str, state: Option<bool>| {
            let (name, words) = on(name);
            state.map(|state| (name, words[usize::from(state)].to_owned()))
        };
        let fact = |name: &str, value: Option<String>| value.map(|value| (name.to_owned(), value));
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        let facts = [
            fact("driver_version", Some(self.driver.clone())),
            fact("vbios_version", library.vbios(handle)),
            fact("bus_id", library.bus_id(handle)),
            fact("architecture", number(library.architecture(handle))),
            fact("memory_bytes", library.memory_total(handle).map(|bytes| bytes.to_string())),
            fact(
                "compute_capability",
                library.compute_capability(handle).map(|(major, minor)| format!("{major}.{minor}")),
            ),
            fact("sm_clock_set_megahertz", number(library.application_clock(handle, CLOCK_SM))),
            fact(
                "memory_clock_set_megahertz",
                number(library.application_clock(handle, CLOCK_MEMORY)),
            ),
            fact("mig_slice", self.chosen.slice.clone()),
            mode("mig_mode", library.mig_enabled(handle)),
            mode("persistence_mode", library.persistence(handle)),
            mode("ecc_mode", library.ecc(handle)),
        ];
        Device {
            id: self.chosen.node.uuid.clone(),
            name: self.chosen.node.name.clone(),
            index: Some(self.chosen.node.index),
            scope: Scope::GpuBoard,
            instrument: Instrument::Nvml,
            power_limit_watts: library.enforced_limit(handle).ok().map(Watts::from_milliwatts),
            default_power_limit_watts: library
                .default_limit(handle)
                .ok()
                .map(Watts::from_milliwatts),
            facts: facts.into_iter().flatten().collect(),
        }
    }

    fn counter(&mut self) -> Result<u64, Fault> {
        self.library.energy(self.handle)
    }

    fn lane(&mut self) -> LaneRow {
        let (library, handle) = (&self.library, self.handle);
        let cell = |value: Result<u32, Fault>| value.map_or(MISSING, u64::from);
        let fields =
            library.fields(handle, [FIELD_AVERAGE, FIELD_INSTANT, FIELD_MEMORY_TEMPERATURE]);
        let [average, instant, memory] = fields.unwrap_or([Err(Fault::Unsupported); 3]);
        LaneRow {
            average_milliwatts: average.unwrap_or(MISSING),
            instant_milliwatts: instant.unwrap_or(MISSING),
            temperature: cell(library.temperature(handle)),
            memory_temperature: memory.unwrap_or(MISSING),
            sm_clock: cell(library.clock(handle, CLOCK_SM)),
            memory_clock: cell(library.clock(handle, CLOCK_MEMORY)),
            throttle_bits: library.throttle_bits(handle).unwrap_or(MISSING),
            utilization: cell(library.utilization(handle)),
            performance_state: cell(library.performance_state(handle)),
            busy_ns: MISSING,
        }
    }

    fn samples(&mut self, since_us: u64, each: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        let count = self.library.power_samples(self.handle, since_us, &mut self.samples)?;
        for (stamp, milliwatts) in (0..count).map_while(|index| self.samples.get(index)) {
            each(stamp, milliwatts);
        }
        Ok(())
    }

    fn slow(&mut self, subject: Option<u32>) -> Option<SlowRow> {
        let (library, handle) = (&self.library, self.handle);
        let processes = library.processes(handle, &mut self.processes).ok();
        Some(SlowRow {
            power_violation_ns: self.power_violation().unwrap_or(MISSING),
            thermal_violation_ns: self.thermal_violation().unwrap_or(MISSING),
            limit_milliwatts: library.enforced_limit(handle).map_or(MISSING, u64::from),
            memory_used: library.memory_used(handle).unwrap_or(MISSING),
            processes: processes.and_then(|n| u64::try_from(n).ok()).unwrap_or(MISSING),
            foreign: processes.map_or(MISSING, |count| self.foreign(count, subject)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_were_renumbered_by_driver_580_82() {
        for (driver, expected) in [
            ("575.51.03", false),
            ("580.65.06", false),
            ("580.82.07", true),
            ("580.159.04", true),
            ("590.1", true),
            ("", false),
        ] {
            assert_eq!(renumbered(driver), expected, "{driver}");
        }
    }
}
