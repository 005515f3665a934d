//! Which counters are taken, what they count, and what becomes of those that break.

use std::{fs, path::Path, thread, time::Duration};

use llem_core::energy::{
    EnergyReading, Flag, Instrument, Mode, Request, Scope, Settings, Verdict, measure, total,
};
use llem_meter::{Level, now_ns};

use crate::machine::{Machine, RANGE, perf_unit};

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
    let folder = machine.path().join("class/powercap");
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
    // No kernel has a unit of this number.
    perf_unit(&machine, 4093, 2);
    let (instruments, findings) = machine.discover();
    assert_eq!(instruments.devices()[0].instrument, Instrument::CpuTime);
    assert!(findings.iter().any(|finding| finding.subject == "rapl"), "{findings:?}");
}

#[test]
fn a_counter_that_cannot_be_read_is_no_counter() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0");
    let file = machine.path().join("class/powercap/intel-rapl:0/energy_uj");
    fs::remove_file(&file).expect("it was there");
    fs::create_dir(&file).expect("a folder in its place");
    let (instruments, findings) = machine.discover();
    assert_eq!(instruments.devices()[0].instrument, Instrument::CpuTime);
    let finding = findings.iter().find(|it| it.subject == "rapl").expect("it is told");
    assert!(finding.remedy.is_some(), "{finding:?}");
}

#[test]
fn the_dies_of_a_package_are_counted_each() {
    let machine = Machine::new();
    machine.zone("intel-rapl:0", "package-0-die-0");
    machine.zone("intel-rapl:1", "package-0-die-1");
    let powers = [("intel-rapl:0", 100, 0), ("intel-rapl:1", 60, 7)];
    let devices = machine.run(&powers, || machine.discover().0.devices());
    let ids: Vec<&str> = devices.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["cpu-package-0-die-0", "cpu-package-0-die-1"]);
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
    then(&machine.path().join("class/powercap/intel-rapl:0"));
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
