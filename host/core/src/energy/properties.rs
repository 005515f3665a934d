//! Properties that every estimator must have, on series that are made up here.

use proptest::prelude::*;

use super::{
    Calibration, EnergyReading, Flag, Method, Mode, Request, Samples, Series, Settings, Ticks,
    Verdict, measure,
};
use crate::units::{Seconds, Watts, whole};

const SECOND: u64 = 1_000_000_000;

/// Power as a function of time in seconds, with its energy.
#[derive(Clone, Copy, Debug)]
struct Load {
    idle: f64,
    high: f64,
    begin: f64,
    end: f64,
}

impl Load {
    fn energy(self, at: f64) -> f64 {
        self.idle * at + (self.high - self.idle) * (at.min(self.end) - self.begin).max(0.0)
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "non-negative test values"
)]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

/// A series of `seconds` with this period, beginning at `origin`.
fn series(load: Load, period: f64, seconds: f64, origin: u64) -> Series {
    let count = rounded(seconds / period);
    let time = |n: u64| whole(n) * period;
    let at = |t: f64| origin + rounded(t * 1e9);
    let samples = || (1..rounded(seconds / 0.02)).map(|n| whole(n) * 0.02);
    Series {
        calibration: Calibration {
            joules_per_count: 1e-6,
            period_seconds: Some(Seconds::new(period)),
            ..Calibration::default()
        },
        ticks: Ticks {
            lo_ns: (0..count).map(|n| at(time(n)) - 1_000_000).collect(),
            hi_ns: (0..count).map(|n| at(time(n)) + 1_000_000).collect(),
            counts: (0..count).map(|n| rounded(load.energy(time(n)) * 1e6)).collect(),
        },
        samples: Samples {
            at_ns: samples().map(at).collect(),
            power_watts: samples()
                .map(|t| Watts::new((load.energy(t) - load.energy(t - 0.02)) / 0.02))
                .collect(),
        },
        ..Series::default()
    }
}

fn reading(series: &Series, begin_ns: u64, end_ns: u64, mode: Mode) -> EnergyReading {
    let request = Request { begin_ns, end_ns, mode };
    measure(std::slice::from_ref(series), request, &Settings::default()).readings.remove(0)
}

fn joules(reading: &EnergyReading) -> f64 {
    reading.energy_joules.expect("an energy").get()
}

fn loads() -> impl Strategy<Value = Load> {
    (50.0..150.0, 200.0..700.0, 4.0..5.0, 1.0..6.0).prop_map(|(idle, high, begin, long)| Load {
        idle,
        high,
        begin,
        end: begin + long,
    })
}

