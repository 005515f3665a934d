//! Which domains there are, and whether they live.
//!
//! How a domain is read is in the files beside this one.

use std::path::Path;

use llem_core::{
    energy::{Calibration, CounterState, Device, Instrument, Scope},
    units::Seconds,
};

use super::{perf, powercap};
use crate::{
    clock::{Clock, System},
    finding::Finding,
    options::MeterOptions,
    sensor::{Fault, Sensor},
};

/// How long counters are watched to see whether they advance, in seconds, and at most, where the caller has time.
const LIVENESS: f64 = 0.1;
const PATIENCE: f64 = 1.0;
/// Power above which a counter's advance is not believed, in watts.
const HIGHEST_POWER: f64 = 2_000.0;
/// Fewest advances by which two counters can be told apart.
const FEWEST_ADVANCES: usize = 10;
/// Distance of reads while counters are watched.
const WATCH_STEP_NS: u64 = 200_000;

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
    /// Number of the package, with that of the die where a package has several counters.
    pub(crate) package: String,
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
            index: self.package.split('-').next().and_then(|number| number.parse().ok()),
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
pub(crate) fn find(options: &MeterOptions, findings: &mut Vec<Finding>) -> Vec<Domain> {
    let sysfs = &options.sysfs;
    let patience = options.calibration.as_secs_f64().clamp(LIVENESS, PATIENCE);
    let living = |domains| living(domains, patience);
    let (by_perf, perf_denied) = living(perf::domains(sysfs));
    // What perf has of a kind is of all packages, but it does not have each kind on each processor.
    let lacks = |it: &Domain| by_perf.iter().all(|has| has.kind != it.kind);
    let rest = powercap::domains(sysfs).into_iter().filter(lacks).collect();
    let (by_powercap, powercap_denied) = living(rest);
    for (domains, way) in [(&by_perf, "perf"), (&by_powercap, "powercap")] {
        let message = format!("{} domains by {way}", domains.len());
        findings.extend((!domains.is_empty()).then(|| Finding::good("rapl", message)));
    }
    let found = [by_perf, by_powercap].concat();
    if !found.is_empty() {
        findings.extend(powercap_denied.then(|| {
            let message = "this user may not read all of the processor's energy counters: its figures lack some";
            Finding::warning("rapl", message).with_remedy(permit(sysfs, false))
        }));
        return found;
    }
    findings.push(if perf_denied || powercap_denied {
        Finding::warning("rapl", "this user may not read the processor's energy counters")
            .with_remedy(permit(sysfs, perf_denied))
    } else {
        Finding::note("rapl", "this machine offers no processor energy counters that advance")
            .with_remedy(
                "virtual machines seldom have them; in a container mount /sys/class/powercap",
            )
    });
    Vec::new()
}

/// The command that lets this user read the counters; a restart of the machine takes it back.
fn permit(sysfs: &Path, by_perf: bool) -> String {
    if by_perf {
        return "sudo sysctl kernel.perf_event_paranoid=0".to_owned();
    }
    format!("sudo chmod a+r {}/class/powercap/intel-rapl:*/energy_uj", sysfs.display())
}

/// Those that advance plausibly while the processor works, without mirrors; whether any was refused.
fn living(domains: Vec<Domain>, patience: f64) -> (Vec<Domain>, bool) {
    let mut denied = false;
    let mut open = Vec::new();
    for domain in domains {
        let opened = domain.open().and_then(|mut rapl| rapl.counter().map(|_| rapl));
        match opened {
            Ok(rapl) => open.push((domain, rapl)),
            Err(fault) => denied |= fault == Fault::Denied,
        }
    }
    if open.is_empty() {
        return (Vec::new(), denied);
    }
    let (histories, seconds) = watch(&mut open, patience);
    let mut living: Vec<usize> = Vec::new();
    for (place, (domain, ..)) in open.iter().enumerate() {
        let history = &histories[place];
        let counts = history.last().unwrap_or(&0) - history.first().unwrap_or(&0);
        let joules = whole(counts) * domain.joules_per_count;
        let mirror =
            |&other: &usize| open[other].0.kind == domain.kind && same(&histories[other], history);
        let plausible = joules > 0.0 && joules / seconds < HIGHEST_POWER;
        if plausible && !living.iter().any(mirror) {
            living.push(place);
        }
    }
    let places = open.into_iter().enumerate().filter(|(place, _)| living.contains(place));
    (places.map(|(_, (domain, ..))| domain).collect(), denied)
}

/// Reads all counters again and again while this thread keeps a processor busy; gives what it read and
/// for how many seconds. It takes longer where counters advance seldom.
fn watch(open: &mut [(Domain, Rapl)], patience: f64) -> (Vec<Vec<u64>>, f64) {
    let mut histories = vec![Vec::new(); open.len()];
    let begin = System.now_ns();
    let elapsed = || Seconds::between(begin, System.now_ns()).get();
    let mut steps = 0_u64;
    let idle = |history: &Vec<u64>| advances(history).filter(|&a| a > 0).count() < FEWEST_ADVANCES;
    while elapsed() < LIVENESS || (elapsed() < patience && histories.iter().any(idle)) {
        for ((_, rapl), history) in open.iter_mut().zip(&mut histories) {
            let last = history.last().copied().unwrap_or(0);
            history.push(rapl.counter().map_or(last, |value| value.max(last)));
        }
        steps += 1;
        while System.now_ns() < begin + steps * WATCH_STEP_NS {
            // Busy, so that there is energy to count, but not at the cost of others.
            std::thread::yield_now();
        }
    }
    let seconds = elapsed();
    (histories, seconds)
}

fn advances(history: &[u64]) -> impl Iterator<Item = u64> + '_ {
    history.windows(2).map(|pair| pair[1] - pair[0])
}

/// Whether two histories are one counter: it advances by the same counts at the same time.
fn same(one: &[u64], other: &[u64]) -> bool {
    let moved = || advances(one).zip(advances(other)).filter(|&(a, b)| a > 0 || b > 0);
    let equal = moved().filter(|(a, b)| a == b).count();
    moved().count() >= FEWEST_ADVANCES && 2 * equal > moved().count()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts of a tenth of a second"
)]
fn whole(counts: u64) -> f64 {
    counts as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_recognised_by_its_advances() {
        let one: Vec<u64> = (0..40).map(|n| n * n).collect();
        let late: Vec<u64> = one.iter().map(|count| count + 1_000).collect();
        let other: Vec<u64> = (0..40).map(|n| n * n + n % 3).collect();
        assert!(same(&one, &late));
        assert!(!same(&one, &other));
        assert!(!same(&[5; 40], &[5; 40]));
    }
}
