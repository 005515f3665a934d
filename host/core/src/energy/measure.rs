//! The choice of an estimator, and the assembly of a reading from it.
//!
//! The order is fixed: counter, else samples, else averaged power, else nothing with the reason. A
//! fallback is always flagged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Calibrated, Carbon, Component, CounterState, EnergyReading, Flag, Instrument, Method, Mode,
    Scope, Series, Uncertainty, Verdict, Window,
    budget::{COVERAGE_HALF_WIDTH, GAIN_HALF_WIDTH, MODEL_RELATIVE, rectangular},
    check::{self, Unusable},
    power, shape, throttle,
    ticks::{Curve, Estimate, MARGIN, guard_banded, guard_length, tick_bounded},
};
use crate::units::{Joules, Seconds, Watts, count};

/// The window that somebody wants to know the energy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Request {
    /// Where it begins.
    pub begin_ns: u64,
    /// Where it ends.
    pub end_ns: u64,
    /// What surrounds it.
    pub mode: Mode,
}

/// What the user knows beyond the series.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Settings {
    /// Calibrations of sensors, by device.
    #[serde(default)]
    pub calibrations: Vec<Calibrated>,
    /// Emissions of the electricity; none: not computed.
    #[serde(default)]
    pub carbon: Option<Carbon>,
}

/// The energy of all devices in one window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Measurement {
    /// The interval that all readings hold for; tokens and requests must be counted in it.
    pub window: Window,
    /// One reading per device, in the order of the series.
    pub readings: Vec<EnergyReading>,
}

/// Measures every device over one window.
///
/// Under a running load the window is moved to publications of the first usable GPU counter, and
/// tokens must be counted in [`Measurement::window`]; an isolated job keeps its window.
pub fn measure(series: &[Series], request: Request, settings: &Settings) -> Measurement {
    let wanted = Window { begin_ns: request.begin_ns, end_ns: request.end_ns };
    let mut bounded = match request.mode {
        Mode::Running => {
            let places = series.iter().enumerate();
            let mut found = places.filter_map(|(place, s)| Some((place, tick_window(s, wanted)?)));
            found.next()
        }
        Mode::Isolated => None,
    };
    let window = bounded.as_ref().map_or(wanted, |(_, estimate)| estimate.window);
    let read = |(place, series): (usize, &Series)| {
        let own = bounded.take_if(|(owner, _)| *owner == place).map(|(_, estimate)| estimate);
        reading(series, window, request.mode, own, settings)
    };
    Measurement { window, readings: series.iter().enumerate().map(read).collect() }
}

/// What a GPU's counter offers within the wanted window.
fn tick_window(series: &Series, wanted: Window) -> Option<Estimate> {
    if series.device.scope != Scope::GpuBoard || series.calibration.counter != CounterState::Live {
        return None;
    }
    tick_bounded(&Curve::around(series, wanted, MARGIN), wanted).ok()
}

fn reading(
    series: &Series,
    window: Window,
    mode: Mode,
    bounded: Option<Estimate>,
    settings: &Settings,
) -> EnergyReading {
    let chosen = if check::is_lost(series, window) {
        Err((vec![Flag::DeviceLost], "the device was lost in or before the window".to_owned()))
    } else {
        choose(series, window, mode, bounded)
    };
    let mut reading = match chosen {
        Ok(estimate) => assemble(series, estimate, settings),
        Err((flags, reason)) => {
            let mut reading = EnergyReading::absent(series, window, reason);
            reading.flags = flags;
            let samples = power::samples(series, window).ok();
            reading.checks.samples_joules = samples.map(|estimate| Joules::new(estimate.joules));
            reading
        }
    };
    if series.device.scope == Scope::GpuBoard {
        check::cross_check(&mut reading, series, mode);
        check::plausible(&mut reading, series);
        if mode == Mode::Isolated {
            let period = series.calibration.period_seconds.map_or(0.1, Seconds::get);
            check::guards(&mut reading, series, guard_length(period));
        }
        throttle::flag(&mut reading, series);
    }
    check::provenance(&mut reading, series);
    reading.flags.sort_unstable();
    reading
}

