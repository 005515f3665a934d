//! The metrics of one measurement window over the request log of a whole run.
//!
//! Tokens count where they were received, latencies where their request was scheduled. Knows nothing
//! of energy: whoever divides by it takes the counts from here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    distribution::{Distribution, length, quantile},
    log::{Request, RequestLog, Status, real, seconds},
    slo::{Slo, SloVerdict},
};

/// A span of the monotonic clock; what happens at its start is outside, what happens at its end inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Window {
    /// Start, nanoseconds.
    pub from_ns: u64,
    /// End, nanoseconds.
    pub to_ns: u64,
}

impl Window {
    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        seconds(self.from_ns, self.to_ns)
    }

    pub(super) fn holds(&self, at_ns: u64) -> bool {
        self.from_ns < at_ns && at_ns <= self.to_ns
    }
}

/// Everything that the log says about a window.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct WindowMetrics {
    /// Its length in seconds.
    pub window_seconds: f64,
    /// Output tokens received in the window.
    pub output_tokens: u64,
    /// Prompt tokens of the requests whose first token was received in the window; none where an engine didn't say.
    pub input_tokens: Option<u64>,
    /// Requests whose whole answer ended in the window.
    pub completed_requests: u64,
    /// Requests scheduled in the window.
    pub scheduled_requests: u64,
    /// How the requests that were scheduled in the window ended.
    pub statuses: BTreeMap<Status, u64>,
    /// Rates over the window.
    #[serde(flatten)]
    pub throughput: Throughput,
    /// From schedule to first token.
    #[serde(rename = "time_to_first_token_seconds")]
    pub time_to_first_token: Option<Distribution>,
    /// Between consecutive tokens of one request; tokens that came together have gaps of zero.
    #[serde(rename = "inter_token_latency_seconds")]
    pub inter_token_latency: Option<Distribution>,
    /// Between consecutive chunks of one request, however many tokens they held.
    #[serde(rename = "inter_chunk_latency_seconds")]
    pub inter_chunk_latency: Option<Distribution>,
    /// From first to last token over the tokens after the first.
    #[serde(rename = "time_per_output_token_seconds")]
    pub time_per_output_token: Option<Distribution>,
    /// From schedule to last byte of whole answers.
    #[serde(rename = "request_latency_seconds")]
    pub request_latency: Option<Distribution>,
    /// How the requests fare against the objective, where there is one.
    pub slo: Option<SloVerdict>,
    /// Whether the client was fast enough.
    pub client: ClientVerdict,
}

/// Rates over a window, each with what it counts in its name.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Throughput {
    /// Output tokens received a second.
    pub output_token_throughput_per_second: f64,
    /// Output tokens received and prompt tokens answered for the first time, a second; none where an engine didn't
    /// say how long its prompts are.
    pub total_token_throughput_per_second: Option<f64>,
    /// Whole answers a second.
    pub request_throughput_per_second: f64,
}

/// Whether the client kept up with its own schedule.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ClientVerdict {
    /// From schedule to dispatch, seconds; none without a request.
    #[serde(rename = "dispatch_delay_seconds")]
    pub dispatch_delay: Option<Distribution>,
    /// The client's processor time over the window's length; none where it was not sampled.
    pub cpu_ratio: Option<f64>,
    /// What makes the figures doubtful, each naming the client.
    pub warnings: Vec<String>,
}

/// The longest dispatch delay that goes unmentioned, seconds.
const DISPATCH_DELAY_LIMIT: f64 = 0.001;
/// The same as a share of the time to first token.
const DISPATCH_DELAY_SHARE: f64 = 0.01;
/// The greatest share of a core that goes unmentioned.
const CPU_LIMIT: f64 = 0.5;

/// Output tokens received in a window. Requests whose engine can't tell when tokens came count at their end.
pub fn tokens_received(log: &RequestLog, window: Window) -> u64 {
    log.requests
        .iter()
        .map(|request| {
            if request.tokens.is_empty() {
                let at_ns = request.last_token_ns.unwrap_or(request.end_ns);
                return if window.holds(at_ns) { request.output_tokens.unwrap_or(0) } else { 0 };
            }
            request
                .tokens
                .iter()
                .filter(|arrival| window.holds(arrival.at_ns))
                .map(|arrival| u64::from(arrival.tokens))
                .sum()
        })
        .sum()
}

