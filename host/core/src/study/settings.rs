//! The typed settings of a study: model, workload, traffic, service level, measurement, limits.
//!
//! Built from checked values, so that nothing checks them again. Knows no plugin parameters.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    duration,
    keys::{self, number, whole},
    problem::Fault,
};
use crate::{arrival::Arrival, backend::Value, search::Goal, workload::Length};

/// The model to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Hub id, local directory, `.gguf` file, or `random:SHAPE`.
    pub id: String,
    /// Hub revision.
    pub revision: String,
}

/// Where requests come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Drawn from the seed.
    Synthetic,
    /// A built-in data set or a `.jsonl` file.
    Dataset(String),
    /// A `.jsonl` file of arrival times and lengths.
    Trace(String),
}

/// What is asked of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Where requests come from.
    pub source: Source,
    /// Requests of a trial.
    pub requests: NonZeroU32,
    /// Prompt length; none: as recorded.
    pub input_tokens: Option<Length>,
    /// Output length; none: as recorded.
    pub output_tokens: Option<Length>,
    /// Tokens at the start that all prompts share.
    pub shared_prefix_tokens: u32,
    /// Turns of a session. Absent where it is 1, so that such experiments keep their identity.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub turns: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(turns: &NonZeroU32) -> bool {
    turns.get() == 1
}

/// How requests arrive at a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "arrival")]
pub enum Traffic {
    /// A fixed number in flight.
    ClosedLoop {
        /// Requests in flight.
        concurrency: NonZeroU32,
    },
    /// Equal gaps.
    Constant {
        /// Requests per second.
        rate: f64,
    },
    /// Exponential gaps.
    Poisson {
        /// Requests per second.
        rate: f64,
    },
    /// Gamma gaps.
    Gamma {
        /// Requests per second.
        rate: f64,
        /// Coefficient of variation of the gaps.
        burstiness: f64,
    },
    /// The times of the workload's trace.
    Trace,
    /// A rate that changes linearly, then stays.
    Ramp {
        /// Requests per second at the start.
        rate: f64,
        /// Requests per second at the end.
        rate_end: f64,
        /// How long the change takes, in seconds.
        #[serde(with = "duration::seconds", rename = "over_seconds")]
        over: Duration,
    },
}

impl Traffic {
    /// The load in one number: requests a second or in flight, and whether it is whole; none where a trace or a ramp
    /// says it.
    pub fn level(&self) -> Option<(f64, bool)> {
        match *self {
            Self::ClosedLoop { concurrency } => Some((f64::from(concurrency.get()), true)),
            Self::Constant { rate } | Self::Poisson { rate } | Self::Gamma { rate, .. } => {
                Some((rate, false))
            }
            Self::Trace | Self::Ramp { .. } => None,
        }
    }

    /// The same traffic at another load.
    #[must_use]
    pub fn at_level(&self, level: f64) -> Self {
        match *self {
            Self::ClosedLoop { concurrency } => {
                let places = keys::float_to_whole(level.round());
                let places = places.and_then(|it| u32::try_from(it).ok()).and_then(NonZeroU32::new);
                Self::ClosedLoop { concurrency: places.unwrap_or(concurrency) }
            }
            Self::Constant { .. } => Self::Constant { rate: level },
            Self::Poisson { .. } => Self::Poisson { rate: level },
            Self::Gamma { burstiness, .. } => Self::Gamma { rate: level, burstiness },
            Self::Trace | Self::Ramp { .. } => self.clone(),
        }
    }

    /// The arrival process; a trace has its times from the workload.
    pub fn process(&self, workload: &crate::workload::Workload) -> Arrival {
        match *self {
            Self::ClosedLoop { concurrency } => {
                Arrival::ClosedLoop { concurrency: concurrency.get() }
            }
            Self::Constant { rate } => Arrival::Constant { rate },
            Self::Poisson { rate } => Arrival::Poisson { rate },
            Self::Gamma { rate, burstiness } => Arrival::Gamma { rate, burstiness },
            Self::Trace => match workload {
                crate::workload::Workload::Replay(replay) => replay.arrival(),
                _ => Arrival::Trace { offsets_seconds: Vec::new(), period_seconds: None },
            },
            Self::Ramp { rate, rate_end, over } => {
                Arrival::Ramp { from: rate, to: rate_end, over_seconds: over.as_secs_f64() }
            }
        }
    }
}

