//! What on the GPUs of this machine would disturb a measurement, beside their counters: how they are set, who else uses
//! them, which values their driver keeps to itself.

use std::sync::Arc;

use crate::{
    discover::{Instruments, SourceKind},
    finding::Finding,
    nvml::Gpu,
    sensor::Sensor,
};

/// Values of the driver, and what is worse without them.
const VALUES: &[(&str, &str)] = &[
    ("samples", "the counter has no second instrument of the same window"),
    ("average", "power over time is coarser"),
    ("violations", "time under a power or thermal limit is unknown"),
    ("clocks", "clocks are not recorded"),
    ("temperature", "warm-up can't tell when the temperature has settled"),
    ("processes", "other users of the GPU are not seen"),
];

impl Instruments {
    /// What was found on each GPU; takes no time beyond one look.
    pub fn health(&self) -> Vec<Finding> {
        let gpus = self.sources().filter_map(|it| match it {
            SourceKind::Gpu { library, chosen } => Gpu::open(&Arc::clone(library), chosen).ok(),
            SourceKind::Rapl(_) | SourceKind::CpuModel { .. } | SourceKind::Scripted(_) => None,
        });
        gpus.flat_map(|mut gpu| look(&mut gpu)).collect()
    }
}

fn look(gpu: &mut Gpu) -> Vec<Finding> {
    let device = gpu.device();
    let subject = device.id.as_str();
    let place = device.index.map_or_else(|| subject.to_owned(), |it| it.to_string());
    let fact = |name: &str| device.facts.get(name).map_or("unknown", String::as_str);
    let watts = |it: Option<llem_core::units::Watts>| {
        it.map_or_else(|| "unknown".to_owned(), |it| format!("{:.0} W", it.get()))
    };
    let mut findings = vec![Finding::good(
        subject,
        format!(
            "driver {}, power limit {}, SM clock {} MHz, persistence mode {}, MIG {}",
            fact("driver_version"),
            watts(device.power_limit_watts),
            fact("sm_clock_set_megahertz"),
            fact("persistence_mode"),
            fact("mig_mode"),
        ),
    )];
    if fact("persistence_mode") == "disabled" {
        let message = "persistence mode is off: the driver is loaded anew for each engine";
        findings.push(
            Finding::note(subject, message)
                .with_remedy(format!("sudo nvidia-smi -i {place} -pm 1")),
        );
    }
    let limits = (device.power_limit_watts, device.default_power_limit_watts);
    if let (Some(limit), Some(default)) = limits
        && limit.get() < default.get() - 0.5
    {
        let (limit, default) = (limit.get(), default.get());
        let message = format!("the power limit is {limit:.0} W, the vendor's is {default:.0} W");
        findings.push(
            Finding::note(subject, message)
                .with_remedy(format!("sudo nvidia-smi -i {place} -pl {default:.0}")),
        );
    }
    if fact("mig_mode") == "enabled" {
        let message = "MIG is on: energy is that of the whole GPU, whoever uses the other slices";
        findings.push(
            Finding::warning(subject, message)
                .with_remedy(format!("sudo nvidia-smi -i {place} -mig 0")),
        );
    }
    findings.extend(silent_values(gpu, subject));
    findings.extend(limited(gpu, subject));
    findings.extend(others(gpu, subject));
    findings
}

/// Values that the driver does not give.
fn silent_values(gpu: &Gpu, subject: &str) -> Option<Finding> {
    let support = gpu.support();
    let missing: Vec<String> = VALUES
        .iter()
        .filter(|(name, _)| support.get(*name) == Some(&false))
        .map(|(name, what)| format!("{name} ({what})"))
        .collect();
    (!missing.is_empty()).then(|| {
        Finding::note(subject, format!("the driver does not give {}", missing.join(", ")))
            .with_remedy(
                "a newer driver may; virtual GPUs often give less than passed-through ones",
            )
    })
}

/// Bits of the driver for what holds clocks down: power cap, hardware slowdown, thermal slowdowns, power brake.
const LIMITS: &[(u64, &str)] = &[
    (0x4, "its power limit"),
    (0x8, "a hardware slowdown"),
    (0x20, "its temperature"),
    (0x40, "its temperature"),
    (0x80, "the power brake of the machine"),
];

fn limited(gpu: &mut Gpu, subject: &str) -> Option<Finding> {
    let bits = gpu.lane().throttle_bits;
    // Missing values are all ones.
    if bits == crate::sensor::MISSING {
        return None;
    }
    let mut by: Vec<&str> =
        LIMITS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    by.dedup();
    (!by.is_empty()).then(|| {
        Finding::warning(subject, format!("clocks are held down by {} now", by.join(" and ")))
            .with_remedy("let it cool down, or find what else loads it, before a measurement")
    })
}

fn others(gpu: &mut Gpu, subject: &str) -> Option<Finding> {
    let (_, processes) = gpu.holds();
    if processes.is_empty() {
        return None;
    }
    let named: Vec<String> = processes
        .iter()
        .map(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.map_or_else(|_| pid.to_string(), |name| format!("{pid} ({})", name.trim()))
        })
        .collect();
    let message = format!("other processes compute on it: {}", named.join(", "));
    Some(
        Finding::warning(subject, message)
            .with_remedy("end them, or name another GPU with CUDA_VISIBLE_DEVICES"),
    )
}