/// Computes all metrics of a window; the seed is that of the bootstrap.
pub fn window_metrics(
    log: &RequestLog,
    window: Window,
    slo: Option<&Slo>,
    seed: u64,
) -> WindowMetrics {
    let scheduled: Vec<&Request> =
        log.requests.iter().filter(|request| window.holds(request.scheduled_ns)).collect();
    let length_seconds = window.seconds();
    let output_tokens = tokens_received(log, window);
    let input_tokens = input_tokens(log, window);
    let completed = length(
        log.requests
            .iter()
            .filter(|request| request.is_completed() && window.holds(request.end_ns))
            .count(),
    );
    let mut statuses = BTreeMap::new();
    for request in &scheduled {
        *statuses.entry(request.status).or_insert(0) += 1;
    }
    let distribution = |value: fn(&Request) -> Option<f64>| {
        Distribution::of(scheduled.iter().map(|request| value(request)), seed)
    };
    let time_to_first_token = distribution(Request::time_to_first_token);
    WindowMetrics {
        window_seconds: length_seconds,
        output_tokens,
        input_tokens,
        completed_requests: completed,
        scheduled_requests: length(scheduled.len()),
        statuses,
        throughput: Throughput {
            output_token_throughput_per_second: real(output_tokens) / length_seconds,
            total_token_throughput_per_second: input_tokens
                .map(|input| real(output_tokens + input) / length_seconds),
            request_throughput_per_second: real(completed) / length_seconds,
        },
        inter_token_latency: Distribution::of(
            scheduled.iter().map(|request| token_gaps(request)),
            seed,
        ),
        inter_chunk_latency: Distribution::of(
            scheduled.iter().map(|request| chunk_gaps(request)),
            seed,
        ),
        time_per_output_token: distribution(Request::time_per_output_token),
        request_latency: distribution(Request::request_latency),
        slo: slo.map(|slo| slo.judge(scheduled.iter().copied(), length_seconds)),
        client: client_verdict(
            log,
            window,
            distribution(Request::dispatch_delay),
            time_to_first_token.as_ref(),
        ),
        time_to_first_token,
    }
}

/// Judges the requests that were scheduled in a window, without computing anything else of it.
pub fn judge(log: &RequestLog, window: Window, slo: &Slo) -> SloVerdict {
    let scheduled = log.requests.iter().filter(|request| window.holds(request.scheduled_ns));
    slo.judge(scheduled, window.seconds())
}

/// A prompt is counted when its first token shows that it was read; where no token times are known, at the end.
fn input_tokens(log: &RequestLog, window: Window) -> Option<u64> {
    log.requests
        .iter()
        .filter(|request| match request.first_token_ns {
            Some(at_ns) => window.holds(at_ns),
            None => request.is_completed() && window.holds(request.end_ns),
        })
        .map(|request| request.input_tokens)
        .sum()
}

fn chunk_gaps(request: &Request) -> impl Iterator<Item = f64> {
    request.tokens.windows(2).map(|pair| seconds(pair[0].at_ns, pair[1].at_ns))
}

pub(super) fn token_gaps(request: &Request) -> impl Iterator<Item = f64> {
    let gaps = std::iter::once(None).chain(chunk_gaps(request).map(Some));
    request.tokens.iter().zip(gaps).flat_map(|(arrival, gap)| {
        let together = usize::try_from(arrival.tokens.saturating_sub(1)).unwrap_or(usize::MAX);
        gap.into_iter().chain(std::iter::repeat_n(0.0, together))
    })
}

