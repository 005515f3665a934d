//! RAPL through the powercap file system: text files that wrap around.
//!
//! Counts are continued over a wrap; two wraps between two reads cannot be seen, so readers read
//! often (a counter of 65 536 J lasts 2.7 minutes at 400 W).

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt, path::Path};

use rustix::fs::{Mode, OFlags, open};

use super::domain::{Domain, Kind, Source};
use crate::{process::number, sensor::Fault};

/// The package and memory domains below `intel-rapl`, which AMD processors use as well.
pub(crate) fn domains(sysfs: &Path) -> Vec<Domain> {
    let root = sysfs.join("class/powercap");
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(&root) else { return found };
    let mut zones: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    zones.sort();
    for zone in &zones {
        // `intel-rapl-mmio` shows the same counters once more and is left out by its name.
        let Some(place) = zone.strip_prefix("intel-rapl:") else { continue };
        let folder = root.join(zone);
        let Ok(name) = fs::read_to_string(folder.join("name")) else { continue };
        let parent = place.split(':').next().unwrap_or(place);
        let parent_name = fs::read_to_string(root.join(format!("intel-rapl:{parent}/name")));
        let package_name = parent_name.unwrap_or_default();
        let kind = match name.trim() {
            name if name.starts_with("package-") => Kind::Package,
            "dram" => Kind::Dram,
            _ => continue,
        };
        let package = package_name.trim().trim_start_matches("package-").to_owned();
        let Some(source) = source(&folder) else { continue };
        found.push(Domain { kind, package, joules_per_count: 1e-6, source });
    }
    found
}

fn source(folder: &Path) -> Option<Source> {
    let range = fs::read(folder.join("max_energy_range_uj")).ok()?;
    let range = number(&range)?;
    Some(Source::Powercap { file: folder.join("energy_uj"), range })
}

/// A counter that can be read.
#[derive(Debug)]
pub(crate) struct Counter {
    file: CString,
    range: u64,
    last: Option<u64>,
    total: u64,
}

impl Counter {
    pub(crate) fn open(path: &Path, range: u64) -> Result<Self, Fault> {
        let file = CString::new(path.as_os_str().as_bytes()).map_err(|_| Fault::Unsupported)?;
        let mut counter = Self { file, range, last: None, total: 0 };
        counter.read()?;
        Ok(counter)
    }

    /// Energy since the counter was opened, in microjoules.
    pub(crate) fn read(&mut self) -> Result<u64, Fault> {
        let file = open(self.file.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut text = [0_u8; 32];
        let count = rustix::io::read(file.map_err(fault)?, &mut text).map_err(fault)?;
        let value = number(&text[..count]).ok_or(Fault::Unsupported)?;
        if let Some(last) = self.last {
            self.total += unwrap(last, value, self.range);
        }
        self.last = Some(value);
        Ok(self.total)
    }
}

/// Counts from one value to the next of a counter that goes from `range` to zero.
fn unwrap(last: u64, value: u64, range: u64) -> u64 {
    if value >= last { value - last } else { range.saturating_sub(last) + value }
}

fn fault(error: rustix::io::Errno) -> Fault {
    match error {
        rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => Fault::Denied,
        rustix::io::Errno::NOENT | rustix::io::Errno::NODEV => Fault::Unsupported,
        other => Fault::Code(u32::try_from(other.raw_os_error()).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_over_a_wrap() {
        assert_eq!(unwrap(10, 25, 100), 15);
        assert_eq!(unwrap(90, 5, 100), 15);
    }
}
