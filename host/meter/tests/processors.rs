//! Processor counters of a machine that is a folder.

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

use llem_core::energy::{
    EnergyReading, Flag, Instrument, Mode, Request, Scope, Settings, Verdict, measure, total,
};
use llem_meter::{Finding, Gpus, Instruments, Level, MeterOptions, now_ns};
use tempfile::TempDir;

/// Range of the counters: 65 536 J.
const RANGE: u64 = 65_536_000_000;

/// Counters are advanced by a thread, so machines do not run side by side.
static TURN: Mutex<()> = Mutex::new(());

/// A machine whose counters can be set.
struct Machine(
    TempDir,
    #[expect(dead_code, reason = "held, not looked at")] MutexGuard<'static, ()>,
);

impl Machine {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self(tempfile::tempdir().expect("a temporary folder"), turn)
    }

    fn zone(&self, zone: &str, name: &str) {
        let folder = self.0.path().join("class/powercap").join(zone);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("name"), format!("{name}\n")).expect("a file");
        fs::write(folder.join("max_energy_range_uj"), format!("{RANGE}\n")).expect("a file");
        set(&folder, 0);
    }

    /// Lets counters run at these powers, in watts, from these values while something happens.
    fn run<T>(&self, zones: &[(&str, u64, u64)], then: impl FnOnce() -> T) -> T {
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

    fn discover(&self) -> (Instruments, Vec<Finding>) {
        let sysfs = self.0.path().to_owned();
        Instruments::discover(&MeterOptions { gpus: Gpus::None, sysfs, ..MeterOptions::default() })
    }
}

/// Replaces a counter in one go, so that no reader sees a part of it.
fn set(folder: &Path, microjoules: u64) {
    fs::write(folder.join("next"), format!("{microjoules}\n")).expect("a file");
    fs::rename(folder.join("next"), folder.join("energy_uj")).expect("it is replaced");
}

#[test]
fn packages_and_memory_are_counted_once_across_a_wrap() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    machine.zone("intel-rapl:0:0", "core");
    machine.zone("intel-rapl:0:1", "dram");
    machine.zone("intel-rapl:1", "psys");
    machine.zone("intel-rapl-mmio:0", "package-0");
    let near_end = RANGE - 60_000_000;
    let powers = [
        ("intel-rapl:0", 100, near_end),
        ("intel-rapl:0:0", 80, 0),
        ("intel-rapl:0:1", 20, 0),
        ("intel-rapl:1", 170, 0),
        ("intel-rapl-mmio:0", 100, near_end),
    ];
    let measurement = machine.run(&powers, || {
        let (instruments, findings) = machine.discover();
        assert_eq!(findings[0].level, Level::Good, "{findings:?}");
        let recording = instruments.start(None);
        thread::sleep(Duration::from_millis(250));
        let begin_ns = now_ns();
        thread::sleep(Duration::from_millis(1_500));
        let end_ns = now_ns();
        thread::sleep(Duration::from_millis(250));
        let request = Request { begin_ns, end_ns, mode: Mode::Running };
        measure(&recording.stop(), request, &Settings::default())
    });
    let scopes: Vec<Scope> = measurement.readings.iter().map(|reading| reading.scope).collect();
    assert_eq!(scopes, [Scope::CpuPackage, Scope::Dram]);
    for (scope, expected) in [(Scope::CpuPackage, 100.0), (Scope::Dram, 20.0)] {
        let sum = total(&measurement.readings, scope).expect("one of each");
        let power =
            sum.energy_joules.expect("an energy").get() / measurement.window.duration().get();
        assert!((power / expected - 1.0).abs() < 0.15, "{power} W");
    }
    assert_eq!(measurement.readings[0].instrument, Instrument::RaplPowercap);
    assert!(!measurement.readings[0].estimated);
}

