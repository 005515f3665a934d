//! Each fault of a simulated GPU ends in its label, a warning or an invalid window, never in a
//! plausible number.

use crate::simulation::Simulation;
use llem_core::energy::{
    CounterState, EnergyReading, Flag, IncidentKind, Method, Mode, Verdict, throttle,
};
use llem_fake_nvml::{Config, Fake, Faults, GpuConfig, Profile, Random};
use llem_meter::{Finding, Gpus, Instruments, Level, MeterOptions};

/// A server from 3 s on, for as long as anybody looks.
fn server() -> GpuConfig {
    let mut power = Profile::constant(128.0);
    power.serve(3.0, 40.0, &mut Random::new(1));
    GpuConfig { power, ..GpuConfig::default() }
}

fn faulty(faults: Faults) -> GpuConfig {
    GpuConfig { faults, ..server() }
}

/// Twelve seconds of the running server.
fn observe(gpu: GpuConfig) -> (Simulation, EnergyReading) {
    let simulation = Simulation::of(gpu, 22.0);
    let reading = simulation.reading(6.0, 18.0, Mode::Running);
    (simulation, reading)
}

#[track_caller]
fn has(reading: &EnergyReading, flag: Flag) {
    assert!(reading.flags.contains(&flag), "{flag:?} is not in {reading:#?}");
}

#[track_caller]
fn right(simulation: &Simulation, reading: &EnergyReading) {
    let truth = simulation.truth(reading);
    let [low, high] = reading.uncertainty.as_ref().expect("an energy").compare_interval_joules;
    let energy = reading.energy_joules.expect("an energy").get();
    assert!(low.get() <= truth && truth <= high.get(), "{energy} J beside {truth} J: {reading:#?}");
}

#[test]
fn a_healthy_device_has_no_flags() {
    let (simulation, reading) = observe(server());
    right(&simulation, &reading);
    assert_eq!((reading.verdict, reading.method), (Verdict::Valid, Some(Method::CounterTicks)));
    assert_eq!(reading.flags, []);
    assert!(reading.checks.samples_discrepancy.expect("checked").abs() < 0.01);
}

#[test]
fn a_lost_device_invalidates_the_window() {
    let (_, reading) = observe(faulty(Faults { lost_at: Some(9.0), ..Faults::default() }));
    has(&reading, Flag::DeviceLost);
    assert_eq!((reading.verdict, reading.energy_joules), (Verdict::Invalid, None));
    assert!(reading.reason.expect("a reason").contains("lost"));
}

#[test]
fn a_device_lost_after_the_window_does_not_matter() {
    let (simulation, reading) =
        observe(faulty(Faults { lost_at: Some(19.5), ..Faults::default() }));
    right(&simulation, &reading);
    assert_eq!(reading.verdict, Verdict::Valid);
}

#[test]
fn without_a_counter_the_samples_are_used_and_labelled() {
    let (simulation, reading) = observe(faulty(Faults { no_counter: true, ..Faults::default() }));
    has(&reading, Flag::CounterUnsupported);
    has(&reading, Flag::NotCrossChecked);
    assert_eq!(reading.method, Some(Method::Samples));
    right(&simulation, &reading);
}

#[test]
fn without_counter_and_samples_the_average_is_used_and_labelled() {
    let faults = Faults { no_counter: true, no_samples: true, ..Faults::default() };
    let (simulation, reading) = observe(faulty(faults));
    has(&reading, Flag::CounterUnsupported);
    has(&reading, Flag::PartialSupport);
    assert_eq!(reading.method, Some(Method::AveragePower));
    right(&simulation, &reading);
}

#[test]
fn without_any_instrument_there_is_no_energy() {
    let faults =
        Faults { no_counter: true, no_samples: true, no_average: true, ..Faults::default() };
    let (_, reading) = observe(faulty(faults));
    assert_eq!((reading.verdict, reading.energy_joules), (Verdict::Invalid, None));
    assert!(reading.reason.is_some());
}

