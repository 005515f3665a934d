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
};

/// A window's energy of one device by phase.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// The device.
    pub device: String,
    /// Attributed energies: statistics, no measurement.
    pub attribution: Option<Attribution>,
    /// Why there are none.
    pub reason: Option<String>,
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
    let mut steps: Option<(Vec<Step>, StepSource)> = None;
    let one = |reading: &EnergyReading| {
        let (all, source) = steps.get_or_insert_with(|| steps_of(log));
        let found = series
            .iter()
            .find(|it| it.device.id == reading.device)
            .ok_or_else(|| "the device has no series".to_owned())
            .and_then(|series| attributed(reading, series, (all, *source), seed));
        let (attribution, reason) = match found {
            Ok(found) => (Some(found), None),
            Err(reason) => (None, Some(reason)),
        };
        PhaseRecord { device: reading.device.clone(), attribution, reason }
    };
    readings.iter().filter(measured).map(one).collect()
}

fn attributed(
    reading: &EnergyReading,
    series: &Series,
    (steps, source): (&[Step], StepSource),
    seed: u64,
) -> Result<Attribution, String> {
    if matches!(reading.method, None | Some(Method::Samples | Method::AveragePower)) {
        return Err("attribution needs a usable energy counter".to_owned());
    }
    let idle = reading.net_context.as_ref().map(|it| it.baseline_power_watts);
    let idle = idle.ok_or("attribution needs the idle power with the engine loaded")?;
    let window = reading.window;
    let near: Vec<Step> = steps
        .iter()
        .filter(|it| it.end_ns > window.begin_ns && it.begin_ns < window.end_ns)
        .cloned()
        .collect();
    let mut found = attribute(series, window, idle, (&near, source), seed)
        .map_err(|error| error.to_string())?;
    // A request's part can be derived again from the raw data; there may be very many.
    found.requests = Vec::new();
    Ok(found)
}

/// The engine's own steps where it told them, else what the times of tokens let one infer.
fn steps_of(log: &RequestLog) -> (Vec<Step>, StepSource) {
    if log.steps.is_empty() {
        return (arrivals(log), StepSource::RequestLog);
    }
    let of = |request: &Request| {
        Some(Progress {
            input_tokens: request.input_tokens?,
            output_tokens: request.output_tokens?,
            first_token_ns: request.first_token_ns?,
            last_token_ns: request.last_token_ns?,
        })
    };
    let requests: Vec<Progress> = log.requests.iter().filter_map(of).collect();
    (steps_from_engine(&log.steps, &requests), StepSource::Engine)
}

fn arrivals(log: &RequestLog) -> Vec<Step> {
    let of = |request: &Request| {
        let first = request.first_token_ns?;
        Some(Arrivals {
            begin_ns: request.dispatched_ns.unwrap_or(request.scheduled_ns).min(first),
            input_tokens: request.input_tokens?,
            token_ns: token_times(request, first),
        })
    };
    let requests: Vec<Arrivals> = log.requests.iter().filter_map(of).collect();
    steps_from_arrivals(&requests)
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
        let (inferred, source) = steps_of(&log);
        assert_eq!((inferred.len(), source), (4, StepSource::RequestLog));
        let step = |begin_ns, end_ns, prefill_tokens, decode_tokens| EngineStep {
            begin_ns,
            end_ns,
            prefill_tokens,
            decode_tokens,
            running: 1,
        };
        log.steps = vec![step(4, 10, 8, 1), step(10, 40, 0, 3)];
        let (told, source) = steps_of(&log);
        assert_eq!(source, StepSource::Engine);
        // The time before the engine began with the prompt is no prefill.
        let spans: Vec<(u64, u64)> = told.iter().map(|it| (it.begin_ns, it.end_ns)).collect();
        assert_eq!(spans, [(4, 10), (10, 40)]);
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