/// How the engine's GPUs are set for a trial; what is absent is left as it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct GpuSettings {
    /// Power limit of each in watts.
    #[serde(default, rename = "power_limit_watts", skip_serializing_if = "Option::is_none")]
    pub power_limit: Option<NonZeroU32>,
    /// SM clock of each in MHz.
    #[serde(default, rename = "sm_clock_megahertz", skip_serializing_if = "Option::is_none")]
    pub sm_clock: Option<NonZeroU32>,
}

impl GpuSettings {
    /// Whether everything is left as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Bounds that requests are judged by, after the fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Bound on the time to first token, in seconds.
    #[serde(with = "duration::optional_seconds", rename = "time_to_first_token_seconds", default)]
    pub time_to_first_token: Option<Duration>,
    /// Bound on the time per output token, in seconds.
    #[serde(
        with = "duration::optional_seconds",
        rename = "time_per_output_token_seconds",
        default
    )]
    pub time_per_output_token: Option<Duration>,
    /// Bound on the gaps between tokens, in seconds.
    #[serde(with = "duration::optional_seconds", rename = "inter_token_latency_seconds", default)]
    pub inter_token_latency: Option<Duration>,
    /// Bound on the whole request, in seconds.
    #[serde(with = "duration::optional_seconds", rename = "request_latency_seconds", default)]
    pub request_latency: Option<Duration>,
    /// Percent of requests that must meet the bounds.
    pub percentile: f64,
}

/// When the warm-up ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// When power and latency have settled.
    Steady,
    /// After a number of requests.
    Requests(NonZeroU32),
    /// After a time, in seconds.
    #[serde(rename = "duration_seconds", with = "duration::seconds")]
    Duration(Duration),
}

/// Idle power that net energy subtracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// With the model loaded, idle.
    Context,
    /// With nothing on the device.
    Bare,
    /// None; only gross energy is reported.
    None,
}

/// How many trials an experiment gets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
    /// Relative half-width of the 95 % interval that ends them; none: all of `max`.
    pub half_width: Option<f64>,
}

/// Order of trials over repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Williams squares: each experiment in each position, after each other one, equally often.
    Counterbalanced,
    /// A new random order each repeat.
    Shuffled,
    /// The same order each repeat.
    Interleaved,
    /// All repeats of one experiment, then the next.
    Sequential,
    /// Fewest engine loads: all trials that share an engine together.
    Grouped,
}

/// Pause between trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Until power settles.
    Auto,
    /// A time, in seconds.
    #[serde(rename = "duration_seconds", with = "duration::seconds")]
    Duration(Duration),
}

/// How an experiment is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureSettings {
    /// When the warm-up ends.
    pub warmup: Warmup,
    /// Length of a window in server mode, in seconds.
    #[serde(with = "duration::seconds", rename = "window_seconds")]
    pub window: Duration,
    /// Windows of a trial in server mode.
    pub windows: NonZeroU32,
    /// What net energy subtracts.
    pub baseline: Baseline,
    /// How many trials.
    pub repeats: Repeats,
    /// The metric that decides when repeats end.
    pub primary: String,
    /// Order of trials.
    pub order: Order,
    /// Pause between trials.
    pub rest: Rest,
    /// Which load to look for; none: the traffic as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSettings>,
}

/// A search for a load that meets the objective, from the traffic's own rate or concurrency upwards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchSettings {
    /// What is looked for.
    pub goal: Goal,
    /// The greatest rate or concurrency.
    pub highest: f64,
    /// The part to which the load shall be known.
    pub tolerance: f64,
}

/// What ends a study early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest time of one trial, in seconds.
    #[serde(with = "duration::optional_seconds", rename = "trial_seconds", default)]
    pub trial: Option<Duration>,
    /// Time budget of the study, in seconds.
    #[serde(with = "duration::optional_seconds", rename = "study_seconds", default)]
    pub study: Option<Duration>,
    /// Energy budget of the study, in joules.
    pub energy_joules: Option<f64>,
    /// Failed trials in a row that end the study; none: never.
    pub consecutive_failures: Option<NonZeroU32>,
}

/// A fault of several settings together, at one of them.
pub(super) type Conflict = (&'static str, Fault);

/// Checked values by their path; absent ones have their default.
pub(super) struct Values<'a>(pub(super) &'a BTreeMap<String, Value>);