#[test]
fn a_counter_that_freezes_makes_the_window_suspect() {
    let (simulation, reading) =
        observe(faulty(Faults { stuck_at: Some(9.0), ..Faults::default() }));
    has(&reading, Flag::CounterStuck);
    assert_eq!((reading.verdict, reading.method), (Verdict::Suspect, Some(Method::Samples)));
    right(&simulation, &reading);
    let kinds = simulation.series.incidents.iter().map(|incident| incident.kind);
    assert_eq!(kinds.filter(|&kind| kind == IncidentKind::CounterStuck).count(), 1);
}

#[test]
fn a_recorder_that_is_kept_from_its_work_is_no_counter_that_stands_still() {
    // Within the window, and at its begin and end.
    for stall in [9.05, 5.75, 17.75] {
        let simulation = Simulation::stalled(server(), stall, 22.0);
        let reading = simulation.reading(6.0, 18.0, Mode::Running);
        assert_eq!(reading.method, Some(Method::CounterTicks), "{reading:#?}");
        assert_eq!(reading.verdict, Verdict::Valid, "{reading:#?}");
        right(&simulation, &reading);
    }
    let simulation = Simulation::stalled(server(), 9.05, 22.0);
    has(&simulation.reading(6.0, 18.0, Mode::Running), Flag::TicksMissed);
}

#[test]
fn a_counter_that_never_moves_is_found_at_calibration() {
    let (simulation, reading) =
        observe(faulty(Faults { stuck_at: Some(-1.0), ..Faults::default() }));
    assert_eq!(simulation.series.calibration.counter, CounterState::Stuck);
    has(&reading, Flag::CounterStuck);
    assert_eq!((reading.verdict, reading.method), (Verdict::Suspect, Some(Method::Samples)));
}

#[test]
fn a_reset_counter_invalidates_the_window() {
    let (_, reading) = observe(faulty(Faults { reset_at: Some(9.0), ..Faults::default() }));
    has(&reading, Flag::CounterDecreased);
    assert_eq!((reading.verdict, reading.energy_joules), (Verdict::Invalid, None));
    assert!(reading.checks.samples_joules.is_some());
}

#[test]
fn a_counter_that_runs_fast_is_suspect_with_both_numbers() {
    let (simulation, reading) =
        observe(faulty(Faults { counter_gain: Some(1.3), ..Faults::default() }));
    has(&reading, Flag::InstrumentSuspect);
    assert_eq!(reading.verdict, Verdict::Suspect);
    let truth = simulation.truth(&reading);
    let samples = reading.checks.samples_joules.expect("both are published").get();
    assert!((samples / truth - 1.0).abs() < 0.01);
    assert!((reading.energy_joules.expect("both are published").get() / truth - 1.3).abs() < 0.01);
}

#[test]
fn an_instant_power_of_one_watt_is_called_implausible() {
    let (simulation, reading) =
        observe(faulty(Faults { instant_watts: Some(1.0), ..Faults::default() }));
    has(&reading, Flag::InstantImplausible);
    right(&simulation, &reading);
}

#[test]
fn slow_reads_stay_within_their_stated_uncertainty() {
    let (simulation, reading) = observe(GpuConfig { read_seconds: [0.033; 5], ..server() });
    right(&simulation, &reading);
    let edges = &reading.uncertainty.as_ref().expect("an energy").components;
    let (_, quick) = observe(server());
    let time = |reading: &EnergyReading| {
        let parts = &reading.uncertainty.as_ref().expect("an energy").components;
        parts.iter().find(|part| part.name == "edge_time").expect("edges").standard_joules
    };
    assert!(edges.len() > 2 && time(&reading) > time(&quick));
}

#[test]
fn jitter_stays_within_its_stated_uncertainty() {
    for seed in 0..10 {
        let (simulation, reading) = observe(GpuConfig { jitter_seconds: 0.010, seed, ..server() });
        right(&simulation, &reading);
    }
}

