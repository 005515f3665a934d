//! The one clock: `CLOCK_MONOTONIC` in nanoseconds, the same in every process and container of a host.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Processor time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

pub(crate) fn nanoseconds(time: Timespec) -> u64 {
    let part = |value: i64| u64::try_from(value).expect("these clocks do not go below zero");
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

pub(crate) fn timespec(at_ns: u64) -> Timespec {
    let part = |value: u64| i64::try_from(value).expect("a monotonic time fits 63 bits");
    Timespec { tv_sec: part(at_ns / 1_000_000_000), tv_nsec: part(at_ns % 1_000_000_000) }
}

/// Nanoseconds of a duration, as long as the clock can count.
pub(crate) fn duration_ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_systems_monotonic_one_and_round_trips() {
        let (first, second) = (now_ns(), now_ns());
        assert!(first <= second);
        assert_eq!(nanoseconds(timespec(second)), second);
    }
}