impl Values<'_> {
    pub(super) fn given(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.given(path).cloned().or_else(|| keys::find(path)?.default.map(literal))
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.get(path) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn choice<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let text = self.text(path).expect("a choice has a default");
        serde_json::from_value(serde_json::Value::String(text)).expect("a choice names a variant")
    }

    fn number(&self, path: &str) -> Option<f64> {
        self.get(path).as_ref().and_then(number)
    }

    pub(super) fn count(&self, path: &str) -> Option<NonZeroU32> {
        self.get(path)
            .as_ref()
            .and_then(whole)
            .and_then(|it| u32::try_from(it).ok())
            .and_then(NonZeroU32::new)
    }

    pub(super) fn duration(&self, path: &str) -> Option<Duration> {
        self.text(path).and_then(|text| duration::parse(&text).ok())
    }
}

/// A default as the table of keys writes it.
pub(super) fn literal(toml: &str) -> Value {
    let parsed: toml_edit::Value = toml.parse().expect("defaults are TOML");
    match parsed {
        toml_edit::Value::String(it) => Value::Text(it.into_value()),
        toml_edit::Value::Integer(it) => Value::Integer(it.into_value()),
        toml_edit::Value::Float(it) => Value::Number(it.into_value()),
        other => unreachable!("defaults are scalars: {other}"),
    }
}

pub(super) fn seed(values: &Values<'_>) -> u64 {
    values
        .get("seed")
        .as_ref()
        .and_then(whole)
        .and_then(|it| u64::try_from(it).ok())
        .expect("checked and defaulted")
}

pub(super) fn model(values: &Values<'_>) -> Result<Model, Conflict> {
    let missing = || {
        (
            "model.id",
            Fault::new("no model is named")
                .help("add `[model]` with `id = \"…\"`, or sweep `model.id`"),
        )
    };
    Ok(Model {
        id: values.text("model.id").ok_or_else(missing)?,
        revision: values.text("model.revision").expect("has a default"),
    })
}

pub(super) fn workload(values: &Values<'_>) -> Result<Workload, Conflict> {
    let named = |path: &'static str, source: &str| {
        values.text(path).ok_or_else(|| {
            ("workload.source", Fault::new(format!("`source = \"{source}\"` needs `{path}`")))
        })
    };
    let source = match values.text("workload.source").as_deref() {
        Some("dataset") => Source::Dataset(named("workload.dataset", "dataset")?),
        Some("trace") => Source::Trace(named("workload.trace", "trace")?),
        _ => Source::Synthetic,
    };
    for (path, used) in [
        ("workload.dataset", matches!(source, Source::Dataset(_))),
        ("workload.trace", matches!(source, Source::Trace(_))),
    ] {
        if values.given(path).is_some() && !used {
            let name = path.trim_start_matches("workload.");
            return Err((
                path,
                Fault::new(format!("`{path}` has no effect without `source = \"{name}\"`")),
            ));
        }
    }
    // Recorded requests keep their lengths unless the study says otherwise.
    let lengths = |path| {
        let value = if source == Source::Synthetic {
            values.get(path)
        } else {
            values.given(path).cloned()
        };
        value.and_then(|value| keys::length(&value).ok())
    };
    let workload = Workload {
        requests: values.count("workload.requests").expect("checked and defaulted"),
        input_tokens: lengths("workload.input_tokens"),
        output_tokens: lengths("workload.output_tokens"),
        shared_prefix_tokens: values
            .get("workload.shared_prefix_tokens")
            .as_ref()
            .and_then(whole)
            .and_then(|it| u32::try_from(it).ok())
            .expect("checked and defaulted"),
        turns: values.count("workload.turns").expect("checked and defaulted"),
        source,
    };
    if workload.turns.get() > 1 && workload.source != Source::Synthetic {
        let fault = Fault::new("`workload.turns` has no effect without `source = \"synthetic\"`");
        return Err(("workload.turns", fault));
    }
    let shortest = workload.input_tokens.as_ref().map(|length| match length {
        Length::Exact(exact) => *exact,
        Length::Normal { min, .. } => *min,
        Length::Values { values } => values.iter().copied().min().unwrap_or(0),
    });
    match shortest {
        Some(shortest) if workload.shared_prefix_tokens > shortest => Err((
            "workload.shared_prefix_tokens",
            Fault::new(format!(
                "a shared prefix of {} tokens does not fit prompts of {shortest}",
                workload.shared_prefix_tokens
            )),
        )),
        _ => Ok(workload),
    }
}

