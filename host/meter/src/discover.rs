//! Which instruments this machine has: opening, testing and calibrating them.
//!
//! It prefers measurements to models and says what is missing; it records nothing.

use std::{sync::Arc, thread};

use llem_core::energy::{Calibration, CounterState, Device, Instrument, Scope};

use crate::{
    calibrate::calibrate,
    clock::{Clock, System},
    cpu::{self, CpuModel},
    finding::Finding,
    nvml::{Chosen, Gpu, Library, LibraryError, select},
    options::{Gpus, MeterOptions},
    rapl::{self, Domain},
    recording::{Cadence, Recording},
    scripted::Scripted,
    sensor::{Fault, Sensor},
};

/// How often a RAPL counter is read.
const RAPL_PERIOD: std::time::Duration = std::time::Duration::from_millis(100);

/// The instruments of this machine, ready to record.
#[derive(Debug)]
pub struct Instruments {
    sources: Vec<Source>,
    capacity: std::time::Duration,
}

#[derive(Debug)]
struct Source {
    kind: SourceKind,
    calibration: Calibration,
}

#[derive(Debug)]
pub(crate) enum SourceKind {
    Gpu { library: Arc<Library>, chosen: Chosen },
    Rapl(Domain),
    CpuModel { watts_per_thread: f64 },
    Scripted(Scripted),
}

impl Instruments {
    /// Finds the best instruments and says what was found and what is missing.
    ///
    /// It takes about [`MeterOptions::calibration`] where there is a GPU.
    pub fn discover(options: &MeterOptions) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut sources = gpus(options, &mut findings);
        if options.cpu {
            sources.extend(processors(options, &mut findings));
        }
        (Self { sources, capacity: options.capacity }, findings)
    }

    /// Instruments whose power is written down, for tests.
    pub fn scripted(devices: Vec<Scripted>) -> Self {
        let calibration = Calibration {
            joules_per_count: 1e-6,
            period_seconds: Some(llem_core::units::Seconds::new(0.1)),
            ticks_seen: 1,
            ..Calibration::default()
        };
        let source = |device| Source {
            kind: SourceKind::Scripted(device),
            calibration: calibration.clone(),
        };
        let sources = devices.into_iter().map(source).collect();
        Self { sources, capacity: MeterOptions::default().capacity }
    }

    /// What each device is read by.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &SourceKind> {
        self.sources.iter().map(|it| &it.kind)
    }

    /// A recording of nothing, for what runs where no instrument of this machine sees it.
    pub fn start_blind(&self) -> Recording {
        Recording::new(None)
    }

    /// The devices that a recording will have, in its order.
    pub fn devices(&self) -> Vec<Device> {
        self.sources.iter().map(Source::describe).collect()
    }

    /// Begins to record every device. `subject` is the process whose tree is measured, if it runs yet.
    pub fn start(&self, subject: Option<u32>) -> Recording {
        self.record(subject, self.sources.iter())
    }

    /// Begins to record these GPUs, by UUID or the slice that was named, and all that is no GPU: what the others of a machine use is not the
    /// engine's.
    pub fn start_with(&self, gpus: &[String]) -> Recording {
        let is_wanted = |source: &&Source| {
            let SourceKind::Gpu { chosen, .. } = &source.kind else { return true };
            gpus.iter().any(|it| *it == chosen.node.uuid || chosen.slice.as_ref() == Some(it))
        };
        self.record(None, self.sources.iter().filter(is_wanted))
    }

    fn record<'a>(
        &self,
        subject: Option<u32>,
        sources: impl Iterator<Item = &'a Source>,
    ) -> Recording {
        let mut recording = Recording::new(subject);
        for source in sources {
            let mut calibration = source.calibration.clone();
            calibration.wall_offset_ns = wall_offset();
            if source.record(&mut recording, &calibration, self.capacity).is_err() {
                calibration.counter = CounterState::Failed;
                recording.add_silent(source.describe(), calibration);
            }
        }
        recording
    }
}

