//! The energy arithmetic on what a real H100 said: its counter, powers and samples.
//!
//! There is no reference instrument in these recordings; what can be tested is that independent
//! instruments agree and that parts add up.

use llem_core::{
    energy::{
        Calibration, Flag, Lane, Method, Mode, Request, Samples, Series, Settings, Ticks, Verdict,
        Window, baseline, measure,
    },
    journal,
    record::{Record, figure, figure_of, figures},
    units::{Seconds, Watts},
};

const IDLE_LOAD_SQUARE: &str = include_str!("../../../tests/fixtures/h100/idle_load_square.csv");
const STEP_COUNTER: &str = include_str!("../../../tests/fixtures/h100/load_step_counter.csv");
const STEP_SAMPLES: &str = include_str!("../../../tests/fixtures/h100/load_step_samples.csv");
const SERVING: &str = include_str!("../../../tests/fixtures/h100/serving.csv");
const INSTRUMENTS: &str = include_str!("../../../tests/fixtures/h100/instruments/series.json");
const WINDOWS: &str = include_str!("../../../tests/fixtures/h100/instruments/windows.csv");
const CONCURRENCY: &[u8] =
    include_bytes!("../../../tests/fixtures/h100/vllm-concurrency/journal.jsonl");
const SERVING_EVENTS: &str = include_str!("../../../tests/fixtures/h100/serving_events.csv");

/// The numbers of a table's rows.
fn rows(text: &str) -> Vec<Vec<f64>> {
    let numbers =
        |line: &str| line.split(',').map(|cell| cell.parse().expect("a number")).collect();
    text.lines().skip(1).map(numbers).collect()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "non-negative values of recordings that last minutes"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn ns(seconds: f64) -> u64 {
    whole((seconds + 10.0) * 1e9)
}

fn series(ticks: Ticks) -> Series {
    let period_seconds = Some(Seconds::new(0.100_008));
    let calibration =
        Calibration { joules_per_count: 1e-3, period_seconds, ..Calibration::default() };
    Series { calibration, ticks, ..Series::default() }
}

fn watts(milliwatts: f64) -> Watts {
    Watts::new(milliwatts / 1e3)
}

fn idle_load_square() -> Series {
    let rows = rows(IDLE_LOAD_SQUARE);
    let ticks = Ticks {
        lo_ns: rows.iter().map(|row| ns(row[0])).collect(),
        hi_ns: rows.iter().map(|row| ns(row[1])).collect(),
        counts: rows.iter().map(|row| whole(row[2])).collect(),
    };
    let lane = Lane {
        at_ns: ticks.hi_ns.clone(),
        average_power_watts: rows.iter().map(|row| Some(watts(row[3]))).collect(),
        instant_power_watts: rows.iter().map(|row| Some(watts(row[4]))).collect(),
        utilization_percent: vec![None; rows.len()],
        sm_clock_megahertz: vec![None; rows.len()],
        performance_state: vec![None; rows.len()],
        temperature_celsius: vec![None; rows.len()],
        ..Lane::default()
    };
    Series { lane, ..series(ticks) }
}

fn load_step() -> Series {
    let (counter, samples) = (rows(STEP_COUNTER), rows(STEP_SAMPLES));
    let ticks = Ticks {
        lo_ns: counter.iter().map(|row| ns(row[0] - 0.004)).collect(),
        hi_ns: counter.iter().map(|row| ns(row[0] + 0.002)).collect(),
        counts: counter.iter().map(|row| whole(row[1])).collect(),
    };
    let samples = Samples {
        at_ns: samples.iter().map(|row| ns(row[0])).collect(),
        power_watts: samples.iter().map(|row| watts(row[1])).collect(),
    };
    Series { samples, ..series(ticks) }
}

fn serving() -> Series {
    let rows = rows(SERVING);
    series(Ticks {
        lo_ns: rows.iter().map(|row| ns(row[0])).collect(),
        hi_ns: rows.iter().map(|row| ns(row[1])).collect(),
        counts: rows.iter().map(|row| whole(row[2])).collect(),
    })
}

fn reading(series: &Series, begin: f64, end: f64, mode: Mode) -> llem_core::energy::EnergyReading {
    let request = Request { begin_ns: ns(begin), end_ns: ns(end), mode };
    measure(std::slice::from_ref(series), request, &Settings::default()).readings.remove(0)
}

#[test]
fn counter_and_average_agree_on_an_isolated_load() {
    let found = reading(&idle_load_square(), 5.0, 11.2, Mode::Isolated);
    assert_eq!(found.method, Some(Method::CounterGuard), "{found:#?}");
    let discrepancy = found.checks.average_discrepancy.expect("the average covers it");
    assert!(discrepancy.abs() < 0.01, "{discrepancy}");
    assert_eq!(found.verdict, Verdict::Valid);
}

#[test]
fn counter_and_average_agree_on_a_square_wave() {
    let found = reading(&idle_load_square(), 16.2, 19.0, Mode::Running);
    let discrepancy = found.checks.average_discrepancy.expect("the average covers it");
    assert!(discrepancy.abs() < 0.05, "{discrepancy}");
}

#[test]
fn counter_and_samples_agree_on_a_load_step() {
    let series = load_step();
    for (begin, end, mode) in [(1.9, 3.65, Mode::Isolated), (2.2, 3.3, Mode::Running)] {
        let found = reading(&series, begin, end, mode);
        let discrepancy = found.checks.samples_discrepancy.expect("the samples cover it");
        assert!(discrepancy.abs() < 0.01, "{mode:?}: {discrepancy} {found:#?}");
        assert_eq!(found.verdict, Verdict::Valid);
    }
}

#[test]
fn idle_power_is_settled_or_says_why_not() {
    let window = Window { begin_ns: ns(0.0), end_ns: ns(5.0) };
    let found = baseline(&idle_load_square(), window).expect("enough publications");
    let power = found.mean_power_watts.get();
    assert!((115.0..130.0).contains(&power), "{power} W");
    // Five seconds are too few to call it settled.
    assert!(!found.settled && found.unsettled[0].contains("not 20 s"));
}

#[test]
fn a_served_load_has_a_power_that_the_board_can_have() {
    let series = serving();
    for pair in SERVING_EVENTS.lines().skip(1).collect::<Vec<_>>().chunks(2) {
        let time =
            |line: &str| line.rsplit(',').next().expect("a time").parse::<f64>().expect("a number");
        let found = reading(&series, time(pair[0]) + 1.0, time(pair[1]) - 1.0, Mode::Running);
        let power = found.average_power_watts.expect("an energy").get();
        assert!((300.0..720.0).contains(&power), "{power} W at {}", pair[0]);
        assert!(found.flags.contains(&Flag::NotCrossChecked));
    }
}

#[test]
fn counter_and_samples_agree_within_a_percent_on_idle_steps_and_square_waves() {
    let series: Vec<Series> = serde_json::from_str(INSTRUMENTS).expect("it is a recording");
    let readings = WINDOWS.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let [name, mode, begin, end] = cells[..] else { panic!("four cells: {line}") };
        let mode = if mode == "running" { Mode::Running } else { Mode::Isolated };
        let (begin_ns, end_ns) = (begin.parse().expect("ns"), end.parse().expect("ns"));
        let request = Request { begin_ns, end_ns, mode };
        (name, measure(&series, request, &Settings::default()).readings.remove(0))
    });
    let mut seen = 0;
    for (name, reading) in readings {
        seen += 1;
        assert_eq!(reading.verdict, Verdict::Valid, "{name}: {reading:#?}");
        let discrepancy = reading.checks.samples_discrepancy.expect("samples cover it");
        assert!(discrepancy.abs() < 0.01, "{name}: {discrepancy}");
        let average = reading.checks.average_discrepancy.expect("the average covers it");
        assert!(average.abs() < 0.01, "{name}: {average}");
    }
    assert_eq!(seen, 6);
}