type Refused = (Vec<Flag>, String);

fn choose(
    series: &Series,
    window: Window,
    mode: Mode,
    bounded: Option<Estimate>,
) -> Result<Estimate, Refused> {
    let (flag, reason) = match series.calibration.counter {
        CounterState::Live => match by_counter(series, window, mode, bounded) {
            Ok(estimate) => return Ok(estimate),
            Err(Unusable::Decreased) => {
                return Err((vec![Flag::CounterDecreased], Unusable::Decreased.to_string()));
            }
            Err(unusable) => (Flag::CounterStuck, unusable.to_string()),
        },
        CounterState::Stuck => (Flag::CounterStuck, Unusable::Stuck.to_string()),
        CounterState::Unsupported => {
            (Flag::CounterUnsupported, "the device has no energy counter".to_owned())
        }
        CounterState::Denied => {
            (Flag::CounterDenied, "this user may not read the energy counter".to_owned())
        }
        CounterState::Failed => (Flag::CounterFailed, "the energy counter failed".to_owned()),
    };
    let powered = power::samples(series, window).or_else(|_| power::average(series, window, mode));
    match powered {
        Ok(mut estimate) => {
            estimate.flags.push(flag);
            Ok(estimate)
        }
        Err(unusable) => Err((vec![flag], format!("{reason}; {unusable}"))),
    }
}

fn by_counter(
    series: &Series,
    window: Window,
    mode: Mode,
    bounded: Option<Estimate>,
) -> Result<Estimate, Unusable> {
    let curve = Curve::around(series, window, MARGIN);
    let mut estimate = match (mode, bounded) {
        (Mode::Running, Some(estimate)) => estimate,
        (Mode::Running, None) => shape::interpolated(series, &curve, window)?,
        (Mode::Isolated, _) => match guard_banded(&curve, window) {
            Err(Unusable::NoGuard) => {
                let mut estimate = shape::interpolated(series, &curve, window)?;
                estimate.flags.push(Flag::GuardMissing);
                estimate
            }
            other => other?,
        },
    };
    let joules = estimate.joules;
    if series.device.instrument == Instrument::CpuTime {
        estimate.method = Method::CpuTimeModel;
        estimate.flags = vec![Flag::Estimated];
        estimate.components.push(Component::type_b("power_model", MODEL_RELATIVE * joules));
    } else {
        let coverage = rectangular(COVERAGE_HALF_WIDTH * joules);
        estimate.components.push(Component::type_b("counter_coverage", coverage));
    }
    Ok(estimate)
}

fn assemble(series: &Series, estimate: Estimate, settings: &Settings) -> EnergyReading {
    let mut reading = EnergyReading::absent(series, estimate.window, String::new());
    let mut components = estimate.components;
    let mut joules = estimate.joules;
    let duration = estimate.window.duration();
    reading.flags = estimate.flags;
    let calibrated = settings.calibrations.iter().find(|c| c.device == series.device.id);
    if let Some(calibrated) = calibrated {
        joules = joules * calibrated.gain + calibrated.offset_watts * duration.get();
        components.push(Component::gain(calibrated.relative_uncertainty * joules));
        reading.certificate = Some(calibrated.certificate.clone());
        reading.flag(Flag::Calibrated);
    } else if !reading.estimated {
        components.push(Component::gain(rectangular(GAIN_HALF_WIDTH * joules)));
    }
    let stuck = [Flag::CounterStuck, Flag::CounterFailed].iter().any(|f| reading.flags.contains(f));
    reading.verdict = if stuck { Verdict::Suspect } else { Verdict::Valid };
    reading.reason = None;
    reading.method = Some(estimate.method);
    reading.energy_joules = Some(Joules::new(joules));
    reading.ticks = count(estimate.ticks);
    reading.average_power_watts = Some(Watts::new(joules / duration.get()));
    reading.uncertainty = Some(Uncertainty::around(Joules::new(joules), components));
    reading
}
