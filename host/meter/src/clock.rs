//! The one time base: `CLOCK_MONOTONIC` in nanoseconds, and the wall clock beside it.
//!
//! The trait exists so that the loops can also run in the virtual time of a simulated device.

use std::time::Duration;

use rustix::{
    thread::clock_nanosleep_absolute,
    time::{ClockId, Timespec, clock_gettime},
};

/// How long a device should idle on each side of an isolated job, with room for the last publications.
pub const GUARD: Duration = Duration::from_millis(1_700);

/// A source of time that can also wait.
pub trait Clock {
    /// Monotonic time in nanoseconds.
    fn now_ns(&self) -> u64;
    /// Wall-clock time in nanoseconds since the epoch.
    fn wall_ns(&self) -> u64;
    /// Waits until a monotonic time; returns at once if it has passed.
    fn sleep_until(&self, at_ns: u64);
}

/// Now, on the clock that all recordings use.
///
/// ```
/// assert!(llem_meter::now_ns() <= llem_meter::now_ns());
/// ```
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Clock for System {
    fn now_ns(&self) -> u64 {
        now_ns()
    }

    fn wall_ns(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Realtime))
    }

    fn sleep_until(&self, at_ns: u64) {
        let request = Timespec {
            tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ns % 1_000_000_000).unwrap_or(0),
        };
        // Interrupted by a signal: the absolute time stays valid.
        while clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &request).is_err() {}
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).expect("clocks do not run before their epoch");
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).expect("nanoseconds are below 10^9")
}