/// Periods of counters that exist: 10, 20 and 100 ms.
fn periods() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.01), Just(0.02), Just(0.1)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_isolated_job_has_its_energy(load in loads(), period in periods()) {
        let series = series(load, period, 16.0, SECOND);
        let at = |t: f64| SECOND + rounded(t * 1e9);
        let found = reading(&series, at(load.begin), at(load.end), Mode::Isolated);
        prop_assert_eq!(found.method, Some(Method::CounterGuard));
        let truth = load.energy(load.end) - load.energy(load.begin);
        prop_assert!((joules(&found) / truth - 1.0).abs() < 1e-5, "{} {}", joules(&found), truth);
    }

    #[test]
    fn a_running_window_has_the_energy_of_its_own_bounds(load in loads(), period in periods()) {
        let series = series(load, period, 16.0, SECOND);
        let found = reading(&series, 4 * SECOND, 14 * SECOND, Mode::Running);
        let time = |ns: u64| Seconds::between(SECOND, ns).get();
        let truth = load.energy(time(found.window.end_ns)) - load.energy(time(found.window.begin_ns));
        prop_assert!((joules(&found) / truth - 1.0).abs() < 1e-6);
        prop_assert!(found.window.begin_ns >= 4 * SECOND && found.window.end_ns <= 14 * SECOND);
    }

    #[test]
    fn a_shift_in_time_changes_nothing(load in loads(), shift in 0_u64..1 << 50) {
        let (here, there) =
            (series(load, 0.1, 16.0, SECOND), series(load, 0.1, 16.0, SECOND + shift));
        let a = reading(&here, 4 * SECOND, 14 * SECOND, Mode::Running);
        let b = reading(&there, 4 * SECOND + shift, 14 * SECOND + shift, Mode::Running);
        prop_assert!((joules(&a) - joules(&b)).abs() < 1e-6);
        prop_assert_eq!(a.window.begin_ns + shift, b.window.begin_ns);
    }

    #[test]
    fn energy_is_linear_in_the_gain(load in loads(), gain in 0.5_f64..2.0) {
        let plain = series(load, 0.1, 16.0, SECOND);
        let mut scaled = plain.clone();
        scaled.calibration.joules_per_count *= gain;
        for mode in [Mode::Running, Mode::Isolated] {
            let a = joules(&reading(&plain, 5 * SECOND, 13 * SECOND, mode));
            let b = joules(&reading(&scaled, 5 * SECOND, 13 * SECOND, mode));
            prop_assert!((b / a / gain - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn two_neighbouring_windows_add_up(load in loads(), cut in 5.0_f64..13.0) {
        // A second device keeps the first one's window, so both have arbitrary edges.
        let series = series(load, 0.1, 16.0, SECOND);
        let curve = super::ticks::Curve::around(
            &series,
            super::Window { begin_ns: SECOND, end_ns: 16 * SECOND },
            1.0,
        );
        let part = |begin: f64, end: f64| {
            let at = |t: f64| SECOND + rounded(t * 1e9);
            let window = super::Window { begin_ns: at(begin), end_ns: at(end) };
            super::shape::interpolated(&series, &curve, window).map(|found| found.joules)
        };
        let whole = part(4.0, 14.0).expect("covered");
        let sum = part(4.0, cut).expect("covered") + part(cut, 14.0).expect("covered");
        prop_assert!((whole - sum).abs() < 1e-6 * whole);
    }

    #[test]
    fn missing_publications_lose_no_energy(load in loads(), missing in 60_usize..90) {
        let full = series(load, 0.1, 16.0, SECOND);
        let mut holed = full.clone();
        for column in [&mut holed.ticks.lo_ns, &mut holed.ticks.hi_ns, &mut holed.ticks.counts] {
            column.drain(missing..missing + 2);
        }
        let a = reading(&full, 4 * SECOND, 14 * SECOND, Mode::Running);
        let b = reading(&holed, 4 * SECOND, 14 * SECOND, Mode::Running);
        prop_assert!((joules(&a) - joules(&b)).abs() < 1e-6);
    }

    #[test]
    fn a_counter_that_goes_back_is_never_repaired(load in loads(), place in 60_usize..100) {
        let mut series = series(load, 0.1, 16.0, SECOND);
        let before = series.ticks.counts[place];
        for count in &mut series.ticks.counts[place..] {
            *count -= before;
        }
        for mode in [Mode::Running, Mode::Isolated] {
            let found = reading(&series, 5 * SECOND, 13 * SECOND, mode);
            prop_assert_eq!(found.verdict, Verdict::Invalid);
            prop_assert!(found.energy_joules.is_none() && found.flags.contains(&Flag::CounterDecreased));
        }
    }
}

#[test]
fn a_second_device_is_measured_in_the_first_ones_window() {
    let load = Load { idle: 100.0, high: 400.0, begin: 3.0, end: 15.0 };
    let first = series(load, 0.1, 16.0, SECOND);
    let mut second = series(load, 0.1, 16.0, SECOND + 37_000_000);
    second.calibration.joules_per_count *= 2.0;
    let request = Request { begin_ns: 5 * SECOND, end_ns: 12 * SECOND, mode: Mode::Running };
    let found = measure(&[first, second], request, &Settings::default());
    let [a, b] = &found.readings[..] else { panic!("two devices") };
    assert_eq!((a.window, b.window), (found.window, found.window));
    assert_eq!(b.method, Some(Method::CounterInterpolated));
    assert!((joules(b) / joules(a) - 2.0).abs() < 1e-3);
    let sum = super::total(&found.readings, super::Scope::GpuBoard).expect("two boards");
    assert!((sum.energy_joules.expect("both").get() - joules(a) - joules(b)).abs() < 1e-9);
    assert!(sum.absolute_joules > sum.compare_joules);
}

#[test]
fn a_calibration_by_the_user_replaces_the_gain() {
    let load = Load { idle: 100.0, high: 400.0, begin: 3.0, end: 15.0 };
    let mut series = series(load, 0.1, 16.0, SECOND);
    series.device.id = "GPU-a".to_owned();
    let calibrated = super::Calibrated {
        device: "GPU-a".to_owned(),
        gain: 1.02,
        offset_watts: 3.0,
        relative_uncertainty: 0.005,
        certificate: "session 4".to_owned(),
    };
    let request = Request { begin_ns: 5 * SECOND, end_ns: 12 * SECOND, mode: Mode::Running };
    let settings = Settings { calibrations: vec![calibrated], carbon: None };
    let found = measure(std::slice::from_ref(&series), request, &settings).readings.remove(0);
    let plain = reading(&series, 5 * SECOND, 12 * SECOND, Mode::Running);
    let expected = joules(&plain) * 1.02 + 3.0 * found.window.duration().get();
    assert!((joules(&found) - expected).abs() < 1e-9);
    assert_eq!(found.certificate.as_deref(), Some("session 4"));
    let u = found.uncertainty.expect("an energy has one");
    assert!(u.absolute_joules.get() < 0.01 * expected);
}

#[test]
fn a_reading_survives_its_record() {
    let load = Load { idle: 100.0, high: 400.0, begin: 3.0, end: 15.0 };
    let found = reading(&series(load, 0.1, 16.0, SECOND), 5 * SECOND, 12 * SECOND, Mode::Running);
    let text = serde_json::to_string(&found).expect("plain data");
    assert!(text.contains("\"energy_joules\":") && text.contains("\"method\":\"counter_ticks\""));
    let back: EnergyReading = serde_json::from_str(&text).expect("what was written");
    assert_eq!(back.method, found.method);
    assert!((joules(&back) - joules(&found)).abs() < 1e-9);
}