impl Source {
    fn record(
        &self,
        recording: &mut Recording,
        calibration: &Calibration,
        capacity: std::time::Duration,
    ) -> Result<(), Fault> {
        let (sensor, cadence): (Box<dyn Sensor>, Cadence) = match &self.kind {
            SourceKind::Gpu { library, chosen } => {
                (Box::new(Gpu::open(library, chosen)?), Cadence::Locked)
            }
            SourceKind::Rapl(domain) => (Box::new(domain.open()?), Cadence::Every(RAPL_PERIOD)),
            SourceKind::CpuModel { watts_per_thread } => {
                (Box::new(CpuModel::new(*watts_per_thread)), Cadence::Every(cpu::PERIOD))
            }
            SourceKind::Scripted(script) => {
                recording.add_scripted(script.clone(), calibration.clone(), capacity);
                return Ok(());
            }
        };
        recording.add(sensor, calibration.clone(), cadence, capacity);
        Ok(())
    }

    fn describe(&self) -> Device {
        match &self.kind {
            SourceKind::Gpu { library, chosen } => Gpu::open(library, chosen).map_or_else(
                |_| Device {
                    id: chosen.node.uuid.clone(),
                    name: chosen.node.name.clone(),
                    index: Some(chosen.node.index),
                    scope: Scope::GpuBoard,
                    instrument: Instrument::Nvml,
                    ..Device::default()
                },
                |gpu| gpu.device(),
            ),
            SourceKind::Rapl(domain) => domain.device(),
            SourceKind::CpuModel { watts_per_thread } => CpuModel::new(*watts_per_thread).device(),
            SourceKind::Scripted(device) => device.device(),
        }
    }
}

fn wall_offset() -> Option<i64> {
    let before = System.now_ns();
    let wall = System.wall_ns();
    let mid = before.midpoint(System.now_ns());
    i64::try_from(i128::from(wall) - i128::from(mid)).ok()
}

fn gpus(options: &MeterOptions, findings: &mut Vec<Finding>) -> Vec<Source> {
    if options.gpus == Gpus::None {
        return Vec::new();
    }
    let library = match Library::open(options.nvml_library.as_deref()) {
        Ok(library) => Arc::new(library),
        Err(error) => {
            findings.push(no_library(&error));
            return Vec::new();
        }
    };
    let inventory = match library.inventory() {
        Ok((inventory, silent)) => {
            for (index, fault) in silent {
                let message = format!("the GPU at index {index} does not answer: {fault:?}");
                findings.push(Finding::warning("nvml", message).with_remedy(UNANSWERED));
            }
            inventory
        }
        Err(fault) => {
            let message = format!("no GPU can be listed: {fault:?}");
            findings.push(Finding::warning("nvml", message).with_remedy(UNANSWERED));
            return Vec::new();
        }
    };
    let chosen = match &options.gpus {
        Gpus::Visible(list) => {
            let (chosen, unknown) = select(list, &inventory);
            for entry in unknown {
                let known: Vec<&str> = inventory.iter().map(|node| node.uuid.as_str()).collect();
                findings.push(
                    Finding::warning("nvml", format!("no single GPU is named by `{entry}`"))
                        .with_remedy(format!("name one of {}", known.join(", "))),
                );
            }
            chosen
        }
        Gpus::All | Gpus::None => {
            inventory.into_iter().map(|node| Chosen { node, slice: None }).collect()
        }
    };
    calibrate_all(&library, chosen, options, findings)
}

fn no_library(error: &LibraryError) -> Finding {
    match error {
        LibraryError::Load(_) => Finding::note("nvml", error.to_string()).with_remedy(
            // musl's programs are static here, and then load nothing.
            if cfg!(target_env = "musl") {
                "this build of llem is static and can load no library: take one for glibc"
            } else {
                "install the NVIDIA driver, or mount its libraries into the container"
            },
        ),
        LibraryError::NoDriver => Finding::warning("nvml", error.to_string())
            .with_remedy("load the kernel module: `modprobe nvidia`"),
        LibraryError::Denied => Finding::warning("nvml", error.to_string())
            .with_remedy("give this user access to /dev/nvidiactl and /dev/nvidia*"),
        LibraryError::Init(_) => Finding::warning("nvml", error.to_string()).with_remedy(
            "`nvidia-smi` must work first: library and kernel module may differ in version",
        ),
    }
}

