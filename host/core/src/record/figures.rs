//! A trial's figures as flat, named numbers: what statistics and tables work on.

use serde::{Deserialize, Serialize};

use crate::{
    energy::{Attribution, Instrument, Scope, Verdict},
    latency::Distribution,
    record::{Measured, WindowRecord},
    units::{Joules, count, whole},
};

/// The figure that a study's metric stands for: metrics leave unit and quantile out.
pub fn figure_of(metric: &str) -> Option<&'static str> {
    const TABLE: &[(&str, &str)] = &[
        ("energy_per_output_token", "energy_per_output_token_joules"),
        ("energy_per_total_token", "energy_per_total_token_joules"),
        ("energy_per_request", "energy_per_request_joules"),
        ("average_power", "average_power_watts"),
        ("cpu_package_energy_per_output_token", "cpu_package_energy_per_output_token_joules"),
        ("dram_energy_per_output_token", "dram_energy_per_output_token_joules"),
        ("summed_energy_per_output_token", "summed_energy_per_output_token_joules"),
        ("output_token_throughput", "output_token_throughput_per_second"),
        ("total_token_throughput", "total_token_throughput_per_second"),
        ("request_throughput", "request_throughput_per_second"),
        ("goodput", "goodput_per_second"),
        ("time_to_first_token", "time_to_first_token_p50_seconds"),
        ("time_per_output_token", "time_per_output_token_p50_seconds"),
        ("inter_token_latency", "inter_token_latency_p50_seconds"),
        ("request_latency", "request_latency_p50_seconds"),
    ];
    TABLE.iter().find(|(name, _)| *name == metric).map(|(_, figure)| *figure)
}

/// Picks a quantile.
type Pick = fn(&Distribution) -> Option<f64>;

/// One named figure of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name with its unit as suffix: `energy_per_output_token_joules`.
    pub name: String,
    /// Value.
    pub value: f64,
    /// Whether it rests on a model's estimate.
    pub estimated: bool,
    /// Whether an instrument's verdict lets it be ranked.
    pub ranked: bool,
}

/// The scope that headline figures are about: GPU boards where there are any, else processors. A GPU that
/// gave no energy is not replaced by a processor: there is then no headline figure.
pub fn primary_scope(measured: &Measured) -> Option<Scope> {
    let scopes = || measured.windows.iter().flat_map(|it| &it.totals).map(|it| it.scope);
    [Scope::GpuBoard, Scope::CpuPackage]
        .into_iter()
        .find(|scope| scopes().any(|it| it == *scope))
        .or_else(|| scopes().next())
}

/// All figures of a trial; its windows are taken together.
///
/// Energies are sums over windows and devices of the primary scope, divided by what was counted in
/// the same windows; latencies are means of the windows' quantiles.
pub fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    energy_figures(measured, &mut figures);
    other_scopes(measured, &mut figures);
    let seconds: f64 = sum(measured, |it| it.metrics.window_seconds);
    let mut exact = |name: &str, value: Option<f64>| {
        figures.extend(value.filter(|it| it.is_finite()).map(|value| Figure {
            name: name.to_owned(),
            value,
            estimated: false,
            ranked: true,
        }));
    };
    exact("output_token_throughput_per_second", ratio(sum(measured, output_tokens), seconds));
    exact("request_throughput_per_second", ratio(sum(measured, completed), seconds));
    exact(
        "total_token_throughput_per_second",
        total_tokens(measured).and_then(|it| ratio(it, seconds)),
    );
    exact(
        "goodput_per_second",
        mean(measured, |it| Some(it.metrics.slo.as_ref()?.goodput_per_second)),
    );
    exact("model_flops_per_second", flops(measured).and_then(|it| ratio(it, seconds)));
    exact("model_flops_utilization", mean(measured, |it| it.work.model_flops_utilization));
    exact("power_limited_fraction", mean(measured, power_limited));
    let quantiles: [(&str, Pick); 3] = [
        ("p50", |it| Some(it.p50.point)),
        ("p90", |it| Some(it.p90.point)),
        ("p99", |it| it.p99.as_ref().map(|it| it.point)),
    ];
    for (name, pick) in quantiles {
        let over = |of: fn(&WindowRecord) -> Option<&Distribution>| {
            mean(measured, |it| of(it).and_then(pick))
        };
        exact(
            &format!("time_to_first_token_{name}_seconds"),
            over(|it| it.metrics.time_to_first_token.as_ref()),
        );
        exact(
            &format!("inter_token_latency_{name}_seconds"),
            over(|it| it.metrics.inter_token_latency.as_ref()),
        );
        exact(
            &format!("time_per_output_token_{name}_seconds"),
            over(|it| it.metrics.time_per_output_token.as_ref()),
        );
        exact(
            &format!("request_latency_{name}_seconds"),
            over(|it| it.metrics.request_latency.as_ref()),
        );
    }
    exact("load_seconds", Some(measured.load_seconds));
    exact("operating_load", measured.search.as_ref().and_then(|it| it.found));
    figures
}