fn client_verdict(
    log: &RequestLog,
    window: Window,
    dispatch_delay: Option<Distribution>,
    time_to_first_token: Option<&Distribution>,
) -> ClientVerdict {
    let mut warnings = Vec::new();
    let mut delays: Vec<f64> = log
        .requests
        .iter()
        .filter(|request| window.holds(request.scheduled_ns))
        .filter_map(Request::dispatch_delay)
        .collect();
    delays.sort_unstable_by(f64::total_cmp);
    if !delays.is_empty() {
        let p99 = quantile(&delays, 0.99);
        let share = time_to_first_token.map(|first| first.p50.point * DISPATCH_DELAY_SHARE);
        if p99 > DISPATCH_DELAY_LIMIT {
            warnings.push(format!("the load generator sent 1 % of the requests more than {p99:.6} s late; 0.001 s is allowed"));
        } else if let Some(share) = share.filter(|share| p99 > *share) {
            warnings.push(format!(
                "the load generator sent 1 % of the requests more than {p99:.6} s late; 1 % of the time to first token, {share:.6} s, is allowed"
            ));
        }
    }
    let cpu_ratio =
        log.client_cpu_seconds(window.from_ns, window.to_ns).map(|cpu| cpu / window.seconds());
    if let Some(ratio) = cpu_ratio.filter(|ratio| *ratio > CPU_LIMIT) {
        warnings.push(format!(
            "the load generator used {ratio:.2} of a processor core; {CPU_LIMIT} is allowed"
        ));
    }
    ClientVerdict { dispatch_delay, cpu_ratio, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{latency::CpuSample, sse::TokenArrival};

    const MS: u64 = 1_000_000;

    /// Scheduled at `at`, first token 50 ms later, then a chunk of `tokens` each 10 ms, four chunks in all.
    fn request(at_ms: u64, tokens: u32) -> Request {
        let arrivals: Vec<TokenArrival> = (0..4)
            .map(|chunk| TokenArrival { at_ns: (at_ms + 50 + chunk * 10) * MS, tokens })
            .collect();
        Request {
            dispatched_ns: Some(at_ms * MS),
            first_token_ns: Some(arrivals[0].at_ns),
            last_token_ns: Some(arrivals[3].at_ns),
            end_ns: arrivals[3].at_ns,
            input_tokens: Some(7),
            output_tokens: Some(u64::from(tokens) * 4),
            status: Status::Completed,
            tokens: arrivals,
            ..Request::scheduled(0, at_ms * MS)
        }
    }

    fn log(requests: Vec<Request>) -> RequestLog {
        RequestLog { requests, ..RequestLog::default() }
    }

    #[test]
    fn tokens_count_where_they_came_and_latencies_where_requests_were_scheduled() {
        let log = log(vec![request(0, 1), request(40, 1)]);
        let metrics = window_metrics(&log, Window { from_ns: 20 * MS, to_ns: 110 * MS }, None, 1);
        assert_eq!(metrics.output_tokens, 4 + 3);
        let slo = Slo { request_latency: Some(0.075), ..Slo::default() };
        let window = Window { from_ns: 20 * MS, to_ns: 110 * MS };
        let judged = window_metrics(&log, window, Some(&slo), 1).slo;
        assert_eq!(Some(judge(&log, window, &slo)), judged);
        assert_eq!((metrics.scheduled_requests, metrics.completed_requests), (1, 1));
        assert_eq!(metrics.input_tokens, Some(14));
        assert!((metrics.time_to_first_token.unwrap().p50.point - 0.05).abs() < 1e-12);
        assert!((metrics.throughput.output_token_throughput_per_second - 7.0 / 0.09).abs() < 1e-9);
    }

    #[test]
    fn a_window_that_is_split_adds_up() {
        let log = log((0..20).map(|id| request(id * 13, 2)).collect());
        let part = |from: u64, to: u64| {
            tokens_received(&log, Window { from_ns: from * MS, to_ns: to * MS })
        };
        for cut in [60, 63, 100, 180] {
            assert_eq!(part(10, cut) + part(cut, 300), part(10, 300));
        }
    }

    #[test]
    fn tokens_that_came_together_have_one_gap_and_zeros() {
        let gaps: Vec<f64> = token_gaps(&request(0, 3)).collect();
        assert_eq!(gaps.len(), 11);
        assert_eq!(gaps.iter().filter(|gap| **gap == 0.0).count(), 8);
        assert!((gaps.iter().sum::<f64>() - 0.03).abs() < 1e-12);
        assert_eq!(chunk_gaps(&request(0, 3)).count(), 3);
    }

    #[test]
    fn failures_are_counted_and_give_no_latency() {
        let failed = Request {
            status: Status::TimedOut,
            tokens: vec![],
            first_token_ns: None,
            ..request(5, 1)
        };
        let metrics =
            window_metrics(&log(vec![failed]), Window { from_ns: 0, to_ns: 1000 * MS }, None, 1);
        assert_eq!(metrics.statuses, BTreeMap::from([(Status::TimedOut, 1)]));
        assert_eq!((metrics.completed_requests, metrics.request_latency), (0, None));
    }

    #[test]
    fn a_slow_client_is_named() {
        let late = Request { dispatched_ns: Some(12 * MS), ..request(10, 1) };
        let mut log = log(vec![late]);
        log.cpu =
            vec![CpuSample { at_ns: 0, cpu_ns: 0 }, CpuSample { at_ns: 100 * MS, cpu_ns: 60 * MS }];
        let client =
            window_metrics(&log, Window { from_ns: 5 * MS, to_ns: 100 * MS }, None, 1).client;
        assert_eq!(
            client.warnings,
            [
                "the load generator sent 1 % of the requests more than 0.002000 s late; 0.001 s is allowed",
                "the load generator used 0.60 of a processor core; 0.5 is allowed",
            ]
        );
    }

    #[test]
    fn a_delay_below_a_millisecond_counts_against_a_short_first_token() {
        let late = Request { dispatched_ns: Some(10 * MS + 600_000), ..request(10, 1) };
        let client =
            window_metrics(&log(vec![late]), Window { from_ns: 0, to_ns: 100 * MS }, None, 1)
                .client;
        assert!(
            client.warnings[0].contains("1 % of the time to first token"),
            "{:?}",
            client.warnings
        );
    }
}
