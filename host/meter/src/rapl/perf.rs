//! RAPL through the kernel's perf unit `power`: 64-bit counters that do not wrap.
//!
//! It reads what the kernel describes in its device tree; it never guesses an event's number.

use std::{
    fs,
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
};

use perf_event_open_sys::{bindings::perf_event_attr, perf_event_open};

use super::domain::{Domain, Kind, Source};
use crate::sensor::Fault;

/// `PERF_FLAG_FD_CLOEXEC`: engines that are started later must not inherit the counter.
const CLOSE_ON_EXEC: std::ffi::c_ulong = 8;

/// The domains that the kernel describes.
pub(crate) fn domains(sysfs: &Path) -> Vec<Domain> {
    let unit = sysfs.join("bus/event_source/devices/power");
    let text = |name: &str| fs::read_to_string(unit.join(name)).ok();
    let Some(event_type) = text("type").and_then(|t| t.trim().parse().ok()) else {
        return Vec::new();
    };
    let cpus = text("cpumask").map(|mask| list(&mask)).unwrap_or_default();
    let mut domains = Vec::new();
    for (kind, event) in [(Kind::Package, "energy-pkg"), (Kind::Dram, "energy-ram")] {
        let config = text(&format!("events/{event}")).and_then(|line| event_number(&line));
        let scale = text(&format!("events/{event}.scale")).and_then(|t| t.trim().parse().ok());
        let in_joules = text(&format!("events/{event}.unit")).is_some_and(|t| t.trim() == "Joules");
        let (Some(config), Some(joules_per_count), true) = (config, scale, in_joules) else {
            continue;
        };
        for (package, &cpu) in cpus.iter().enumerate() {
            let source = Source::Perf { event_type, config, cpu };
            let package = package.to_string();
            domains.push(Domain { kind, package, joules_per_count, source });
        }
    }
    domains
}

/// `event=0x02` as a number.
fn event_number(line: &str) -> Option<u64> {
    let digits = line.trim().strip_prefix("event=0x")?;
    u64::from_str_radix(digits, 16).ok()
}

/// `0,24` or `0-1,4` as numbers.
fn list(mask: &str) -> Vec<u32> {
    let parts = mask.trim().split(',').filter(|part| !part.is_empty());
    parts
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
        })
        .flatten()
        .collect()
}

/// An open counter.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub(crate) fn open(event_type: u32, config: u64, cpu: u32) -> Result<Self, Fault> {
        let mut attributes = perf_event_attr::default();
        attributes.type_ = event_type;
        attributes.size = u32::try_from(size_of::<perf_event_attr>()).unwrap_or(0);
        attributes.config = config;
        let cpu = i32::try_from(cpu).map_err(|_| Fault::Unsupported)?;
        #[expect(unsafe_code, reason = "a system call without a safe wrapper")]
        // SAFETY: the attributes are a valid structure of the size that they state, and live here.
        let descriptor =
            unsafe { perf_event_open(&raw mut attributes, -1, cpu, -1, CLOSE_ON_EXEC) };
        if descriptor < 0 {
            let error = std::io::Error::last_os_error();
            return Err(match error.kind() {
                std::io::ErrorKind::PermissionDenied => Fault::Denied,
                _ => Fault::Code(
                    error.raw_os_error().and_then(|e| u32::try_from(e).ok()).unwrap_or(0),
                ),
            });
        }
        #[expect(unsafe_code, reason = "the system call returns a bare descriptor")]
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self(owned))
    }

    pub(crate) fn read(&self) -> Result<u64, Fault> {
        let mut value = [0_u8; 8];
        match rustix::io::read(&self.0, &mut value) {
            Ok(8) => Ok(u64::from_ne_bytes(value)),
            Ok(_) => Err(Fault::Unsupported),
            Err(error) => Err(Fault::Code(u32::try_from(error.raw_os_error()).unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_masks_are_lists_and_ranges() {
        assert_eq!(list("0,24\n"), [0, 24]);
        assert_eq!(list("0-1,4\n"), [0, 1, 4]);
        assert_eq!(list("\n"), [0_u32; 0]);
    }

    #[test]
    fn an_event_is_a_hexadecimal_number() {
        assert_eq!(event_number("event=0x02\n"), Some(2));
        assert_eq!(event_number("config=2"), None);
    }
}
