//! Prefill and decode energy of each device in a window: attribution, with the reason where there is
//! none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    energy::{
        Arrivals, Attribution, EnergyReading, Instrument, Method, Progress, Scope, Series, Step,
        StepSource, attribute, steps_from_arrivals, steps_from_engine,
    },
    latency::{Request, RequestLog},
    stats::Sample,
    units::{Joules, count},
};

/// A window's energy of one device by phase.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// The device.
    pub device: String,
    /// Attributed energies: statistics, no measurement.
    pub attribution: Option<Attribution>,
    /// How the attributed energy differs from request to request; absent together with the phases.
    #[serde(default)]
    pub requests: Option<RequestSpread>,
    /// Why there are none.
    pub reason: Option<String>,
}

/// Energies of single requests, idle energy while they were in work included: attributed, not measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestSpread {
    /// Requests whose work lies wholly in the attributed interval.
    pub requests: u64,
    /// Their mean.
    pub mean_joules: Joules,
    /// Half of them took less.
    pub p50_joules: Joules,
    /// Nine in ten took less.
    pub p90_joules: Joules,
    /// 99 in a hundred took less.
    pub p99_joules: Joules,
}

/// What requests did, as far as it is known.
struct Steps {
    all: Vec<Step>,
    source: StepSource,
    /// From when to when each request was in work.
    spans: Vec<(u64, u64)>,
}

/// Attributes the energies of a window's GPUs.
pub(super) fn of(
    log: &RequestLog,
    readings: &[EnergyReading],
    series: &[Series],
    seed: u64,
) -> Vec<PhaseRecord> {
    let measured =
        |it: &&EnergyReading| it.scope == Scope::GpuBoard && it.instrument != Instrument::CpuTime;
    let mut steps: Option<Steps> = None;
    let one = |reading: &EnergyReading| {
        let all = steps.get_or_insert_with(|| steps_of(log));
        let found = series
            .iter()
            .find(|it| it.device.id == reading.device)
            .ok_or_else(|| "the device has no series".to_owned())
            .and_then(|series| attributed(reading, series, all, seed));
        let device = reading.device.clone();
        match found {
            Ok(mut found) => {
                let requests = spread(&found, &all.spans);
                // A request's part can be derived again from the raw data; there may be very many.
                found.requests = Vec::new();
                PhaseRecord { device, attribution: Some(found), requests, reason: None }
            }
            Err(reason) => {
                PhaseRecord { device, attribution: None, requests: None, reason: Some(reason) }
            }
        }
    };
    readings.iter().filter(measured).map(one).collect()
}

fn attributed(
    reading: &EnergyReading,
    series: &Series,
    known: &Steps,
    seed: u64,
) -> Result<Attribution, String> {
    if matches!(reading.method, None | Some(Method::Samples | Method::AveragePower)) {
        return Err("attribution needs a usable energy counter".to_owned());
    }
    let idle = reading.net_context.as_ref().map(|it| it.baseline_power_watts);
    let idle = idle.ok_or("attribution needs the idle power with the engine loaded")?;
    let window = reading.window;
    let near: Vec<Step> = known
        .all
        .iter()
        .filter(|it| it.end_ns > window.begin_ns && it.begin_ns < window.end_ns)
        .cloned()
        .collect();
    attribute(series, window, idle, (&near, known.source), seed).map_err(|error| error.to_string())
}

/// The energies of the requests that were in work in the attributed interval only.
fn spread(found: &Attribution, spans: &[(u64, u64)]) -> Option<RequestSpread> {
    found.decode?;
    let window = found.window;
    let whole = found
        .requests
        .iter()
        .zip(spans)
        .filter(|(_, (begin, end))| *begin >= window.begin_ns && *end <= window.end_ns)
        .map(|(it, _)| (it.dynamic_joules + it.static_joules).get());
    let sample = Sample::new(whole.collect()).ok()?;
    let at = |share| Joules::new(sample.quantile(share));
    Some(RequestSpread {
        requests: count(sample.values().len()),
        mean_joules: Joules::new(sample.mean()),
        p50_joules: at(0.5),
        p90_joules: at(0.9),
        p99_joules: at(0.99),
    })
}

/// The engine's own steps where it told them, else what the times of tokens let one infer.
fn steps_of(log: &RequestLog) -> Steps {
    if log.steps.is_empty() {
        return arrivals(log);
    }
    let of = |request: &Request| {
        Some(Progress {
            input_tokens: request.input_tokens?,
            output_tokens: request.output_tokens?,
            first_token_ns: request.first_token_ns?,
            last_token_ns: request.last_token_ns?,
        })
    };
    let known = |it: &&Request| of(it).is_some();
    let spans = log.requests.iter().filter(known).map(|it| (it.scheduled_ns, it.end_ns));
    let requests: Vec<Progress> = log.requests.iter().filter_map(of).collect();
    Steps {
        all: steps_from_engine(&log.steps, &requests),
        source: StepSource::Engine,
        spans: spans.collect(),
    }
}