/// The figures of each window of a trial alone.
pub fn window_figures(measured: &Measured) -> Vec<Vec<Figure>> {
    let mut alone = Measured {
        load_seconds: measured.load_seconds,
        warmup: measured.warmup.clone(),
        baselines_bare: Vec::new(),
        baselines: Vec::new(),
        baselines_after: Vec::new(),
        windows: Vec::new(),
        basis: None,
        search: None,
    };
    let of_one = |window: &WindowRecord| {
        alone.windows = vec![window.clone()];
        figures(&alone)
    };
    measured.windows.iter().map(of_one).collect()
}

/// One figure of a trial by its name.
pub fn figure(measured: &Measured, name: &str) -> Option<f64> {
    figures(measured).into_iter().find(|it| it.name == name).map(|it| it.value)
}

/// Energy of all windows of a trial.
#[derive(Clone, Copy)]
struct Gross {
    joules: f64,
    estimated: bool,
    ranked: bool,
}

impl Gross {
    /// Of one scope.
    fn of(measured: &Measured, scope: Scope) -> Option<Self> {
        let totals: Vec<_> = measured
            .windows
            .iter()
            .filter_map(|window| window.totals.iter().find(|it| it.scope == scope))
            .collect();
        let joules: Option<f64> = totals.iter().map(|it| it.energy_joules.map(Joules::get)).sum();
        // A window without energy makes the trial's sum wrong, so there is none.
        let joules = joules.filter(|_| totals.len() == measured.windows.len())?;
        Some(Self {
            joules,
            estimated: totals.iter().any(|it| it.estimated),
            ranked: totals.iter().all(|it| it.verdict == Verdict::Valid),
        })
    }

    fn figure(self, name: &str, value: Option<f64>) -> Option<Figure> {
        let Self { estimated, ranked, .. } = self;
        let value = value.filter(|it| it.is_finite())?;
        Some(Figure { name: name.to_owned(), value, estimated, ranked })
    }
}

/// What the headline figures are not about: each further scope under its own name, and the sum of all, which no figure
/// without `summed` in its name ever is.
fn other_scopes(measured: &Measured, figures: &mut Vec<Figure>) {
    let primary = primary_scope(measured);
    let mut add = |prefix: &str, gross: Gross| {
        let tokens = sum(measured, output_tokens);
        let per_token = format!("{prefix}_energy_per_output_token_joules");
        figures.extend(gross.figure(&format!("{prefix}_energy_joules"), Some(gross.joules)));
        figures.extend(gross.figure(&per_token, ratio(gross.joules, tokens)));
    };
    let named =
        [(Scope::GpuBoard, "gpu_board"), (Scope::CpuPackage, "cpu_package"), (Scope::Dram, "dram")];
    let is_there = |scope: Scope| {
        measured.windows.iter().flat_map(|it| &it.totals).any(|it| it.scope == scope)
    };
    let mut all = Vec::new();
    for (scope, prefix) in named.into_iter().filter(|(scope, _)| is_there(*scope)) {
        let gross = Gross::of(measured, scope);
        if let Some(gross) = gross.filter(|_| primary != Some(scope)) {
            add(prefix, gross);
        }
        all.push(gross);
    }
    // One scope is no sum, and without one of them the others are not it.
    if let Some(all) = all.into_iter().collect::<Option<Vec<Gross>>>().filter(|it| it.len() > 1) {
        add(
            "summed",
            Gross {
                joules: all.iter().map(|it| it.joules).sum(),
                estimated: all.iter().any(|it| it.estimated),
                ranked: all.iter().all(|it| it.ranked),
            },
        );
    }
}