/// Turns wait for answers, which only a server gives one by one.
pub(super) fn sessions(workload: &Workload, traffic: Option<&Traffic>) -> Result<(), Conflict> {
    if workload.turns.get() > 1 && traffic.is_none() {
        let fault = Fault::new("sessions of several turns need a server").help("add `[traffic]`");
        return Err(("workload.turns", fault));
    }
    Ok(())
}

/// Traffic where any of its keys is given or its table is there; none is offline mode.
pub(super) fn traffic(values: &Values<'_>, table: bool) -> Result<Option<Traffic>, Conflict> {
    let given: Vec<&str> =
        values.0.keys().map(String::as_str).filter(|path| path.starts_with("traffic.")).collect();
    if given.is_empty() && !table {
        return Ok(None);
    }
    let arrival = values.text("traffic.arrival").expect("has a default");
    let need = |path: &str| Fault::new(format!("`arrival = \"{arrival}\"` needs `{path}`"));
    let rate =
        || values.number("traffic.rate").ok_or_else(|| ("traffic.arrival", need("traffic.rate")));
    let (traffic, used): (_, &[&str]) = match arrival.as_str() {
        "closed-loop" => {
            let concurrency = values
                .count("traffic.concurrency")
                .ok_or_else(|| ("traffic.arrival", need("traffic.concurrency")))?;
            (Traffic::ClosedLoop { concurrency }, &["traffic.concurrency"])
        }
        "constant" => (Traffic::Constant { rate: rate()? }, &["traffic.rate"]),
        "poisson" => (Traffic::Poisson { rate: rate()? }, &["traffic.rate"]),
        "gamma" => {
            let burstiness = values.number("traffic.burstiness").expect("has a default");
            (Traffic::Gamma { rate: rate()?, burstiness }, &["traffic.rate", "traffic.burstiness"])
        }
        "ramp" => {
            let rate_end = values
                .number("traffic.rate_end")
                .ok_or_else(|| ("traffic.arrival", need("traffic.rate_end")))?;
            let over = values
                .duration("traffic.over")
                .ok_or_else(|| ("traffic.arrival", need("traffic.over")))?;
            (
                Traffic::Ramp { rate: rate()?, rate_end, over },
                &["traffic.rate", "traffic.rate_end", "traffic.over"],
            )
        }
        _ if values.given("workload.trace").is_none() => {
            return Err(("traffic.arrival", need("workload.trace")));
        }
        _ => (Traffic::Trace, &[]),
    };
    for path in given {
        if path != "traffic.arrival" && !used.contains(&path) {
            let known = keys::find(path).map_or("traffic", |key| key.path);
            return Err((
                known,
                Fault::new(format!("`{path}` has no effect with `arrival = \"{arrival}\"`")),
            ));
        }
    }
    Ok(Some(traffic))
}

pub(super) fn gpu(values: &Values<'_>) -> GpuSettings {
    GpuSettings {
        power_limit: values.count("gpu.power_limit"),
        sm_clock: values.count("gpu.sm_clock"),
    }
}

pub(super) fn slo(values: &Values<'_>) -> Option<Slo> {
    let slo = Slo {
        time_to_first_token: values.duration("slo.time_to_first_token"),
        time_per_output_token: values.duration("slo.time_per_output_token"),
        inter_token_latency: values.duration("slo.inter_token_latency"),
        request_latency: values.duration("slo.request_latency"),
        percentile: values.number("slo.percentile").expect("has a default"),
    };
    let bounds = [
        slo.time_to_first_token,
        slo.time_per_output_token,
        slo.inter_token_latency,
        slo.request_latency,
    ];
    bounds.iter().any(Option::is_some).then_some(slo)
}