fn arrivals(log: &RequestLog) -> Steps {
    let of = |request: &Request| {
        let first = request.first_token_ns?;
        Some(Arrivals {
            begin_ns: request.dispatched_ns.unwrap_or(request.scheduled_ns).min(first),
            input_tokens: request.input_tokens?,
            token_ns: token_times(request, first),
        })
    };
    let requests: Vec<Arrivals> = log.requests.iter().filter_map(of).collect();
    let last = |it: &Arrivals| it.token_ns.last().copied().unwrap_or(it.begin_ns);
    Steps {
        all: steps_from_arrivals(&requests),
        source: StepSource::RequestLog,
        spans: requests.iter().map(|it| (it.begin_ns, last(it))).collect(),
    }
}

/// When each token came; between the first and the last evenly, where nobody saw them.
fn token_times(request: &Request, first: u64) -> Vec<u64> {
    if !request.tokens.is_empty() {
        let tokens = request.tokens.iter();
        return tokens
            .flat_map(|it| std::iter::repeat_n(it.at_ns, usize::try_from(it.tokens).unwrap_or(0)))
            .collect();
    }
    let gaps = request.output_tokens.unwrap_or(1).saturating_sub(1);
    let whole = request.last_token_ns.unwrap_or(first).saturating_sub(first);
    let at = |place: u64| {
        let part = u128::from(whole) * u128::from(place) / u128::from(gaps.max(1));
        first + u64::try_from(part).unwrap_or(whole)
    };
    (0..=gaps).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::EngineStep;

    #[test]
    fn the_engines_own_steps_go_before_what_can_be_inferred() {
        let request = Request {
            first_token_ns: Some(10),
            last_token_ns: Some(40),
            input_tokens: Some(8),
            output_tokens: Some(4),
            ..Request::scheduled(0, 0)
        };
        let mut log = RequestLog { requests: vec![request], ..RequestLog::default() };
        let inferred = steps_of(&log);
        assert_eq!((inferred.all.len(), inferred.source), (4, StepSource::RequestLog));
        assert_eq!(inferred.spans, [(0, 40)]);
        let step = |begin_ns, end_ns, prefill_tokens, decode_tokens| EngineStep {
            begin_ns,
            end_ns,
            prefill_tokens,
            decode_tokens,
            running: 1,
        };
        log.steps = vec![step(4, 10, 8, 1), step(10, 40, 0, 3)];
        let Steps { all: told, source, .. } = steps_of(&log);
        assert_eq!(source, StepSource::Engine);
        // The time before the engine began with the prompt is no prefill.
        let spans: Vec<(u64, u64)> = told.iter().map(|it| (it.begin_ns, it.end_ns)).collect();
        assert_eq!(spans, [(4, 10), (10, 40)]);
    }

    #[test]
    fn only_requests_that_lie_within_the_interval_have_an_energy_of_their_own() {
        let share = |joules| crate::energy::PhaseShare {
            energy_joules: Joules::new(joules),
            interval_joules: [Joules::new(joules); 2],
        };
        let part = |dynamic, still| crate::energy::RequestEnergy {
            dynamic_joules: Joules::new(dynamic),
            static_joules: Joules::new(still),
        };
        let mut found = Attribution {
            window: crate::energy::Window { begin_ns: 10, end_ns: 50 },
            source: StepSource::Engine,
            energy_joules: Joules::new(100.0),
            static_joules: Joules::new(40.0),
            unattributed_joules: Joules::new(0.0),
            prefill: Some(share(20.0)),
            decode: Some(share(40.0)),
            reason: None,
            coefficients: Vec::new(),
            held_out_r_squared: 0.9,
            held_out_relative_error: 0.1,
            closure: 0.0,
            requests: vec![part(1.0, 1.0), part(8.0, 2.0), part(16.0, 4.0)],
        };
        let spread_of = |found: &Attribution| spread(found, &[(5, 20), (10, 30), (20, 50)]);
        let spread = spread_of(&found).expect("two requests lie within");
        assert_eq!((spread.requests, spread.mean_joules.get()), (2, 15.0));
        assert_eq!((spread.p50_joules.get(), spread.p90_joules.get()), (15.0, 19.0));
        found.decode = None;
        assert_eq!(spread_of(&found), None);
    }

    #[test]
    fn tokens_that_nobody_saw_are_spread_between_first_and_last() {
        let request = Request {
            first_token_ns: Some(10),
            last_token_ns: Some(40),
            output_tokens: Some(4),
            ..Request::scheduled(0, 0)
        };
        assert_eq!(token_times(&request, 10), [10, 20, 30, 40]);
        let single = Request { output_tokens: Some(1), last_token_ns: Some(10), ..request };
        assert_eq!(token_times(&single, 10), [10]);
    }
}
