//! The keys that a study itself knows (`model.*`, `workload.*`, `traffic.*`, …): type, default and meaning.
//!
//! One table for checking, for the resolved study, for the JSON Schema and for the file that `llem init`
//! writes. Plugin parameters are described by plugins, not here.

use super::{
    duration,
    node::found,
    problem::{Fault, listed, nearest},
};
use crate::{backend::Value, workload::Length};

/// One key of a study.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// What holds where it is absent, as TOML; none: nothing holds.
    pub(super) default: Option<&'static str>,
    pub(super) doc: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A name fit for a directory.
    Name,
    /// Text that is not empty.
    Text,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An integer of at least this, at most that.
    Count(i64, i64),
    /// A finite number above zero.
    Positive,
    /// A number between 0 and 100, both excluded.
    Percentile,
    /// A duration.
    Duration,
    /// An exact length or a distribution of lengths.
    Length,
    /// `"steady"`, `{ requests }` or `{ duration }`.
    Warmup,
    /// An integer or `{ min, max, until = { half_width } }`.
    Repeats,
    /// `"auto"` or a duration.
    Rest,
    /// A list of texts.
    Texts,
}

const COUNT: Kind = Kind::Count(1, 1 << 31);
const METRICS: &[&str] = &[
    "energy_per_output_token",
    "energy_per_total_token",
    "energy_per_request",
    "cpu_package_energy_per_output_token",
    "dram_energy_per_output_token",
    "summed_energy_per_output_token",
    "average_power",
    "output_token_throughput",
    "total_token_throughput",
    "request_throughput",
    "goodput",
    "time_to_first_token",
    "time_per_output_token",
    "inter_token_latency",
    "request_latency",
];

const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Key {
    Key { path, kind, default, doc }
}