pub(super) fn measure(values: &Values<'_>) -> MeasureSettings {
    let checked = |path: &str| values.get(path).expect("has a default");
    MeasureSettings {
        warmup: warmup(&checked("measure.warmup")).expect("checked"),
        window: values.duration("measure.window").expect("checked and defaulted"),
        windows: values.count("measure.windows").expect("checked and defaulted"),
        baseline: values.choice("measure.baseline"),
        repeats: repeats(&checked("measure.repeats")).expect("checked"),
        primary: values.text("measure.primary").expect("has a default"),
        order: values.choice("measure.order"),
        rest: values
            .text("measure.rest")
            .and_then(|text| duration::parse_pause(&text).ok())
            .map_or(Rest::Auto, Rest::Duration),
        search: values.number("search.highest").map(|highest| SearchSettings {
            goal: values.choice("search.goal"),
            highest,
            tolerance: values.number("search.tolerance").expect("has a default"),
        }),
    }
}

pub(super) fn limits(values: &Values<'_>) -> Limits {
    Limits {
        trial: values.duration("limits.trial"),
        study: values.duration("limits.study"),
        energy_joules: values.number("limits.energy_joules"),
        consecutive_failures: values.count("limits.consecutive_failures"),
    }
}

/// Reads `"steady"`, `{ requests }` or `{ duration }`.
pub(super) fn warmup(value: &Value) -> Result<Warmup, Fault> {
    let wrong = || {
        Fault::new(format!(
            "expected {}, found {}",
            keys::Kind::Warmup.allowed(),
            super::node::found(value)
        ))
    };
    match value {
        Value::Text(text) if text == "steady" => Ok(Warmup::Steady),
        Value::Json(serde_json::Value::Object(object)) if object.len() == 1 => {
            let (key, value) = object.iter().next().expect("has one entry");
            match (key.as_str(), value) {
                ("requests", it) => whole(&it.clone().into())
                    .and_then(|it| u32::try_from(it).ok())
                    .and_then(NonZeroU32::new)
                    .map(Warmup::Requests)
                    .ok_or_else(|| {
                        Fault::new(format!(
                            "`requests` must be an integer of at least 1, found {it}"
                        ))
                    }),
                ("duration", serde_json::Value::String(text)) => {
                    duration::parse(text).map(Warmup::Duration)
                }
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// Reads an integer or `{ min, max, until = { half_width } }`.
pub(super) fn repeats(value: &Value) -> Result<Repeats, Fault> {
    let wrong =
        |what: String| Fault::new(format!("expected {}, {what}", keys::Kind::Repeats.allowed()));
    let count = |value: &serde_json::Value| {
        whole(&value.clone().into()).and_then(|it| u32::try_from(it).ok()).filter(|it| *it >= 1)
    };
    match value {
        Value::Integer(number) => match u32::try_from(*number) {
            Ok(number @ 1..=10_000) => Ok(Repeats { min: number, max: number, half_width: None }),
            _ => Err(Fault::new(format!("expected 1 to 10000 repeats, found {number}"))),
        },
        Value::Json(serde_json::Value::Object(object)) => {
            let mut repeats = Repeats { min: 3, max: 12, half_width: None };
            for (key, value) in object {
                match key.as_str() {
                    "min" => {
                        repeats.min =
                            count(value).ok_or_else(|| wrong(format!("found `min = {value}`")))?;
                    }
                    "max" => {
                        repeats.max =
                            count(value).ok_or_else(|| wrong(format!("found `max = {value}`")))?;
                    }
                    "until" => {
                        repeats.half_width = Some(
                            half_width(value)
                                .ok_or_else(|| wrong(format!("found `until = {value}`")))?,
                        );
                    }
                    other => {
                        let known = super::problem::nearest(other, ["min", "max", "until"]);
                        return Err(wrong(format!("found the key `{other}`")).nearest(known));
                    }
                }
            }
            if repeats.min > repeats.max {
                return Err(Fault::new(format!(
                    "`min` of {} repeats is above `max` of {}",
                    repeats.min, repeats.max
                )));
            }
            if repeats.half_width.is_none() && repeats.min != repeats.max {
                return Err(Fault::new("`min` and `max` differ, but nothing says when to stop")
                    .help("add `until = { half_width = 0.02 }`, or give one number"));
            }
            if repeats.half_width.is_some() && repeats.min < 2 {
                return Err(Fault::new("an interval needs at least 2 repeats, found `min = 1`"));
            }
            Ok(repeats)
        }
        other => Err(wrong(format!("found {}", super::node::found(other)))),
    }
}

fn half_width(value: &serde_json::Value) -> Option<f64> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("half_width")?.as_f64().filter(|width| *width > 0.0 && *width < 1.0)
}
