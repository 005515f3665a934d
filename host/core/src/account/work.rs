//! Arithmetic of the tokens that arrived in a window, and its share of the devices' peak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Basis;
use crate::{
    energy::{Scope, Series, Window},
    flops::{Arithmetic, Flops, NumberFormat, peak, utilization},
    latency::{Request, RequestLog},
    units::{count, whole},
};

/// What the model asked of the devices in a window.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WorkRecord {
    /// Operations of the prompts whose first token came in the window, and of the later tokens that did.
    /// Tokens that a cache saved are counted: it is what the requests asked for.
    pub flops: Option<Flops>,
    /// Operations a second, both phases.
    pub flops_per_second: Option<f64>,
    /// The format that the peak is of.
    pub format: Option<NumberFormat>,
    /// Dense peak of all devices together, operations a second.
    pub peak_flops_per_second: Option<f64>,
    /// Where the peak is from.
    pub peak_source: Option<String>,
    /// Operations a second over the peak.
    pub model_flops_utilization: Option<f64>,
    /// Why something is absent.
    pub reason: Option<String>,
}

/// Counts a window's operations.
pub(super) fn of(log: &RequestLog, window: Window, basis: &Basis, series: &[Series]) -> WorkRecord {
    let absent = |reason: String| WorkRecord { reason: Some(reason), ..WorkRecord::default() };
    let Some(facts) = &basis.model else {
        return absent("the model's configuration is not known".to_owned());
    };
    let arithmetic = match Arithmetic::of(facts) {
        Ok(arithmetic) => arithmetic,
        Err(error) => return absent(error.to_string()),
    };
    let Some(flops) = counted(log, window, &arithmetic) else {
        return absent("the engine did not say how long its prompts are".to_owned());
    };
    let rate = flops.total() / window.duration().get();
    let mut work = WorkRecord {
        flops: Some(flops),
        flops_per_second: Some(rate),
        format: basis.format,
        ..WorkRecord::default()
    };
    match possible(basis.format, series) {
        Ok((devices, each, source)) => {
            work.model_flops_utilization =
                utilization(flops.total(), window.duration(), devices, each);
            work.peak_flops_per_second = Some(each * whole(devices));
            work.peak_source = Some(source);
        }
        Err(reason) => work.reason = Some(reason),
    }
    work
}

/// How many devices there are, what each can do, and who says so.
fn possible(format: Option<NumberFormat>, series: &[Series]) -> Result<(u64, f64, String), String> {
    let boards: Vec<&str> = series
        .iter()
        .filter(|it| it.device.scope == Scope::GpuBoard)
        .map(|it| it.device.name.as_str())
        .collect();
    let Some(name) = boards.first() else { return Err("no GPU was measured".to_owned()) };
    if boards.iter().any(|it| it != name) {
        return Err("the GPUs differ".to_owned());
    }
    let format = format.ok_or("the engine's number format is not known")?;
    let peak = peak(name).ok_or_else(|| format!("no peak is known for `{name}`"))?;
    let each =
        peak.dense(format).ok_or_else(|| format!("`{name}` has no peak for this number format"))?;
    Ok((count(boards.len()), each, peak.source.clone()))
}

/// Operations of what arrived in the window; none where a prompt's length is not known.
fn counted(log: &RequestLog, window: Window, arithmetic: &Arithmetic) -> Option<Flops> {
    let mut sum = Flops::default();
    for request in &log.requests {
        let (before, until) = arrived(request, window);
        if until == before {
            continue;
        }
        let prompt = request.input_tokens?;
        let prefill = if before == 0 { arithmetic.prefill(prompt, 0) } else { 0.0 };
        let decode = arithmetic.decode(prompt, until) - arithmetic.decode(prompt, before);
        sum = sum.plus(Flops { prefill, decode });
    }
    Some(sum)
}

/// Tokens of a request that had arrived at the window's begin, and at its end.
pub(super) fn arrived(request: &Request, window: Window) -> (u64, u64) {
    if request.tokens.is_empty() {
        let at_ns = request.last_token_ns.unwrap_or(request.end_ns);
        let all = request.output_tokens.unwrap_or(0);
        return if window.contains(at_ns) { (0, all) } else { (0, 0) };
    }
    let by = |ns: u64| {
        let come = request.tokens.iter().take_while(|it| it.at_ns <= ns);
        come.map(|it| u64::from(it.tokens)).sum::<u64>()
    };
    (by(window.begin_ns), by(window.end_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{ModelFacts, built_in},
        sse::TokenArrival,
    };

    fn request(times: &[u64]) -> Request {
        let tokens = times.iter().map(|&at_ns| TokenArrival { at_ns, tokens: 1 }).collect();
        Request {
            tokens,
            input_tokens: Some(100),
            output_tokens: Some(count(times.len())),
            first_token_ns: times.first().copied(),
            last_token_ns: times.last().copied(),
            ..Request::scheduled(0, 0)
        }
    }

    #[test]
    fn windows_next_to_each_other_add_up_to_the_whole_request() {
        let facts = ModelFacts::from_config(built_in("qwen2.5-7b").expect("built in"));
        let arithmetic = Arithmetic::of(&facts.expect("complete")).expect("known");
        let log =
            RequestLog { requests: vec![request(&[10, 20, 30, 40])], ..RequestLog::default() };
        let of = |begin_ns, end_ns| {
            counted(&log, Window { begin_ns, end_ns }, &arithmetic).expect("lengths are known")
        };
        let parts = of(0, 20).plus(of(20, 35)).plus(of(35, 100));
        let whole = arithmetic.request(100, 0, 4);
        assert!((parts.total() / whole.total() - 1.0).abs() < 1e-12);
        assert!((parts.prefill - whole.prefill).abs() < 1e-3);
        assert!(of(40, 100).total().abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_unknown_has_a_reason_and_no_number() {
        let window = Window { begin_ns: 0, end_ns: 100 };
        let work = of(&RequestLog::default(), window, &Basis::default(), &[]);
        assert!(work.flops.is_none() && work.reason.is_some());
    }
}
