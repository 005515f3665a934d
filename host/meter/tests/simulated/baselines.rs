//! Idle power and net energies on a simulated GPU.

use llem_core::energy::{Baselines, Mode, Window, baseline};
use llem_fake_nvml::{GpuConfig, Profile, Random};

use crate::simulation::{Simulation, at};

/// Idle at `before` W for 27 s, a server for 20 s, then idle at `after` W for 27 s.
fn around_a_server(before: f64, after: f64) -> Simulation {
    let mut power = Profile::constant(before);
    let end = power.serve(27.0, 20.0, &mut Random::new(5));
    power.steps.push((end, after));
    Simulation::of(GpuConfig { power, ..GpuConfig::default() }, 75.0)
}

fn window(simulation: &Simulation, begin: f64, end: f64) -> Window {
    Window { begin_ns: at(&simulation.fake, begin), end_ns: at(&simulation.fake, end) }
}

#[test]
fn a_constant_idle_power_is_settled_and_exact() {
    let simulation = around_a_server(128.0, 129.0);
    let found = baseline(&simulation.series, window(&simulation, 4.0, 26.0)).expect("long enough");
    assert!(found.settled, "{found:#?}");
    assert!((found.mean_power_watts.get() - 128.0).abs() < 0.05, "{found:#?}");
    assert!(found.standard_error_watts.get() < 0.3);
}

#[test]
fn idle_power_is_found_also_where_its_recorder_is_kept_from_its_work() {
    let gpu = GpuConfig { power: Profile::constant(128.0), ..GpuConfig::default() };
    let simulation = Simulation::stalled(gpu, 14.05, 30.0);
    let found = baseline(&simulation.series, window(&simulation, 4.0, 26.0)).expect("long enough");
    assert!(found.settled, "{found:#?}");
    assert!((found.mean_power_watts.get() - 128.0).abs() < 0.05, "{found:#?}");
}

#[test]
fn a_decaying_idle_power_is_not_settled_and_its_slope_is_found() {
    let steps = (0..400).map(|n| f64::from(n) / 10.0).map(|t| (t, 140.0 - 0.3 * t)).collect();
    let power = Profile { steps, repeat_seconds: None };
    let simulation = Simulation::of(GpuConfig { power, ..GpuConfig::default() }, 30.0);
    let found = baseline(&simulation.series, window(&simulation, 4.0, 28.0)).expect("long enough");
    assert!(!found.settled);
    assert!((found.slope_watts_per_second + 0.3).abs() < 0.05, "{found:#?}");
    let [low, high] = found.slope_interval_watts_per_second;
    assert!(low <= -0.3 && -0.3 <= high, "{found:#?}");
}

#[test]
fn net_energy_subtracts_a_drifting_baseline_and_holds_the_truth() {
    let simulation = around_a_server(126.0, 130.0);
    let of = |begin, end| baseline(&simulation.series, window(&simulation, begin, end)).ok();
    let baselines =
        Baselines { bare: None, context_before: of(4.0, 26.0), context_after: of(49.0, 71.0) };
    let reading = simulation.reading(32.0, 44.0, Mode::Running);
    let truth = simulation.truth(&reading) - 128.0 * reading.window.duration().get();
    let reading = reading.above(&baselines);
    let net = reading.net_context.expect("there are baselines");
    let [low, high] = net.compare_interval_joules;
    assert!(low.get() <= truth && truth <= high.get(), "{truth} J, {net:#?}");
    assert!((net.drift_watts.expect("two baselines").get() - 4.0).abs() < 0.2);
    assert!(reading.net_bare.is_none());
}

#[test]
fn a_window_at_idle_power_has_a_net_energy_around_zero_which_may_be_negative() {
    let simulation = around_a_server(128.0, 128.0);
    let before = baseline(&simulation.series, window(&simulation, 4.0, 15.0)).expect("long enough");
    let mut higher = before.clone();
    higher.mean_power_watts += llem_core::units::Watts::new(1.0);
    let baselines = Baselines { context_before: Some(higher), ..Baselines::default() };
    let reading = simulation.reading(16.0, 26.0, Mode::Running).above(&baselines);
    let net = reading.net_context.expect("there is a baseline").energy_joules.get();
    assert!((-12.0..-8.0).contains(&net), "{net} J");
}
