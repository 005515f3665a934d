//! Seeded trials: one simulated GPU runs two isolated jobs and a server, and every estimator is
//! compared with the energy that was really taken.

use llem_core::energy::{EnergyReading, Mode, Series};
use llem_fake_nvml::{Config, Fake, GpuConfig, Profile, Random};
use llem_meter::Simulated;

use crate::simulation::{FakeClock, Simulation, at};

/// Windows of one trial, in the order of [`NAMES`].
pub(crate) const NAMES: [&str; 4] =
    ["isolated job, 1 s", "isolated job, 5 s", "running server, 1 s", "running server, 10 s"];

/// Relative errors of one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errors {
    /// This program's.
    pub(crate) own: f64,
    /// Whether the stated k = 2 interval holds the truth.
    pub(crate) covered: bool,
    /// The same with the uncertainty of the window's edges alone.
    pub(crate) covered_by_edges: bool,
    /// Counter read at begin and end.
    pub(crate) begin_end: f64,
    /// Averaged power read ten times a second, by trapezoids.
    pub(crate) trapezoid: f64,
}

/// Runs trials on one library.
pub(crate) fn run(seeds: std::ops::Range<u64>) -> Vec<[Errors; 4]> {
    let fake = Fake::new(&Config::simulated(GpuConfig::default()));
    let simulated = Simulated::open(fake.path());
    let mut simulation = Simulation { fake, series: Series::default() };
    let mut one = |seed| {
        let script = Script::new(seed);
        simulation.fake.configure(&Config::simulated(script.gpu));
        let until = at(&simulation.fake, script.end);
        simulation.series = simulated.record(&FakeClock(&simulation.fake), None, until);
        script.windows.map(|(begin, end, mode)| errors(&simulation, begin, end, mode))
    };
    seeds.map(&mut one).collect()
}

struct Script {
    gpu: GpuConfig,
    windows: [(f64, f64, Mode); 4],
    end: f64,
}

impl Script {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut power = Profile::constant(126.0 + 4.0 * random.unit());
        let idle = power.steps[0].1;
        let first = 6.0 + random.unit();
        let first_end = power.serve(first, 1.0, &mut random);
        power.steps.push((first_end, idle + 1.0));
        let second = first_end + 3.0 + random.unit();
        let second_end = power.serve(second, 5.0, &mut random);
        power.steps.push((second_end, idle + 1.0));
        let server = second_end + 2.0 + random.unit();
        let server_end = power.serve(server, 18.0, &mut random);
        power.steps.push((server_end, idle + 1.0));
        let (short, long) = (server + 2.0 + random.unit(), server + 4.0 + random.unit());
        let gpu = GpuConfig {
            power,
            seed,
            phase_seconds: 0.1 * random.unit(),
            jitter_seconds: 0.001_5 * random.unit(),
            read_point: random.unit(),
            ..GpuConfig::default()
        };
        let windows = [
            (first, first_end, Mode::Isolated),
            (second, second_end, Mode::Isolated),
            (short, short + 1.0, Mode::Running),
            (long, long + 10.0, Mode::Running),
        ];
        Self { gpu, windows, end: server_end + 3.0 }
    }
}

fn errors(simulation: &Simulation, begin: f64, end: f64, mode: Mode) -> Errors {
    let reading = simulation.reading(begin, end, mode);
    let truth = simulation.truth(&reading);
    let energy = reading.energy_joules.expect("a working device has an energy").get();
    let edges = edge_uncertainty(&reading);
    let interval =
        reading.uncertainty.expect("an energy has an uncertainty").compare_interval_joules;
    let (begin_ns, end_ns) = (at(&simulation.fake, begin), at(&simulation.fake, end));
    let wanted = simulation.fake.true_energy(0, begin_ns, end_ns);
    Errors {
        own: energy / truth - 1.0,
        covered: interval[0].get() <= truth && truth <= interval[1].get(),
        covered_by_edges: (energy - truth).abs() <= 2.0 * edges,
        begin_end: begin_end(&simulation.series, begin_ns, end_ns) / wanted - 1.0,
        trapezoid: trapezoid(&simulation.series, begin_ns, end_ns) / wanted - 1.0,
    }
}

/// Standard uncertainty without what a counter may miss of a load, which a simulated one does not.
fn edge_uncertainty(reading: &EnergyReading) -> f64 {
    let components = reading.uncertainty.iter().flat_map(|u| &u.components);
    let edges = components.filter(|c| !c.gain && c.name != "counter_coverage");
    edges.map(|c| c.standard_joules.get().powi(2)).sum::<f64>().sqrt()
}

fn begin_end(series: &Series, begin_ns: u64, end_ns: u64) -> f64 {
    let ticks = &series.ticks;
    let seen =
        |ns: u64| (0..ticks.len()).take_while(|&i| ticks.mid_ns(i) <= ns).last().unwrap_or(0);
    ticks.energy(seen(begin_ns), seen(end_ns), series.calibration.joules_per_count).get()
}

fn trapezoid(series: &Series, begin_ns: u64, end_ns: u64) -> f64 {
    let lane = &series.lane;
    let rows = lane.at_ns.iter().zip(&lane.average_power_watts);
    let inside = rows.filter(|(ns, _)| (begin_ns..=end_ns).contains(ns));
    let points: Vec<(u64, f64)> =
        inside.filter_map(|(&ns, power)| Some((ns, power.as_ref()?.get()))).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let seconds = |from, to| llem_core::units::Seconds::between(from, to).get();
    let inner = points.windows(2).map(|p| seconds(p[0].0, p[1].0) * f64::midpoint(p[0].1, p[1].1));
    inner.sum::<f64>() + seconds(begin_ns, first.0) * first.1 + seconds(last.0, end_ns) * last.1
}

/// Root mean square, mean and largest magnitude.
pub(crate) fn spread(errors: impl Iterator<Item = f64> + Clone) -> [f64; 3] {
    let count = f64::from(u32::try_from(errors.clone().count()).expect("few trials"));
    let squares: f64 = errors.clone().map(|e| e * e).sum();
    let mean = errors.clone().sum::<f64>() / count;
    [(squares / count).sqrt(), mean, errors.fold(0.0, |most: f64, e| most.max(e.abs()))]
}

/// Share of trials that hold.
pub(crate) fn share(holds: impl Iterator<Item = bool>) -> f64 {
    let (mut yes, mut all) = (0_u32, 0_u32);
    for held in holds {
        yes += u32::from(held);
        all += 1;
    }
    f64::from(yes) / f64::from(all)
}
