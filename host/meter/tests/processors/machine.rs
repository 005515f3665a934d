//! A machine that is a folder, whose counters run as a test says.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use llem_meter::{Finding, Gpus, Instruments, MeterOptions, now_ns};
use tempfile::TempDir;

/// Range of the counters: 65 536 J.
pub(crate) const RANGE: u64 = 65_536_000_000;

/// Counters are advanced by a thread, so machines do not run side by side.
static TURN: Mutex<()> = Mutex::new(());

/// A machine whose counters can be set.
pub(crate) struct Machine(
    TempDir,
    #[expect(dead_code, reason = "held, not looked at")] MutexGuard<'static, ()>,
);

impl Machine {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self(tempfile::tempdir().expect("a temporary folder"), turn)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn zone(&self, zone: &str, name: &str) {
        let folder = self.0.path().join("class/powercap").join(zone);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("name"), format!("{name}\n")).expect("a file");
        fs::write(folder.join("max_energy_range_uj"), format!("{RANGE}\n")).expect("a file");
        set(&folder, 0);
    }

    /// Lets counters run at these powers, in watts, from these values while something happens.
    pub(crate) fn run<T>(&self, zones: &[(&str, u64, u64)], then: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        let folders: Vec<_> = zones
            .iter()
            .map(|(zone, watts, from)| {
                (self.0.path().join("class/powercap").join(zone), watts, from)
            })
            .collect();
        let begin = now_ns();
        let advance = || {
            let elapsed_us = (now_ns() - begin) / 1_000;
            for (folder, watts, from) in &folders {
                set(folder, (*from + *watts * elapsed_us) % RANGE);
            }
        };
        advance();
        let advance_on = || {
            while !stop.load(Ordering::Relaxed) {
                advance();
                thread::sleep(Duration::from_millis(1));
            }
        };
        thread::scope(|scope| {
            scope.spawn(advance_on);
            let result = then();
            stop.store(true, Ordering::Relaxed);
            result
        })
    }

    pub(crate) fn discover(&self) -> (Instruments, Vec<Finding>) {
        let sysfs = self.0.path().to_owned();
        Instruments::discover(&MeterOptions { gpus: Gpus::None, sysfs, ..MeterOptions::default() })
    }
}

/// Replaces a counter in one go, so that no reader sees a part of it.
fn set(folder: &Path, microjoules: u64) {
    fs::write(folder.join("next"), format!("{microjoules}\n")).expect("a file");
    fs::rename(folder.join("next"), folder.join("energy_uj")).expect("it is replaced");
}

/// Describes an energy counter of the kernel's perf units, with 10 nJ a count.
pub(crate) fn perf_unit(machine: &Machine, number: u32, event: u8) {
    let unit = machine.path().join("bus/event_source/devices/power");
    fs::create_dir_all(unit.join("events")).expect("a folder");
    for (file, text) in [
        ("type", format!("{number}\n")),
        ("cpumask", "0\n".to_owned()),
        ("events/energy-pkg", format!("event=0x{event:02x}\n")),
        ("events/energy-pkg.scale", "1e-8\n".to_owned()),
        ("events/energy-pkg.unit", "Joules\n".to_owned()),
    ] {
        fs::write(unit.join(file), text).expect("a file");
    }
}
