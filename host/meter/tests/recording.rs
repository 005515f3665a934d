//! Recordings in real time, of scripted devices and of whatever this machine has.

use std::{thread::sleep, time::Duration};

use llem_core::energy::{Flag, Method, Mode, Request, Settings, measure};
use llem_fake_nvml::{Config, Fake, GpuConfig, Profile};
use llem_meter::{Gpus, Instruments, MeterOptions, Scripted, now_ns};

#[test]
fn a_running_window_has_the_scripts_energy() {
    let start = now_ns();
    let script = Scripted { id: "GPU-a".to_owned(), power: vec![(start, 300.0)] };
    let recording = Instruments::scripted(vec![script]).start(None);
    sleep(Duration::from_millis(350));
    let begin_ns = now_ns();
    sleep(Duration::from_millis(900));
    let end_ns = now_ns();
    assert_eq!(recording.latest()[0].device, "GPU-a");
    sleep(Duration::from_millis(150));
    let series = recording.stop();
    let request = Request { begin_ns, end_ns, mode: Mode::Running };
    let measurement = measure(&series, request, &Settings::default());
    let reading = &measurement.readings[0];
    assert_eq!(reading.method, Some(Method::CounterTicks), "{reading:?}");
    let power = reading.average_power_watts.expect("there is energy").get();
    assert!((power - 300.0).abs() < 6.0, "{power} W");
    assert!(measurement.window.begin_ns >= begin_ns && measurement.window.end_ns <= end_ns);
}

#[test]
fn this_machine_gives_a_processor_figure() {
    let options = MeterOptions { gpus: Gpus::None, ..MeterOptions::default() };
    let (instruments, findings) = Instruments::discover(&options);
    assert!(!findings.is_empty());
    let recording = instruments.start(Some(std::process::id()));
    sleep(Duration::from_millis(600));
    let begin_ns = now_ns();
    while now_ns() < begin_ns + 600_000_000 {}
    let end_ns = now_ns();
    sleep(Duration::from_millis(600));
    let request = Request { begin_ns, end_ns, mode: Mode::Running };
    let measurement = measure(&recording.stop(), request, &Settings::default());
    let energy = measurement.readings[0].energy_joules.expect("a processor figure").get();
    assert!(energy > 0.0, "{energy} J");
}

#[test]
fn several_gpus_are_recorded_at_once_by_uuid_in_one_window() {
    let gpu = |place: u32, watts: f64| GpuConfig {
        uuid: format!("GPU-{place}"),
        power: Profile::constant(watts),
        phase_seconds: 0.03 * f64::from(place),
        seed: place.into(),
        ..GpuConfig::default()
    };
    let gpus = (0..8).map(|place| gpu(place, 100.0 * f64::from(place + 1))).collect();
    let fake = Fake::new(&Config { gpus, ..Config::default() });
    let options = MeterOptions {
        nvml_library: Some(fake.path().to_owned()),
        gpus: Gpus::Visible("GPU-7,2,GPU-0".to_owned()),
        cpu: false,
        calibration: Duration::from_millis(900),
        ..MeterOptions::default()
    };
    let (instruments, findings) = Instruments::discover(&options);
    assert_eq!(findings.len(), 3, "{findings:?}");
    let given = ["GPU-2".to_owned()];
    let some: Vec<String> =
        instruments.start_with(&given).stop().into_iter().map(|it| it.device.id).collect();
    assert_eq!(some, given);
    let recording = instruments.start(None);
    sleep(Duration::from_millis(1_200));
    let begin_ns = now_ns();
    sleep(Duration::from_millis(1_200));
    let end_ns = now_ns();
    let series = recording.snapshot_covering(end_ns);
    let request = Request { begin_ns, end_ns, mode: Mode::Running };
    let measurement = measure(&series, request, &Settings::default());
    let seen: Vec<&str> = measurement.readings.iter().map(|r| r.device.as_str()).collect();
    assert_eq!(seen, ["GPU-7", "GPU-2", "GPU-0"]);
    for (reading, watts) in measurement.readings.iter().zip([800.0, 300.0, 100.0]) {
        assert_eq!(reading.window, measurement.window);
        assert!(!reading.flags.contains(&Flag::NotCrossChecked), "{reading:#?}");
        let power = reading.average_power_watts.expect("an energy").get();
        assert!((power / watts - 1.0).abs() < 0.03, "{power} W of {watts} W: {reading:#?}");
    }
}