#[test]
fn a_counter_seen_twice_is_counted_once() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    machine.zone("intel-rapl:1", "package-1");
    // Both names lead to one file, as on processors whose dies mirror one counter.
    let folder = machine.0.path().join("class/powercap");
    fs::remove_file(folder.join("intel-rapl:1/energy_uj")).expect("it was there");
    std::os::unix::fs::symlink(
        folder.join("intel-rapl:0/energy_uj"),
        folder.join("intel-rapl:1/energy_uj"),
    )
    .expect("a link");
    let devices = machine.run(&[("intel-rapl:0", 100, 0)], || machine.discover().0.devices());
    assert_eq!(devices.len(), 1, "{devices:?}");
}

#[test]
fn a_counter_that_stands_still_is_no_counter() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    let (instruments, findings) = machine.discover();
    assert_eq!(instruments.devices()[0].instrument, Instrument::CpuTime);
    assert!(findings.iter().any(|finding| finding.message.contains("advance")));
}

#[test]
fn a_described_unit_that_cannot_be_opened_is_no_counter() {
    let machine = Machine::new();
    let unit = machine.0.path().join("bus/event_source/devices/power");
    fs::create_dir_all(unit.join("events")).expect("a folder");
    for (file, text) in [
        ("type", "4093\n"),
        ("cpumask", "0\n"),
        ("events/energy-pkg", "event=0x02\n"),
        ("events/energy-pkg.scale", "2.3283064365386962890625e-10\n"),
        ("events/energy-pkg.unit", "Joules\n"),
    ] {
        fs::write(unit.join(file), text).expect("a file");
    }
    let (instruments, findings) = machine.discover();
    assert_eq!(instruments.devices()[0].instrument, Instrument::CpuTime);
    assert!(findings.iter().any(|finding| finding.subject == "rapl"), "{findings:?}");
}

#[test]
fn a_counter_that_cannot_be_read_is_no_counter() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    let file = machine.0.path().join("class/powercap/intel-rapl:0/energy_uj");
    fs::remove_file(&file).expect("it was there");
    fs::create_dir(&file).expect("a folder in its place");
    let (instruments, findings) = machine.discover();
    assert_eq!(instruments.devices()[0].instrument, Instrument::CpuTime);
    let finding = findings.iter().find(|it| it.subject == "rapl").expect("it is told");
    assert!(finding.remedy.is_some(), "{finding:?}");
}

/// A window in the middle of which the counter runs no more and `then` happens to its folder.
fn broken_in_the_middle(then: impl FnOnce(&Path)) -> EnergyReading {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    let (recording, begin_ns) = machine.run(&[("intel-rapl:0", 100, 0)], || {
        let (instruments, findings) = machine.discover();
        assert_eq!(findings[0].level, Level::Good, "{findings:?}");
        let recording = instruments.start(None);
        thread::sleep(Duration::from_millis(500));
        let begin_ns = now_ns();
        thread::sleep(Duration::from_secs(1));
        (recording, begin_ns)
    });
    then(&machine.0.path().join("class/powercap/intel-rapl:0"));
    thread::sleep(Duration::from_millis(1_500));
    let end_ns = now_ns();
    thread::sleep(Duration::from_millis(500));
    let request = Request { begin_ns, end_ns, mode: Mode::Running };
    measure(&recording.stop(), request, &Settings::default()).readings.remove(0)
}

#[test]
fn a_counter_that_stops_in_the_window_is_no_valid_figure() {
    let reading = broken_in_the_middle(|_| ());
    assert_eq!((reading.verdict, reading.energy_joules), (Verdict::Invalid, None));
    assert!(reading.flags.contains(&Flag::CounterStuck), "{reading:#?}");
}

#[test]
fn a_counter_that_vanishes_in_the_window_is_no_valid_figure() {
    let reading = broken_in_the_middle(|folder| fs::remove_dir_all(folder).expect("it was there"));
    assert_ne!(reading.verdict, Verdict::Valid, "{reading:#?}");
}
