//! Counters that a user may not read: another way is taken where there is one, else the reason is named.
//!
//! The perf unit is described in a folder and real otherwise: the kernel's clock of a processor counts nanoseconds as an
//! energy counter counts its unit, and is refused to the same users.

use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use llem_core::energy::{Instrument, Mode, Request, Scope, Settings, measure};
use llem_meter::{Finding, Instruments, Level, now_ns};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::machine::{Machine, perf_unit};

/// Number of the kernel's software counters, and of the clock among them.
const SOFTWARE: u32 = 1;
const CLOCK: u8 = 0;
/// Power that the clock stands for: 10 nJ a nanosecond.
const WATTS: f64 = 10.0;

/// Runs something as a user without any rights of root.
fn without_rights<T: Send>(then: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let run = || {
            let none = CapabilitySet::empty();
            let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
            set_capabilities(None, sets).expect("anybody may give up rights");
            then()
        };
        scope.spawn(run).join().expect("it does not panic")
    })
}

/// Whether the kernel lets users without rights count for the whole machine.
fn is_open_to_all() -> bool {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    text.is_ok_and(|it| it.trim().parse::<i32>().is_ok_and(|it| it <= 0))
}

/// Whether it lets this process.
fn is_open_to_us() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Containers may be kept from the call whatever their rights are.
    let is_filtered = !status.lines().any(|it| it == "Seccomp:\t0");
    let own = capabilities(None).map_or(CapabilitySet::empty(), |it| it.effective);
    let wanted = CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN;
    !is_filtered && (is_open_to_all() || own.intersects(wanted))
}

fn instrument((instruments, _): &(Instruments, Vec<Finding>)) -> Instrument {
    instruments.devices()[0].instrument
}

fn warning((_, findings): &(Instruments, Vec<Finding>)) -> String {
    let found = findings.iter().find(|it| it.subject == "rapl" && it.level == Level::Warning);
    let found = found.unwrap_or_else(|| panic!("no warning in {findings:?}"));
    format!("{}; {}", found.message, found.remedy.as_deref().unwrap_or_default())
}

#[test]
fn perf_is_taken_where_it_may_be_and_powercap_where_it_is_refused() {
    let machine = Machine::new();
    perf_unit(&machine, SOFTWARE, CLOCK);
    machine.zone("intel-rapl:0", "package-0");
    machine.run(&[("intel-rapl:0", 100, 0)], || {
        let refused = without_rights(|| machine.discover());
        let expected =
            if is_open_to_all() { Instrument::RaplPerf } else { Instrument::RaplPowercap };
        assert_eq!(instrument(&refused), expected, "{:?}", refused.1);

        let ours = machine.discover();
        let expected =
            if is_open_to_us() { Instrument::RaplPerf } else { Instrument::RaplPowercap };
        assert_eq!(instrument(&ours), expected, "{:?}", ours.1);
        assert_eq!(ours.0.devices().len(), 1, "one package is counted once");
        let recording = ours.0.start(None);
        thread::sleep(Duration::from_millis(250));
        let begin_ns = now_ns();
        thread::sleep(Duration::from_secs(1));
        let request = Request { begin_ns, end_ns: now_ns(), mode: Mode::Running };
        thread::sleep(Duration::from_millis(250));
        let reading = measure(&recording.stop(), request, &Settings::default()).readings.remove(0);
        let power = reading.average_power_watts.expect("it has a power").get();
        let watts = if expected == Instrument::RaplPerf { WATTS } else { 100.0 };
        assert!((power / watts - 1.0).abs() < 0.15, "{power} W, not {watts} W");
    });
}

#[test]
fn memory_that_perf_does_not_have_is_taken_from_powercap() {
    let machine = Machine::new();
    perf_unit(&machine, SOFTWARE, CLOCK);
    machine.zone("intel-rapl:0", "package-0");
    machine.zone("intel-rapl:0:1", "dram");
    let zones = [("intel-rapl:0", 100, 0), ("intel-rapl:0:1", 20, 0)];
    let (instruments, findings) = machine.run(&zones, || machine.discover());
    let found: Vec<_> = instruments.devices().iter().map(|it| (it.scope, it.instrument)).collect();
    let package = if is_open_to_us() { Instrument::RaplPerf } else { Instrument::RaplPowercap };
    let expected = [(Scope::CpuPackage, package), (Scope::Dram, Instrument::RaplPowercap)];
    assert_eq!(found, expected, "{findings:?}");
}

#[test]
fn a_refused_perf_unit_without_another_way_is_named_with_what_permits_it() {
    let machine = Machine::new();
    perf_unit(&machine, SOFTWARE, CLOCK);
    let found = without_rights(|| machine.discover());
    if is_open_to_all() {
        assert_eq!(instrument(&found), Instrument::RaplPerf);
        return;
    }
    assert_eq!(instrument(&found), Instrument::CpuTime);
    let warning = warning(&found);
    assert!(warning.contains("may not read the processor's energy counters"), "{warning}");
    assert!(warning.contains("sudo sysctl kernel.perf_event_paranoid=0"), "{warning}");
}

#[test]
fn an_unreadable_zone_is_named_whether_it_is_the_only_one_or_not() {
    let machine = Machine::new();
    for (zone, name) in [("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1")] {
        machine.zone(zone, name);
    }
    let close = |zone: &str| {
        let file = machine.path().join("class/powercap").join(zone).join("energy_uj");
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).expect("it is ours");
    };
    close("intel-rapl:1");
    let found = machine.run(&[("intel-rapl:0", 100, 0)], || without_rights(|| machine.discover()));
    assert_eq!(instrument(&found), Instrument::RaplPowercap);
    assert_eq!(found.0.devices().len(), 1);
    let said = warning(&found);
    assert!(said.contains("may not read all of the processor's energy counters"), "{said}");
    assert!(said.contains("chmod a+r"), "{said}");

    close("intel-rapl:0");
    let found = without_rights(|| machine.discover());
    assert_eq!(instrument(&found), Instrument::CpuTime);
    let said = warning(&found);
    assert!(said.contains("may not read the processor's energy counters"), "{said}");
    assert!(said.contains("chmod a+r"), "{said}");
}
