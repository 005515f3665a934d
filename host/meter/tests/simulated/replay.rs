//! A simulated GPU that answers what a real H100 answered, through the whole meter.

use llem_core::energy::{Flag, Method, Mode, Verdict};
use llem_fake_nvml::{Faults, GpuConfig, Replay};

use crate::simulation::Simulation;

/// The recording with publications at the middle of their brackets.
fn idle_load_square() -> Replay {
    let text = include_str!("../../../../tests/fixtures/h100/idle_load_square.csv");
    let middle = |line: &str| {
        let (low, rest) = line.split_once(',')?;
        let (high, rest) = rest.split_once(',')?;
        let middle = f64::midpoint(low.parse().ok()?, high.parse().ok()?);
        Some(format!("{middle},{rest}"))
    };
    let heading = "at_seconds,energy_mj,average_mw,instant_mw".to_owned();
    let rows = text.lines().filter_map(middle);
    let table = std::iter::once(heading).chain(rows).collect::<Vec<_>>().join("\n");
    Replay::from_csv(&table)
}

#[test]
fn the_recorded_load_is_measured_and_its_average_agrees() {
    let replay = idle_load_square();
    let expected = replay.energy(4.95, 11.25) - 0.3 * 125.0;
    let gpu = GpuConfig {
        replay: Some(replay),
        faults: Faults { no_samples: true, ..Faults::default() },
        ..GpuConfig::default()
    };
    let simulation = Simulation::of(gpu, 20.5);
    let reading = simulation.reading(5.0, 11.2, Mode::Isolated);
    assert_eq!(reading.method, Some(Method::CounterGuard), "{reading:#?}");
    assert_eq!(reading.verdict, Verdict::Valid);
    assert!(!reading.flags.contains(&Flag::NotCrossChecked));
    let energy = reading.energy_joules.expect("an energy").get();
    assert!((energy / expected - 1.0).abs() < 0.01, "{energy} J beside {expected} J");
    let discrepancy = reading.checks.average_discrepancy.expect("the average covers it");
    assert!(discrepancy.abs() < 0.01, "{discrepancy}");
}