/// All keys, in the order in which a study shows them.
pub(super) const KEYS: &[Key] = &[
    key("name", Kind::Name, None, "Names the results directory."),
    key("seed", Kind::Count(0, i64::MAX), Some("42"), "Every random choice derives from it."),
    key(
        "model.id",
        Kind::Text,
        None,
        "Hub id, local directory, .gguf file, or \"random:SHAPE\" for random weights of that shape.",
    ),
    key("model.revision", Kind::Text, Some("\"main\""), "Hub revision."),
    key(
        "workload.source",
        Kind::Choice(&["synthetic", "dataset", "trace"]),
        Some("\"synthetic\""),
        "Where requests come from.",
    ),
    key(
        "workload.dataset",
        Kind::Text,
        None,
        "`builtin:prompts`, or a file of records; with `source = \"dataset\"`.",
    ),
    key(
        "workload.trace",
        Kind::Text,
        None,
        "A .jsonl file of arrival times and lengths; with `source = \"trace\"`.",
    ),
    key("workload.requests", COUNT, Some("512"), "Requests of a trial; the batch in offline mode."),
    key(
        "workload.input_tokens",
        Kind::Length,
        Some("256"),
        "Prompt length, exact or a distribution; data sets: the limit, none by default.",
    ),
    key(
        "workload.output_tokens",
        Kind::Length,
        Some("128"),
        "Output length, exact: engines ignore end-of-sequence; data sets: as recorded by default.",
    ),
    key(
        "workload.shared_prefix_tokens",
        Kind::Count(0, 1 << 31),
        Some("0"),
        "Tokens at the start that all prompts share.",
    ),
    key(
        "workload.turns",
        COUNT,
        Some("1"),
        "Turns of a session: a prompt holds the turns before it, and a turn waits for their answers.",
    ),
    key(
        "traffic.arrival",
        Kind::Choice(&["closed-loop", "constant", "poisson", "gamma", "trace", "ramp"]),
        Some("\"closed-loop\""),
        "How requests arrive.",
    ),
    key("traffic.concurrency", COUNT, None, "Requests in flight of a closed loop."),
    key("traffic.rate", Kind::Positive, None, "Requests per second; of a ramp: at its start."),
    key(
        "traffic.burstiness",
        Kind::Positive,
        Some("1.0"),
        "Coefficient of variation of the gaps, for gamma arrivals; 1 is Poisson.",
    ),
    key("traffic.rate_end", Kind::Positive, None, "Requests per second at the end of a ramp."),
    key("traffic.over", Kind::Duration, None, "How long a ramp takes."),
    key(
        "gpu.power_limit",
        Kind::Count(1, 100_000),
        None,
        "Power limit of the engine's GPUs in watts, set for the trial; needs `--allow gpu:power_limit`.",
    ),
    key(
        "gpu.sm_clock",
        Kind::Count(1, 100_000),
        None,
        "SM clock of the engine's GPUs in MHz, locked for the trial; needs `--allow gpu:sm_clock`.",
    ),
    key("slo.time_to_first_token", Kind::Duration, None, "Bound on the time to first token."),
    key("slo.time_per_output_token", Kind::Duration, None, "Bound on the time per output token."),
    key("slo.inter_token_latency", Kind::Duration, None, "Bound on the gaps between tokens."),
    key("slo.request_latency", Kind::Duration, None, "Bound on the whole request."),
    key(
        "slo.percentile",
        Kind::Percentile,
        Some("99"),
        "Percent of requests that must meet the bounds.",
    ),
    key(
        "search.goal",
        Kind::Choice(&["highest-load", "least-energy"]),
        Some("\"highest-load\""),
        "What a search looks for: the highest load that meets `[slo]`, or the least energy per token.",
    ),
    key(
        "search.highest",
        Kind::Positive,
        None,
        "Searches from the traffic's own rate or concurrency up to this one, on one engine.",
    ),
    key(
        "search.tolerance",
        Kind::Positive,
        Some("0.05"),
        "A search ends when the load is known to this part.",
    ),
    key(
        "measure.warmup",
        Kind::Warmup,
        Some("\"steady\""),
        "Until power and latency settle, a number of requests, or a duration.",
    ),
    key(
        "measure.window",
        Kind::Duration,
        Some("\"30s\""),
        "Length of a measurement window in server mode; offline the batch is the window.",
    ),
    key("measure.windows", COUNT, Some("3"), "Windows of a trial in server mode."),
    key(
        "measure.baseline",
        Kind::Choice(&["context", "bare", "none"]),
        Some("\"context\""),
        "Idle power that net energy subtracts; gross is always reported.",
    ),
    key(
        "measure.repeats",
        Kind::Repeats,
        Some("3"),
        "Trials of each experiment, fixed or until the interval is narrow enough.",
    ),
    key(
        "measure.primary",
        Kind::Choice(METRICS),
        Some("\"energy_per_output_token\""),
        "The metric that decides when repeats end.",
    ),
    key(
        "measure.order",
        Kind::Choice(&["counterbalanced", "shuffled", "interleaved", "sequential", "grouped"]),
        Some("\"counterbalanced\""),
        "Order of trials over repeats.",
    ),
    key(
        "measure.rest",
        Kind::Rest,
        Some("\"auto\""),
        "Pause between trials: until power settles, or a duration.",
    ),
    key("limits.trial", Kind::Duration, None, "Longest time of one trial."),
    key(
        "limits.study",
        Kind::Duration,
        None,
        "Time budget of the study; repeats go where they narrow most.",
    ),
    key("limits.energy_joules", Kind::Positive, None, "Energy budget of the study."),
    key(
        "limits.consecutive_failures",
        Kind::Count(0, 1000),
        Some("10"),
        "Failed trials in a row that end the study; 0: never.",
    ),
    key(
        "executor.kind",
        Kind::Choice(&["local", "slurm"]),
        Some("\"local\""),
        "Where trials run: on this machine, or as jobs of a Slurm cluster.",
    ),
    key(
        "executor.shards",
        COUNT,
        None,
        "Split into at least this many tasks, where engines allow it.",
    ),
    key(
        "executor.shard_time",
        Kind::Duration,
        Some("\"1h\""),
        "A repeat that is estimated to take longer is split into smaller blocks.",
    ),
    key(
        "executor.trial_time",
        Kind::Duration,
        None,
        "Length of a trial where you know better than the estimate.",
    ),
    key(
        "executor.time",
        Kind::Duration,
        None,
        "Time limit of a task; default: twice its estimate and 10 minutes.",
    ),
    key("executor.tries", Kind::Count(1, 100), Some("5"), "How often a task is tried."),
    key("executor.parallel", COUNT, None, "At most this many tasks at once."),
    key("executor.gpu_type", Kind::Text, None, "Type of GPU, as the cluster names it."),
    key("executor.cpus", COUNT, None, "Processors of a task."),
    key("executor.memory", Kind::Text, None, "Memory of a task, such as \"64G\"."),
    key("executor.partition", Kind::Text, None, "Partition."),
    key("executor.account", Kind::Text, None, "Account that is charged."),
    key("executor.constraint", Kind::Text, None, "Features that nodes must have."),
    key("executor.options", Kind::Texts, None, "Further options of `sbatch`, one each."),
    key(
        "executor.setup",
        Kind::Text,
        None,
        "Shell lines that a task runs first, such as `module load cuda`.",
    ),
    key(
        "executor.llem",
        Kind::Text,
        None,
        "Path of llem on the nodes; default: that of the program that submits.",
    ),
];