/// Watches all counters at the same time.
fn calibrate_all(
    library: &Arc<Library>,
    chosen: Vec<Chosen>,
    options: &MeterOptions,
    findings: &mut Vec<Finding>,
) -> Vec<Source> {
    let one = |chosen: &Chosen| match Gpu::open(library, chosen) {
        Ok(mut gpu) => {
            let mut calibration = calibrate(&System, &mut gpu, options.calibration);
            calibration.support = gpu.support();
            calibration
        }
        Err(_) => Calibration { counter: CounterState::Failed, ..Calibration::default() },
    };
    let calibrations: Vec<Calibration> = thread::scope(|scope| {
        let threads: Vec<_> = chosen.iter().map(|chosen| scope.spawn(|| one(chosen))).collect();
        let failed = || Calibration { counter: CounterState::Failed, ..Calibration::default() };
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| failed())).collect()
    });
    let mut sources = Vec::new();
    for (chosen, calibration) in chosen.into_iter().zip(calibrations) {
        findings.push(about_counter(&chosen, &calibration));
        if let Some(slice) = &chosen.slice {
            findings.push(
                Finding::warning(
                    slice,
                    "a MIG slice has no energy of its own: its GPU's is recorded",
                )
                .with_remedy("disable MIG to measure one engine alone"),
            );
        }
        let kind = SourceKind::Gpu { library: Arc::clone(library), chosen };
        sources.push(Source { kind, calibration });
    }
    sources
}

/// What to do about a GPU that is there and does not answer.
const UNANSWERED: &str =
    "sudo dmesg | grep -i xid   # says why; then reset the GPU or restart the machine";

fn about_counter(chosen: &Chosen, calibration: &Calibration) -> Finding {
    let subject = &chosen.node.uuid;
    match (calibration.counter, calibration.period_seconds, calibration.read_p50_seconds) {
        (CounterState::Live, Some(period), Some(cost)) => Finding::good(
            subject,
            format!(
                "{}: energy counter every {:.1} ms, read in {:.2} ms",
                chosen.node.name,
                period.get() * 1e3,
                cost.get() * 1e3
            ),
        ),
        (CounterState::Live, None, Some(cost)) => Finding::good(
            subject,
            format!(
                "{}: energy counter advances, read in {:.2} ms",
                chosen.node.name,
                cost.get() * 1e3
            ),
        ),
        (CounterState::Live | CounterState::Stuck, ..) => Finding::warning(
            subject,
            "the energy counter did not advance: power samples will be used, and figures are suspect",
        )
        .with_remedy("restart the machine, or update the driver"),
        (CounterState::Unsupported, ..) => Finding::warning(
            subject,
            "this GPU or its driver has no energy counter: power samples will be used",
        )
        .with_remedy("GPUs since Volta have one where the driver is no virtual one; windows of a minute and more lose least without it"),
        (CounterState::Denied, ..) => {
            Finding::warning(subject, "this user may not read the energy counter")
                .with_remedy("virtual GPUs often hide it: ask for a passed-through device")
        }
        (CounterState::Failed, ..) => {
            Finding::warning(subject, "the GPU does not answer").with_remedy(UNANSWERED)
        }
    }
}

fn processors(options: &MeterOptions, findings: &mut Vec<Finding>) -> Vec<Source> {
    let domains = rapl::find(options, findings);
    if domains.is_empty() {
        let watts_per_thread = options.watts_per_thread;
        findings.push(Finding::note(
            "cpu",
            format!(
                "processor energy is estimated from processor time at {watts_per_thread} W a thread"
            ),
        ));
        let kind = SourceKind::CpuModel { watts_per_thread };
        return vec![Source { kind, calibration: cpu::calibration(watts_per_thread) }];
    }
    let source = |domain: Domain| Source {
        calibration: domain.calibration(),
        kind: SourceKind::Rapl(domain),
    };
    domains.into_iter().map(source).collect()
}