#[test]
fn further_scopes_have_figures_of_their_own_and_a_sum_by_its_name_only() {
    let (entries, _) = journal::lines(CONCURRENCY).expect("it is whole");
    let record = entries.iter().find_map(|it| serde_json::from_slice::<Record>(it).ok());
    let record = record.expect("the first trial");
    let measured = record.measured().expect("it has completed");
    let found = |name: &str| figure(measured, name).unwrap_or_else(|| panic!("no {name}"));
    let energy = |scope: &str| found(&format!("{scope}energy_joules"));
    let apart = energy("") + energy("cpu_package_");
    assert!((energy("summed_") - apart).abs() < 1e-9 * apart, "{apart} J");
    assert!(energy("cpu_package_") < 0.1 * energy(""), "the GPU is not in it");
    let per_token = figure_of("summed_energy_per_output_token").expect("a metric");
    let ratio = found(per_token) / found("energy_per_output_token_joules");
    assert!((ratio - apart / energy("")).abs() < 1e-9, "{ratio}");
    // The processor's part is a model's estimate, and so is any sum with it.
    let is_estimated =
        |name: &str| figures(measured).iter().any(|it| it.name == name && it.estimated);
    assert!(is_estimated("summed_energy_joules") && !is_estimated("energy_joules"));
    assert!(found("time_per_output_token_p50_seconds") > 0.001);
    assert_eq!(figure(measured, "gpu_board_energy_joules"), None, "it is `energy_joules`");
    assert_eq!(figure(measured, "dram_energy_joules"), None, "nothing measured it");
}
