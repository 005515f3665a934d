//! Which domains there are, and whether they live.
//!
//! How a domain is read is in the files beside this one.

use std::{path::Path, time::Duration};

use llem_core::energy::{Calibration, CounterState, Device, Instrument, Scope};

use super::{perf, powercap};
use crate::{
    clock::{Clock, System},
    finding::Finding,
    sensor::{Fault, Sensor},
};

/// How long a counter is watched to see whether it advances.
const LIVENESS: Duration = Duration::from_millis(100);
/// Power above which a counter's advance is not believed, in watts.
const HIGHEST_POWER: f64 = 2_000.0;
/// Relative difference below which two packages are the same counter seen twice.
const MIRROR: f64 = 1e-6;

/// What a domain comprises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Package,
    Dram,
}

/// One counter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Domain {
    pub(crate) kind: Kind,
    pub(crate) package: u32,
    pub(crate) joules_per_count: f64,
    pub(crate) source: Source,
}

/// Where a counter is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Perf { event_type: u32, config: u64, cpu: u32 },
    Powercap { file: std::path::PathBuf, range: u64 },
}

impl Domain {
    pub(crate) fn device(&self) -> Device {
        let (part, scope) = match self.kind {
            Kind::Package => ("package", Scope::CpuPackage),
            Kind::Dram => ("dram", Scope::Dram),
        };
        let (instrument, source) = match &self.source {
            Source::Perf { cpu, .. } => (Instrument::RaplPerf, format!("perf power, cpu {cpu}")),
            Source::Powercap { file, .. } => (Instrument::RaplPowercap, file.display().to_string()),
        };
        let id = match self.kind {
            Kind::Package => format!("cpu-package-{}", self.package),
            Kind::Dram => format!("dram-{}", self.package),
        };
        Device {
            id,
            name: format!("RAPL {part} {}", self.package),
            index: Some(self.package),
            scope,
            instrument,
            facts: [("source".to_owned(), source)].into(),
            ..Device::default()
        }
    }

    pub(crate) fn calibration(&self) -> Calibration {
        Calibration {
            counter: CounterState::Live,
            joules_per_count: self.joules_per_count,
            ..Calibration::default()
        }
    }

    pub(crate) fn open(&self) -> Result<Rapl, Fault> {
        let reader = match &self.source {
            Source::Perf { event_type, config, cpu } => {
                Reader::Perf(perf::Event::open(*event_type, *config, *cpu)?)
            }
            Source::Powercap { file, range } => {
                Reader::Powercap(powercap::Counter::open(file, *range)?)
            }
        };
        Ok(Rapl { device: self.device(), reader })
    }
}

/// An open counter.
#[derive(Debug)]
pub(crate) struct Rapl {
    device: Device,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Perf(perf::Event),
    Powercap(powercap::Counter),
}

impl Sensor for Rapl {
    fn device(&self) -> Device {
        self.device.clone()
    }

    fn counter(&mut self) -> Result<u64, Fault> {
        match &mut self.reader {
            Reader::Perf(event) => event.read(),
            Reader::Powercap(counter) => counter.read(),
        }
    }
}

/// The living domains by the best way to read them, and what is in the way of the others.
pub(crate) fn find(sysfs: &Path, findings: &mut Vec<Finding>) -> Vec<Domain> {
    let (by_perf, perf_denied) = living(perf::domains(sysfs));
    if !by_perf.is_empty() {
        findings.push(Finding::good("rapl", format!("{} domains by perf", by_perf.len())));
        return by_perf;
    }
    let (by_powercap, powercap_denied) = living(powercap::domains(sysfs));
    if !by_powercap.is_empty() {
        findings.push(Finding::good("rapl", format!("{} domains by powercap", by_powercap.len())));
        return by_powercap;
    }
    findings.push(if perf_denied || powercap_denied {
        Finding::warning("rapl", "this user may not read the processor's energy counters")
            .with_remedy(
                "set kernel.perf_event_paranoid to 0 or less, or give llem CAP_PERFMON, \
             or make /sys/class/powercap/*/energy_uj readable",
            )
    } else {
        Finding::note("rapl", "this machine offers no processor energy counters that advance")
            .with_remedy(
                "virtual machines seldom have them; in a container mount /sys/class/powercap",
            )
    });
    Vec::new()
}

/// Those that advance plausibly while the processor works, without mirrors; whether any was refused.
fn living(domains: Vec<Domain>) -> (Vec<Domain>, bool) {
    let mut denied = false;
    let mut open = Vec::new();
    for domain in domains {
        let opened = domain.open().and_then(|mut rapl| Ok((rapl.counter()?, rapl)));
        match opened {
            Ok((first, rapl)) => open.push((domain, rapl, first)),
            Err(fault) => denied |= fault == Fault::Denied,
        }
    }
    if open.is_empty() {
        return (Vec::new(), denied);
    }
    let begin = System.now_ns();
    let time = u64::try_from(LIVENESS.as_nanos()).unwrap_or(0);
    while System.now_ns() < begin + time {
        std::hint::spin_loop();
    }
    let mut living: Vec<(Domain, f64)> = Vec::new();
    for (domain, mut rapl, first) in open {
        let Ok(last) = rapl.counter() else { continue };
        let counts = llem_core::units::Seconds::between(first, last).get() * 1e9;
        let joules = counts * domain.joules_per_count;
        let mirrored = living.iter().any(|(other, seen)| {
            other.kind == domain.kind && (joules - seen).abs() <= MIRROR * seen
        });
        if joules > 0.0 && joules / LIVENESS.as_secs_f64() < HIGHEST_POWER && !mirrored {
            living.push((domain, joules));
        }
    }
    (living.into_iter().map(|(domain, _)| domain).collect(), denied)
}
