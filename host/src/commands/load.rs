//! `llem load`: traffic to an endpoint that runs already, here or elsewhere. Starts no engine and measures no energy.

use std::fmt::Write as _;

use llem_core::{
    arrival::Arrival,
    latency::{Distribution, Estimate, RequestLog, Slo, Window, WindowMetrics, window_metrics},
    workload::{Form, Length, Synthetic, Workload},
};
use llem_load::{
    http::{self, Control, LoadError, Plan, Protocol, Stop, UsageRequest},
    target::{ApiKey, Target},
};
use serde::Serialize;

use super::{output, output_json};
use crate::{
    cli::{LoadArgs, PromptKind},
    diagnostics::{Failure, printable},
    exit::ExitStatus,
};

/// Ids that are ordinary tokens of practically every vocabulary.
const VOCABULARY: std::ops::Range<u32> = 1_000..30_000;

/// What a load came to.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    endpoint: String,
    model: &'a str,
    requests: usize,
    completed: usize,
    /// The first failure, for people.
    failure: Option<&'a str>,
    /// Figures between the first answers and the last request.
    metrics: WindowMetrics,
    /// What the client was denied or changed.
    notes: &'a [String],
}

/// Sends the requests and tells how they were answered.
pub(crate) fn run(args: &LoadArgs) -> Result<ExitStatus, Failure> {
    let plan = plan(args)?;
    let log = http::run(&plan, &Control::new()).map_err(|error| refused(&error))?;
    let slo = Slo {
        time_to_first_token: args.time_to_first_token.map(|it| it.as_secs_f64()),
        request_latency: args.request_latency.map(|it| it.as_secs_f64()),
        percentile: Some(args.percentile),
        ..Slo::default()
    };
    let has_bound = slo.time_to_first_token.is_some() || slo.request_latency.is_some();
    let answer = Answer {
        endpoint: plan.target.to_string(),
        model: &args.model,
        requests: log.requests.len(),
        completed: log.requests.iter().filter(|it| it.is_completed()).count(),
        failure: log
            .requests
            .iter()
            .find(|it| !it.is_completed())
            .and_then(|it| it.detail.as_deref()),
        metrics: window_metrics(
            &log,
            steady(&log, &plan.arrival),
            has_bound.then_some(&slo),
            args.seed,
        ),
        notes: &log.notes,
    };
    if args.json {
        output_json(&answer)?;
    } else {
        output(&shown(&answer))?;
    }
    let whole = answer.completed == answer.requests;
    Ok(if whole { ExitStatus::Success } else { ExitStatus::Failures })
}

fn plan(args: &LoadArgs) -> Result<Plan, Failure> {
    let target = Target::parse(&args.endpoint)
        .map_err(|it| Failure::new(ExitStatus::Usage, &it))?
        .with_authorities(args.authorities.clone())
        .with_key(args.api_key_env.as_deref().map(key).transpose()?);
    let (protocol, form) = match args.prompt {
        PromptKind::Chat => (Protocol::OpenAiChat, Form::Words),
        PromptKind::Text => (Protocol::OpenAiCompletions, Form::Words),
        PromptKind::TokenIds => (Protocol::OpenAiCompletions, Form::TokenIds),
    };
    let workload = Workload::Synthetic(Synthetic {
        vocabulary: VOCABULARY,
        input_tokens: Length::Exact(args.input_tokens),
        output_tokens: Length::Exact(args.output_tokens),
        shared_prefix_tokens: 0,
        form,
        seed: args.seed,
    });
    let arrival = match args.rate {
        Some(rate) => Arrival::Poisson { rate },
        None => Arrival::ClosedLoop { concurrency: args.concurrency },
    };
    let mut plan = Plan::new(target, protocol, &args.model, workload, arrival);
    plan.exact = args.exact;
    plan.usage = UsageRequest::Final;
    plan.seed = args.seed;
    plan.stop = Stop::After(args.requests);
    Ok(plan)
}