/// The tables whose keys may be swept.
pub(super) const SWEEPABLE: [&str; 4] = ["model", "workload", "traffic", "gpu"];

/// The key at a path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// A path that no key has.
pub(super) fn unknown(path: &str) -> Fault {
    let table = path.split_once('.').map(|(table, _)| table);
    let siblings = || {
        KEYS.iter().filter_map(move |key| match (table, key.path.split_once('.')) {
            (Some(table), Some((other, name))) if table == other => Some(name),
            (None, None) => Some(key.path),
            _ => None,
        })
    };
    let name = path.rsplit('.').next().unwrap_or(path);
    Fault::new(format!("unknown key `{path}`, allowed here: {}", listed(siblings())))
        .nearest(nearest(name, siblings()))
}

impl Kind {
    /// What is allowed, for messages.
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Name => "a name of letters, digits, `.`, `_` and `-`, at most 100".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Choice(names) => format!("one of {}", listed(names.iter().copied())),
            Self::Count(min, max) if max >= 1 << 31 => format!("an integer of at least {min}"),
            Self::Count(min, max) => format!("an integer from {min} to {max}"),
            Self::Positive => "a number above 0".to_owned(),
            Self::Percentile => "a number above 0 and below 100".to_owned(),
            Self::Duration => "a duration such as \"30s\"".to_owned(),
            Self::Length => {
                "a number of tokens, `{ mean, stddev, min, max }` or `{ values = [...] }`"
                    .to_owned()
            }
            Self::Warmup => {
                "\"steady\", `{ requests = 32 }` or `{ duration = \"60s\" }`".to_owned()
            }
            Self::Repeats => {
                "an integer or `{ min = 3, max = 12, until = { half_width = 0.02 } }`".to_owned()
            }
            Self::Rest => "\"auto\" or a duration such as \"10s\"".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
        }
    }

    /// The value in its one spelling, or what is wrong with it.
    pub(super) fn check(self, value: &Value) -> Result<Value, Fault> {
        let wrong = || Fault::new(format!("expected {}, found {}", self.allowed(), found(value)));
        match (self, value) {
            (Self::Name, Value::Text(text)) if is_name(text) => Ok(value.clone()),
            (Self::Text, Value::Text(text)) if !text.trim().is_empty() => Ok(value.clone()),
            (Self::Choice(names), Value::Text(text)) if names.contains(&text.as_str()) => {
                Ok(value.clone())
            }
            (Self::Choice(names), Value::Text(text)) => {
                Err(wrong().nearest(nearest(text, names.iter().copied())))
            }
            (Self::Count(min, max), _) => match whole(value) {
                Some(count) if (min..=max).contains(&count) => Ok(Value::Integer(count)),
                _ => Err(wrong()),
            },
            (Self::Positive, _) => match number(value) {
                Some(number) if number > 0.0 => Ok(Value::Number(number)),
                _ => Err(wrong()),
            },
            (Self::Percentile, _) => match number(value) {
                Some(number) if number > 0.0 && number < 100.0 => Ok(Value::Number(number)),
                _ => Err(wrong()),
            },
            (Self::Duration, Value::Text(text)) => duration::parse(text).map(|_| value.clone()),
            (Self::Rest, Value::Text(text)) if text == "auto" => Ok(value.clone()),
            (Self::Rest, Value::Text(text)) => {
                duration::parse_pause(text).map(|_| value.clone()).map_err(|_| wrong())
            }
            (Self::Warmup, Value::Text(text)) if text == "steady" => Ok(value.clone()),
            (Self::Warmup, Value::Json(_)) => super::settings::warmup(value).map(|_| value.clone()),
            (Self::Length, _) => {
                length(value).map(|_| value.clone()).map_err(|fault| fault.unwrap_or_else(wrong))
            }
            (Self::Texts, Value::Json(serde_json::Value::Array(items)))
                if items.iter().all(serde_json::Value::is_string) =>
            {
                Ok(value.clone())
            }
            (Self::Repeats, Value::Integer(_) | Value::Json(_)) => {
                super::settings::repeats(value).map(|_| value.clone())
            }
            _ => Err(wrong()),
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    plain && !text.is_empty() && text.len() <= 100 && !text.starts_with(['.', '-'])
}

/// An integer, also where it was written as `64.0`.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(whole) => Some(*whole),
        Value::Number(number) => float_to_whole(*number),
        _ => None,
    }
}

