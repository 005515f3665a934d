//! From a trial's raw data to its figures: the one function that both a run and a later computation
//! from stored series and request logs use, so that the same data always give the same figures.
//!
//! Reads no clock and no device; what was decided while the trial ran is in its [`Basis`].

mod emissions;
mod phases;
mod work;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    emissions::ScopeEmission,
    phases::{PhaseRecord, RequestSpread},
    work::WorkRecord,
};
use crate::{
    energy::{
        Baseline, Baselines, EnergyReading, Instrument, Request, Scope, Series, Settings, Window,
        baseline, measure, total,
    },
    flops::NumberFormat,
    latency::{self, RequestLog, Slo, window_metrics},
    model::ModelFacts,
    record::{TrialId, WindowRecord},
};

/// What a trial's figures rest on besides its raw data.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Basis {
    /// When the device idled without an engine.
    pub bare: Option<Window>,
    /// What it idled at before the engine was started, if that was for an earlier trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<CarriedBare>,
    /// When it idled with the engine loaded, before the windows.
    pub before: Option<Window>,
    /// The same after them.
    pub after: Option<Window>,
    /// The windows as they were driven.
    pub windows: Vec<DrivenWindow>,
    /// The model's shape, for the arithmetic.
    pub model: Option<ModelFacts>,
    /// The format of numbers that the engine computes in.
    pub format: Option<NumberFormat>,
    /// Bounds that requests are judged by.
    pub slo: Option<Slo>,
    /// Seed of the bootstraps.
    pub seed: u64,
}

/// Idle power without an engine, observed by the trial that a shared engine was started for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedBare {
    /// That trial.
    pub trial: TrialId,
    /// What it found, device by device.
    pub baselines: Vec<Baseline>,
}

/// A window as the runner drove it.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct DrivenWindow {
    /// Which interval was asked for.
    pub request: Request,
    /// Processor time of llem itself in it.
    pub host_cpu_seconds: Option<f64>,
}

/// The figures of a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Idle power without an engine.
    pub bare: Vec<Baseline>,
    /// Idle power before the windows.
    pub before: Vec<Baseline>,
    /// Idle power after them.
    pub after: Vec<Baseline>,
    /// The windows, in order.
    pub windows: Vec<WindowRecord>,
    /// Why a baseline is missing or not settled, and what the client and the instruments remark.
    pub remarks: Vec<String>,
}

/// Computes a trial's figures.
pub fn account(basis: &Basis, series: &[Series], log: &RequestLog, settings: &Settings) -> Account {
    let mut account = Account::default();
    account.bare = idle(series, basis.bare, "without an engine", &mut account.remarks);
    if let (None, Some(carried)) = (basis.bare, &basis.carried) {
        account.bare.clone_from(&carried.baselines);
        account.remarks.push(format!(
            "idle power without an engine is from trial {} #{}, for which this engine was started",
            carried.trial.experiment, carried.trial.repeat
        ));
    }
    account.before = idle(series, basis.before, "before the windows", &mut account.remarks);
    account.after = idle(series, basis.after, "after the windows", &mut account.remarks);
    for (number, driven) in (0_u64..).zip(&basis.windows) {
        let seed = basis.seed.wrapping_add(number);
        let record = window(basis, (series, log, settings), &account, *driven, seed);
        for remark in record.energy.iter().flat_map(EnergyReading::remarks) {
            note(&mut account.remarks, remark);
        }
        for remark in &record.metrics.client.warnings {
            note(&mut account.remarks, remark.clone());
        }
        account.windows.push(record);
    }
    account
}

fn note(remarks: &mut Vec<String>, remark: String) {
    if !remarks.contains(&remark) {
        remarks.push(remark);
    }
}

fn window(
    basis: &Basis,
    (series, log, settings): (&[Series], &RequestLog, &Settings),
    account: &Account,
    driven: DrivenWindow,
    seed: u64,
) -> WindowRecord {
    let mut measurement = measure(series, driven.request, settings);
    for reading in &mut measurement.readings {
        let of = |all: &[Baseline]| all.iter().find(|it| it.device == reading.device).cloned();
        let baselines = Baselines {
            bare: of(&account.bare),
            context_before: of(&account.before),
            context_after: of(&account.after),
        };
        *reading = reading.clone().above(&baselines);
    }
    let window = measurement.window;
    let span = latency::Window { from_ns: window.begin_ns, to_ns: window.end_ns };
    let scopes = [Scope::GpuBoard, Scope::CpuPackage, Scope::Dram];
    let totals: Vec<_> =
        scopes.into_iter().filter_map(|it| total(&measurement.readings, it)).collect();
    WindowRecord {
        begin_ns: window.begin_ns,
        end_ns: window.end_ns,
        work: work::of(log, window, basis, series),
        phases: phases::of(log, &measurement.readings, series, seed),
        emissions: emissions::of(&totals, window, series, settings),
        totals,
        energy: measurement.readings,
        metrics: window_metrics(log, span, basis.slo.as_ref(), seed),
        server: Vec::new(),
        host_cpu_seconds: driven.host_cpu_seconds,
    }
}

/// Idle power of every device that has a real instrument.
pub fn idle(
    series: &[Series],
    window: Option<Window>,
    when: &str,
    remarks: &mut Vec<String>,
) -> Vec<Baseline> {
    let Some(window) = window else { return Vec::new() };
    let mut found = Vec::new();
    for series in series.iter().filter(|it| it.device.instrument != Instrument::CpuTime) {
        match baseline(series, window) {
            Ok(it) => {
                if !it.settled {
                    remarks.push(format!(
                        "idle power of `{}` {when} had not settled: {}",
                        it.device,
                        it.unsettled.join(", ")
                    ));
                }
                found.push(it);
            }
            Err(error) => remarks.push(format!("no idle power {when}: {error}")),
        }
    }
    found
}
