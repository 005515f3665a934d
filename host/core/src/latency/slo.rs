//! Service-level objectives, judged afterwards from the log: they never change what runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    distribution::length,
    log::{Request, real, seconds},
};

/// Bounds that a request must meet, in seconds; an absent bound always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Slo {
    /// Bound of the time to first token.
    #[serde(rename = "time_to_first_token_seconds")]
    pub time_to_first_token: Option<f64>,
    /// Bound of the time for each output token after the first.
    #[serde(rename = "time_per_output_token_seconds")]
    pub time_per_output_token: Option<f64>,
    /// Bound of every gap between consecutive chunks of the request.
    #[serde(rename = "inter_token_latency_seconds")]
    pub inter_token_latency: Option<f64>,
    /// Bound of the whole request.
    #[serde(rename = "request_latency_seconds")]
    pub request_latency: Option<f64>,
    /// Percentage of requests that must meet every bound for the objective to be met.
    pub percentile: Option<f64>,
}

/// How the requests of a window fare against an objective.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct SloVerdict {
    /// Requests that meet every bound.
    pub good_requests: u64,
    /// Requests judged, failures included.
    pub judged_requests: u64,
    /// Their ratio; none without requests.
    pub attainment_ratio: Option<f64>,
    /// Good requests a second of the window.
    pub goodput_per_second: f64,
    /// Whether enough requests meet every bound; none without a percentile or without requests.
    pub is_met: Option<bool>,
}

impl Slo {
    /// Whether a request meets every bound. A failed request meets none; a time that the request can't have, such
    /// as the time for each token after the first of a single token, is no violation.
    ///
    /// ```
    /// use llem_core::latency::{Request, Slo, Status};
    /// let slo = Slo { time_to_first_token: Some(0.5), ..Slo::default() };
    /// let mut request = Request::scheduled(0, 0);
    /// request.first_token_ns = Some(400_000_000);
    /// assert!(!slo.is_met_by(&request));
    /// request.status = Status::Completed;
    /// assert!(slo.is_met_by(&request));
    /// ```
    pub fn is_met_by(&self, request: &Request) -> bool {
        let within = |found: Option<f64>, bound: Option<f64>| match (found, bound) {
            (_, None) => true,
            (Some(found), Some(bound)) => found <= bound,
            (None, Some(_)) => false,
        };
        let single_token = request.output_tokens.is_some_and(|tokens| tokens < 2);
        request.is_completed()
            && within(request.time_to_first_token(), self.time_to_first_token)
            && (single_token || within(request.time_per_output_token(), self.time_per_output_token))
            && self.inter_token_latency.is_none_or(|bound| longest_gap(request) <= bound)
            && within(request.request_latency(), self.request_latency)
    }

    /// The verdict over two sets of requests together, in windows of so many seconds in all.
    #[must_use]
    pub fn together(&self, one: &SloVerdict, other: &SloVerdict, seconds: f64) -> SloVerdict {
        let good = one.good_requests + other.good_requests;
        self.verdict(good, one.judged_requests + other.judged_requests, seconds)
    }

    pub(super) fn judge<'a>(
        &self,
        requests: impl Iterator<Item = &'a Request>,
        window_seconds: f64,
    ) -> SloVerdict {
        let (mut good, mut judged) = (0_usize, 0_usize);
        for request in requests {
            judged += 1;
            good += usize::from(self.is_met_by(request));
        }
        self.verdict(length(good), length(judged), window_seconds)
    }

    fn verdict(&self, good_requests: u64, judged_requests: u64, seconds: f64) -> SloVerdict {
        let judged = judged_requests;
        let attainment_ratio = (judged > 0).then(|| real(good_requests) / real(judged_requests));
        SloVerdict {
            good_requests,
            judged_requests,
            attainment_ratio,
            goodput_per_second: real(good_requests) / seconds,
            is_met: attainment_ratio
                .zip(self.percentile)
                .map(|(ratio, percentile)| ratio * 100.0 >= percentile),
        }
    }
}

/// The longest time between consecutive chunks in seconds; 0 for a single chunk.
fn longest_gap(request: &Request) -> f64 {
    let gaps = request.tokens.windows(2).map(|pair| seconds(pair[0].at_ns, pair[1].at_ns));
    gaps.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{latency::Status, sse::TokenArrival};

    fn request(first_token_ms: u64, status: Status) -> Request {
        Request {
            first_token_ns: Some(first_token_ms * 1_000_000),
            last_token_ns: Some(first_token_ms * 1_000_000),
            output_tokens: Some(1),
            status,
            ..Request::scheduled(0, 0)
        }
    }

    #[test]
    fn one_long_gap_violates_its_bound() {
        let slo = Slo { inter_token_latency: Some(0.05), ..Slo::default() };
        let chunk = |ms: u64| TokenArrival { at_ns: ms * 1_000_000, tokens: 1 };
        let mut steady = request(10, Status::Completed);
        steady.tokens = vec![chunk(10), chunk(50), chunk(100)];
        assert!(slo.is_met_by(&steady));
        steady.tokens.push(chunk(151));
        assert!(!slo.is_met_by(&steady));
    }

    #[test]
    fn failures_count_against_the_objective_and_single_tokens_do_not() {
        let slo = Slo {
            time_to_first_token: Some(0.1),
            time_per_output_token: Some(0.01),
            percentile: Some(50.0),
            ..Slo::default()
        };
        let requests = [
            request(50, Status::Completed),
            request(150, Status::Completed),
            request(50, Status::Truncated),
        ];
        let verdict = slo.judge(requests.iter(), 2.0);
        assert_eq!((verdict.good_requests, verdict.judged_requests), (1, 3));
        assert_eq!((verdict.is_met, verdict.goodput_per_second), (Some(false), 0.5));
        let parts = [slo.judge(requests[..2].iter(), 1.0), slo.judge(requests[2..].iter(), 1.0)];
        assert_eq!(slo.together(&parts[0], &parts[1], 2.0), verdict);
        assert_eq!(slo.judge(requests[..2].iter(), 2.0).is_met, Some(true));
        assert_eq!(slo.judge([].iter(), 2.0).is_met, None);
    }
}