fn energy_figures(measured: &Measured, figures: &mut Vec<Figure>) {
    let Some(scope) = primary_scope(measured) else { return };
    let Some(gross) = Gross::of(measured, scope) else { return };
    let energy = gross.joules;
    let mut push = |name: &str, value: Option<f64>| figures.extend(gross.figure(name, value));
    push("energy_per_output_token_joules", ratio(energy, sum(measured, output_tokens)));
    push("energy_per_request_joules", ratio(energy, sum(measured, completed)));
    push("energy_per_total_token_joules", total_tokens(measured).and_then(|it| ratio(energy, it)));
    push("energy_joules", Some(energy));
    push("average_power_watts", ratio(energy, sum(measured, |it| it.metrics.window_seconds)));
    let net = net_context(measured, scope);
    push(
        "net_energy_per_output_token_joules",
        net.and_then(|it| ratio(it, sum(measured, output_tokens))),
    );
    push("output_tokens_per_joule", ratio(sum(measured, output_tokens), energy));
    let operations = flops(measured);
    push("model_flops_per_joule", operations.and_then(|it| ratio(it, energy)));
    let phase = |pick: Share| phase(measured, pick);
    push("prefill_energy_joules", phase(|it| it.prefill.map(|it| it.energy_joules)));
    push("decode_energy_joules", phase(|it| it.decode.map(|it| it.energy_joules)));
    push(
        "co2e_kilograms",
        over(measured, |it| {
            let of_scope = it.emissions.iter().find(|it| it.scope == scope)?;
            Some(of_scope.emission?.co2e_kilograms)
        }),
    );
}

/// Picks a phase's energy.
type Share = fn(&Attribution) -> Option<Joules>;

/// Attributed energy above idle of a phase, where every GPU of every window has one.
fn phase(measured: &Measured, pick: Share) -> Option<f64> {
    over(measured, |window| {
        let parts = window.phases.iter().map(|it| pick(it.attribution.as_ref()?));
        parts.sum::<Option<Joules>>().filter(|_| !window.phases.is_empty()).map(Joules::get)
    })
}

/// Operations that the model asked for in all windows.
fn flops(measured: &Measured) -> Option<f64> {
    over(measured, |it| Some(it.work.flops?.total()))
}

/// A sum over windows that all have a part.
fn over(measured: &Measured, of: impl Fn(&WindowRecord) -> Option<f64>) -> Option<f64> {
    measured.windows.iter().map(of).sum::<Option<f64>>().filter(|_| !measured.windows.is_empty())
}

/// Energy above the idle power with the model loaded, where every device of every window has it.
fn net_context(measured: &Measured, scope: Scope) -> Option<f64> {
    measured
        .windows
        .iter()
        .flat_map(|it| &it.energy)
        .filter(|it| it.scope == scope && it.instrument != Instrument::CpuTime)
        .map(|it| Some(it.net_context.as_ref()?.energy_joules.get()))
        .sum::<Option<f64>>()
        .filter(|it| *it != 0.0)
}

/// Share of a window under the power limit, of the device that was under it longest.
fn power_limited(window: &WindowRecord) -> Option<f64> {
    window.energy.iter().filter_map(|it| it.throttle.power_fraction).reduce(f64::max)
}

/// Prompt and output tokens; none where the engine did not count prompts.
fn total_tokens(measured: &Measured) -> Option<f64> {
    measured
        .windows
        .iter()
        .map(|it| Some(whole(it.metrics.input_tokens? + it.metrics.output_tokens)))
        .sum()
}

fn output_tokens(window: &WindowRecord) -> f64 {
    whole(window.metrics.output_tokens)
}

fn completed(window: &WindowRecord) -> f64 {
    whole(window.metrics.completed_requests)
}

fn sum(measured: &Measured, of: impl Fn(&WindowRecord) -> f64) -> f64 {
    measured.windows.iter().map(of).sum()
}

fn mean(measured: &Measured, of: impl Fn(&WindowRecord) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = measured.windows.iter().map(of).collect();
    let values = values.filter(|it| !it.is_empty())?;
    Some(values.iter().sum::<f64>() / whole(count(values.len())))
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}