#[test]
fn missing_symbols_are_named_and_the_counter_still_counts() {
    let symbols =
        ["nvmlDeviceGetSamples", "nvmlDeviceGetViolationStatus", "nvmlDeviceGetFieldValues"];
    let fake = Fake::lacking(&Config::simulated(server()), &symbols);
    let simulation = Simulation::of_library(fake, None, 22.0);
    let support = &simulation.series.calibration.support;
    for name in ["samples", "violations", "average"] {
        assert_eq!(support.get(name), Some(&false), "{name}");
    }
    let reading = simulation.reading(6.0, 18.0, Mode::Running);
    has(&reading, Flag::PartialSupport);
    has(&reading, Flag::NotCrossChecked);
    right(&simulation, &reading);
}

#[test]
fn thermal_fields_are_read_by_the_numbers_of_the_driver() {
    for driver in ["575.51.03", "580.82.07"] {
        let gpu = GpuConfig {
            thermally_limited: Profile::constant(0.25),
            faults: Faults { no_violation_status: true, ..Faults::default() },
            ..server()
        };
        let config = Config { driver: driver.to_owned(), ..Config::simulated(gpu) };
        let simulation = Simulation::of_library(Fake::new(&config), None, 22.0);
        let reading = simulation.reading(6.0, 18.0, Mode::Running);
        let fraction = throttle(&simulation.series, reading.window).thermal_fraction;
        assert!((fraction.expect("counted") - 0.25).abs() < 0.01, "{driver}: {fraction:?}");
    }
}

#[test]
fn a_counter_that_may_not_be_read_is_labelled() {
    let (_, reading) = observe(faulty(Faults { counter_denied: true, ..Faults::default() }));
    has(&reading, Flag::CounterDenied);
    assert_eq!(reading.method, Some(Method::Samples));
}

#[test]
fn a_foreign_process_makes_the_window_suspect() {
    let gpu = GpuConfig { processes: vec![std::process::id(), 1], ..server() };
    let fake = Fake::new(&Config::simulated(gpu));
    let simulation = Simulation::of_library(fake, Some(std::process::id()), 22.0);
    let reading = simulation.reading(6.0, 18.0, Mode::Running);
    has(&reading, Flag::ForeignProcess);
    assert_eq!(reading.verdict, Verdict::Suspect);
}

#[test]
fn the_subjects_own_processes_are_not_foreign() {
    let gpu = GpuConfig { processes: vec![std::process::id()], ..server() };
    let fake = Fake::new(&Config::simulated(gpu));
    let simulation = Simulation::of_library(fake, Some(std::process::id()), 22.0);
    assert_eq!(simulation.reading(6.0, 18.0, Mode::Running).flags, []);
}

#[test]
fn a_power_cap_is_labelled_and_remains_valid() {
    let limited = Profile { steps: vec![(0.0, 0.0), (6.0, 0.83)], repeat_seconds: None };
    let gpu = GpuConfig { power_limited: limited, limit_watts: 600.0, ..server() };
    let (simulation, reading) = observe(gpu);
    has(&reading, Flag::PowerLimited);
    has(&reading, Flag::LimitNotDefault);
    assert_eq!(reading.verdict, Verdict::Valid);
    let fraction = throttle(&simulation.series, reading.window).power_fraction.expect("counted");
    assert!((fraction - 0.83).abs() < 0.02, "{fraction}");
}

#[test]
fn a_thermal_limit_makes_the_window_suspect() {
    let limited = Profile { steps: vec![(0.0, 0.0), (10.0, 0.5)], repeat_seconds: None };
    let (_, reading) = observe(GpuConfig { thermally_limited: limited, ..server() });
    has(&reading, Flag::ThermallyLimited);
    assert_eq!(reading.verdict, Verdict::Suspect);
}

#[test]
fn power_above_the_limit_is_implausible() {
    let gpu = GpuConfig { limit_watts: 300.0, default_limit_watts: 300.0, ..server() };
    let (_, reading) = observe(gpu);
    has(&reading, Flag::AboveLimit);
    assert_eq!(reading.verdict, Verdict::Suspect);
}

