//! How much memory this process can still get. Allocates nothing.

use std::fs;

use crate::error::EngineError;

/// Returns the bytes that can be allocated without swapping, or `None` where the system does not tell.
pub(crate) fn available() -> Option<u64> {
    let system = meminfo_available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(system.min(cgroup_headroom().unwrap_or(u64::MAX)))
}

/// Refuses what can't fit.
pub(crate) fn require(what: &str, needed: u64) -> Result<(), EngineError> {
    match available() {
        Some(available) if available < needed => {
            Err(EngineError::OutOfMemory { what: what.to_owned(), needed, available })
        }
        _ => Ok(()),
    }
}

fn meminfo_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn cgroup_headroom() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = format!("/sys/fs/cgroup{path}");
    let read = |name: &str| {
        fs::read_to_string(format!("{folder}/{name}")).ok()?.trim().parse::<u64>().ok()
    };
    // A limit of `max` does not parse and means none.
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       100 kB\nMemAvailable:    50 kB\n";
        assert_eq!(meminfo_available(text), Some(50 * 1024));
        assert_eq!(meminfo_available("MemTotal: 1 kB"), None);
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        let error = require("a test", u64::MAX).expect_err("nothing has that much");
        assert!(error.to_string().starts_with("out of memory: a test needs"), "{error}");
    }
}