/// The key that an environment variable holds. Its value is never shown.
fn key(variable: &str) -> Result<ApiKey, Failure> {
    let wrong = |what: &str| {
        let message = format!("the environment variable `{variable}` {what}");
        Failure::message(ExitStatus::Usage, message)
            .hint("`--api-key-env` takes the name of a variable, not a key")
    };
    let value = std::env::var(variable).map_err(|_| wrong("is not set"))?;
    ApiKey::new(value).ok_or_else(|| wrong("holds no key"))
}

fn refused(error: &LoadError) -> Failure {
    let status = match error {
        LoadError::Arrival(_) => ExitStatus::Usage,
        _ => ExitStatus::Environment,
    };
    let failure = Failure::new(status, error);
    match error {
        LoadError::Tls(_) => failure.hint("`--authorities FILE` names certificates to trust"),
        _ => failure,
    }
}

/// From the end of the first round of a closed loop to the last request that was sent; everything where that is nothing.
fn steady(log: &RequestLog, arrival: &Arrival) -> Window {
    let round = usize::try_from(arrival.concurrency().unwrap_or(0)).unwrap_or(usize::MAX);
    let last = log.requests.iter().map(|it| it.scheduled_ns).max().unwrap_or(log.ended_ns);
    let from = log.requests.get(round).map_or(last, |it| it.scheduled_ns.saturating_sub(1));
    if arrival.concurrency().is_some() && log.requests.len() > 3 * round && from < last {
        Window { from_ns: from, to_ns: last }
    } else {
        Window {
            from_ns: log.started_ns.saturating_sub(1),
            to_ns: log.ended_ns.max(log.started_ns),
        }
    }
}

fn shown(answer: &Answer<'_>) -> String {
    let mut text = format!(
        "\n{} of {} requests answered by {} at {}\n",
        answer.completed,
        answer.requests,
        printable(answer.model),
        printable(&answer.endpoint)
    );
    let mut line = |what: &str, value: String| {
        writeln!(text, "  {what:<24}{value}").expect("a string takes everything");
    };
    let metrics = &answer.metrics;
    let rates = &metrics.throughput;
    line("output tokens/s", format!("{:.1}", rates.output_token_throughput_per_second));
    line("requests/s", format!("{:.2}", rates.request_throughput_per_second));
    let mut times = |what: &str, found: &Option<Distribution>| {
        if let Some(found) = found {
            let ms = |it: &Estimate| format!("{:.1} ms", it.point * 1e3);
            let p99 = found.p99.as_ref().map_or_else(|| "too few".to_owned(), ms);
            line(what, format!("p50 {}, p90 {}, p99 {p99}", ms(&found.p50), ms(&found.p90)));
        }
    };
    times("time to first token", &metrics.time_to_first_token);
    times("between tokens", &metrics.inter_token_latency);
    times("request", &metrics.request_latency);
    if let Some(slo) = &metrics.slo {
        let met = if slo.is_met == Some(true) { "met" } else { "missed" };
        let counts = format!("{} of {}", slo.good_requests, slo.judged_requests);
        line("objective", format!("{met}: {counts}, {:.2} good/s", slo.goodput_per_second));
    }
    line("energy", "not measured: llem did not start this engine".to_owned());
    if let Some(failure) = answer.failure {
        line("first failure", printable(failure));
    }
    for warning in &metrics.client.warnings {
        line("warning", warning.clone());
    }
    text
}

#[cfg(test)]
mod tests {
    use llem_core::latency::{Request, Status};

    use super::*;

    #[test]
    fn the_first_round_and_the_drain_are_left_out_where_there_is_enough() {
        let request = |at: u64| Request {
            end_ns: at + 10,
            status: Status::Completed,
            ..Request::scheduled(at, at)
        };
        let log = |count: u64| RequestLog {
            started_ns: 100,
            ended_ns: 100 + count + 10,
            requests: (0..count).map(|it| request(101 + it)).collect(),
            ..RequestLog::default()
        };
        let two = Arrival::ClosedLoop { concurrency: 2 };
        assert_eq!(steady(&log(8), &two), Window { from_ns: 102, to_ns: 108 });
        assert_eq!(steady(&log(6), &two), Window { from_ns: 99, to_ns: 116 });
        assert_eq!(steady(&log(8), &Arrival::Poisson { rate: 1.0 }).from_ns, 99);
    }
}