#[test]
fn a_step_of_the_wall_clock_costs_samples_and_is_labelled() {
    let config = Config { wall_step: Some((12.0, 3.0)), ..Config::simulated(server()) };
    let simulation = Simulation::of_library(Fake::new(&config), None, 22.0);
    let reading = simulation.reading(6.0, 18.0, Mode::Running);
    has(&reading, Flag::ClockStepped);
    right(&simulation, &reading);
}

#[test]
fn missing_guards_are_labelled() {
    let mut power = Profile::constant(128.0);
    let end = power.serve(6.0, 2.0, &mut Random::new(3));
    power.steps.push((end, 128.0));
    let simulation = Simulation::of(GpuConfig { power, ..GpuConfig::default() }, end + 0.6);
    let reading = simulation.reading(6.0, end, Mode::Isolated);
    has(&reading, Flag::GuardMissing);
    assert_eq!(reading.method, Some(Method::CounterInterpolated));
}

#[test]
fn a_busy_guard_is_labelled() {
    let mut power = Profile::constant(128.0);
    let end = power.serve(6.0, 2.0, &mut Random::new(3));
    power.steps.push((end, 300.0));
    let utilization = Profile { steps: vec![(0.0, 0.0), (6.0, 90.0)], repeat_seconds: None };
    let gpu = GpuConfig { power, utilization, ..GpuConfig::default() };
    let simulation = Simulation::of(gpu, end + 3.0);
    has(&simulation.reading(6.0, end, Mode::Isolated), Flag::GuardBusy);
}

fn discover(config: &Config, gpus: Gpus) -> (Instruments, Vec<Finding>) {
    let fake = Fake::new(config);
    let options = MeterOptions {
        nvml_library: Some(fake.path().to_owned()),
        gpus,
        cpu: false,
        calibration: std::time::Duration::from_millis(400),
        ..MeterOptions::default()
    };
    Instruments::discover(&options)
}

#[track_caller]
fn warns(findings: &[Finding], words: &str) {
    let found = findings.iter().find(|finding| finding.message.contains(words));
    let found = found.unwrap_or_else(|| panic!("`{words}` is not in {findings:#?}"));
    assert!(found.level >= Level::Note);
}

#[test]
fn an_absent_driver_is_a_finding_with_a_remedy() {
    let config = Config { init_code: 9, ..Config::default() };
    let (instruments, findings) = discover(&config, Gpus::All);
    assert!(instruments.devices().is_empty());
    warns(&findings, "driver is not loaded");
    assert!(findings[0].remedy.is_some());
}

#[test]
fn an_absent_library_is_a_finding_with_a_remedy() {
    let options = MeterOptions {
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".into()),
        cpu: false,
        ..MeterOptions::default()
    };
    let (_, findings) = Instruments::discover(&options);
    warns(&findings, "could not be loaded");
    assert!(findings[0].remedy.is_some());
}

#[test]
fn a_user_without_permission_is_told_so() {
    let config = Config { init_code: 4, ..Config::default() };
    warns(&discover(&config, Gpus::All).1, "may not talk to the NVIDIA driver");
}

#[test]
fn a_slice_is_recorded_as_its_whole_gpu_and_says_so() {
    let slices = vec!["MIG-1111".to_owned(), "MIG-2222".to_owned()];
    let config = Config { gpus: vec![GpuConfig { slices, ..server() }], ..Config::default() };
    let (instruments, findings) = discover(&config, Gpus::Visible("MIG-2222".to_owned()));
    warns(&findings, "no energy of its own");
    let device = &instruments.devices()[0];
    assert_eq!(device.facts.get("mig_slice").map(String::as_str), Some("MIG-2222"));
    assert_eq!(device.id, GpuConfig::default().uuid);
    let simulated = Config::simulated(config.gpus[0].clone());
    let simulation = Simulation::of_library(Fake::new(&simulated), None, 22.0);
    has(&simulation.reading(6.0, 18.0, Mode::Running), Flag::MigParent);
}

#[test]
fn an_unknown_gpu_is_a_finding() {
    let (instruments, findings) = discover(&Config::default(), Gpus::Visible("5".to_owned()));
    assert!(instruments.devices().is_empty());
    warns(&findings, "`5`");
}