/// A float as the integer that it is.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "only whole numbers below 2^53 get here"
)]
pub(super) fn float_to_whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// A number, integers included.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(whole) => Some(whole_to_float(*whole)),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// An integer as a float; exact below 2^53.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(super) fn whole_to_float(whole: i64) -> f64 {
    whole as f64
}

/// A length in tokens; a fault where it is a length that can't be drawn, none where it is no length at all.
pub(super) fn length(value: &Value) -> Result<Length, Option<Fault>> {
    let length = match value {
        Value::Integer(_) | Value::Number(_) => {
            Length::Exact(whole(value).and_then(|it| u32::try_from(it).ok()).ok_or(None)?)
        }
        Value::Json(json @ serde_json::Value::Object(_)) => {
            let length: Length = serde_json::from_value(json.clone()).map_err(|_| None)?;
            // An object is never an exact length, whatever the deserialiser makes of it.
            if matches!(length, Length::Exact(_)) {
                return Err(None);
            }
            length
        }
        _ => return Err(None),
    };
    length.check().map_err(|error| Some(Fault::new(error.to_string())))?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_its_key_takes() {
        for key in KEYS {
            if let Some(default) = key.default {
                let value = super::super::settings::literal(default);
                assert!(key.kind.check(&value).is_ok(), "{} = {default}", key.path);
            }
        }
    }

    #[test]
    fn an_unknown_choice_names_the_nearest() {
        let fault = find("traffic.arrival")
            .unwrap()
            .kind
            .check(&Value::Text("poison".to_owned()))
            .unwrap_err();
        assert_eq!(fault.nearest.as_deref(), Some("poisson"));
        assert!(fault.message.contains("found \"poison\""), "{}", fault.message);
    }

    #[test]
    fn an_unknown_key_names_its_table_s_keys() {
        let fault = unknown("workload.input_token");
        assert_eq!(fault.nearest.as_deref(), Some("input_tokens"));
    }

    #[test]
    fn a_whole_float_is_a_count() {
        assert_eq!(COUNT.check(&Value::Number(64.0)), Ok(Value::Integer(64)));
        assert!(COUNT.check(&Value::Number(64.5)).is_err());
    }
}
