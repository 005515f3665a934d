//! The request log: what happened to each request, in nanoseconds of one monotonic clock.
//!
//! Holds facts only; whatever is computed from them is elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sse::{CountedBy, Finish, TokenArrival};

/// All requests of one run of the load, in the order in which they were scheduled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestLog {
    /// When the load began.
    pub started_ns: u64,
    /// When the last request ended.
    pub ended_ns: u64,
    /// One entry a request, failures included.
    pub requests: Vec<Request>,
    /// Processor time of the load generator's thread, sampled over the run.
    pub cpu: Vec<CpuSample>,
    /// What the engine told of its steps, where it told any.
    #[serde(default)]
    pub steps: Vec<EngineStep>,
    /// What the client was denied or changed, for people: limits, priority, cores.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Processor time used by the client until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSample {
    /// When it was read.
    pub at_ns: u64,
    /// Processor time of the thread since it began.
    pub cpu_ns: u64,
}

/// What an engine did between two reports of its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStep {
    /// When it began: at the end of the one before.
    pub begin_ns: u64,
    /// When it ended, by the engine.
    pub end_ns: u64,
    /// Prompt tokens processed in it.
    pub prefill_tokens: u64,
    /// Tokens made in it.
    pub decode_tokens: u64,
    /// Requests in work.
    pub running: u32,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Counted from 0 over the run; the prompt is a function of it.
    pub index: u64,
    /// When it was due: by the arrival process, or when the client saw that a place in the closed loop was free.
    pub scheduled_ns: u64,
    /// When the client began to send it, connecting included; none if it never could.
    pub dispatched_ns: Option<u64>,
    /// When the first byte of the answer was received.
    pub first_byte_ns: Option<u64>,
    /// When the first token was received.
    pub first_token_ns: Option<u64>,
    /// When the last token was received.
    pub last_token_ns: Option<u64>,
    /// When the last byte was received, or the request failed.
    pub end_ns: u64,
    /// Prompt tokens by the engine's count; where it gave none, by the length of a token prompt.
    pub input_tokens: Option<u64>,
    /// Output tokens.
    pub output_tokens: Option<u64>,
    /// Where the output count came from.
    pub counted_by: Option<CountedBy>,
    /// The engine's counts contradict each other or the events.
    #[serde(default)]
    pub contradiction: bool,
    /// How it ended.
    pub status: Status,
    /// The status code of the answer's head.
    pub http_status: Option<u16>,
    /// Why generation ended, by the engine.
    pub finish: Option<Finish>,
    /// What went wrong, for people.
    pub detail: Option<String>,
    /// Output tokens by the time they came; empty where the engine can't tell.
    pub tokens: Vec<TokenArrival>,
}

/// How a request ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The answer is whole.
    Completed,
    /// The client stopped before the end.
    Cancelled,
    /// It took longer than the client waits.
    TimedOut,
    /// No connection.
    ConnectFailed,
    /// The connection broke before the answer was whole.
    ConnectionLost,
    /// The answer ended properly, but without its end mark or finish reason.
    Truncated,
    /// The engine answered with a status other than success.
    HttpError,
    /// The engine sent an error within the stream, or a worker reported the request as failed.
    EngineError,
    /// The answer does not follow its protocol.
    Malformed,
}

impl Request {
    /// An entry for a request that is due and of which nothing else is known.
    pub fn scheduled(index: u64, scheduled_ns: u64) -> Self {
        Self {
            index,
            scheduled_ns,
            dispatched_ns: None,
            first_byte_ns: None,
            first_token_ns: None,
            last_token_ns: None,
            end_ns: scheduled_ns,
            input_tokens: None,
            output_tokens: None,
            counted_by: None,
            contradiction: false,
            status: Status::Cancelled,
            http_status: None,
            finish: None,
            detail: None,
            tokens: Vec::new(),
        }
    }

    /// Whether the whole answer came.
    pub fn is_completed(&self) -> bool {
        self.status == Status::Completed
    }

    /// Seconds from schedule to first token.
    pub fn time_to_first_token(&self) -> Option<f64> {
        self.first_token_ns.map(|at| seconds(self.scheduled_ns, at))
    }

    /// Seconds for each output token after the first; none below two tokens.
    pub fn time_per_output_token(&self) -> Option<f64> {
        let gaps = self.output_tokens?.checked_sub(1).filter(|gaps| *gaps > 0)?;
        Some(seconds(self.first_token_ns?, self.last_token_ns?) / real(gaps))
    }

    /// Seconds from schedule to last byte, for a whole answer.
    pub fn request_latency(&self) -> Option<f64> {
        self.is_completed().then(|| seconds(self.scheduled_ns, self.end_ns))
    }

    /// Seconds from schedule to dispatch.
    pub fn dispatch_delay(&self) -> Option<f64> {
        self.dispatched_ns.map(|at| seconds(self.scheduled_ns, at))
    }
}

impl RequestLog {
    /// Processor seconds of the client within a span, interpolated between samples; none outside them.
    pub fn client_cpu_seconds(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        Some((self.cpu_at(to_ns)? - self.cpu_at(from_ns)?) / 1e9)
    }

    fn cpu_at(&self, at_ns: u64) -> Option<f64> {
        let after = self.cpu.iter().position(|sample| sample.at_ns >= at_ns)?;
        let right = self.cpu[after];
        if right.at_ns == at_ns {
            return Some(real(right.cpu_ns));
        }
        let left = self.cpu[after.checked_sub(1)?];
        let share = real(at_ns - left.at_ns) / real(right.at_ns - left.at_ns);
        Some(real(left.cpu_ns) + share * real(right.cpu_ns.saturating_sub(left.cpu_ns)))
    }
}

/// Seconds between two times; negative where the second comes first.
pub(super) fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    if to_ns >= from_ns { real(to_ns - from_ns) / 1e9 } else { -real(from_ns - to_ns) / 1e9 }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts and times of a run are far below 2^53"
)]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_count_from_the_schedule_and_output_time_from_the_second_token() {
        let request = Request {
            dispatched_ns: Some(2_000_000_000),
            first_token_ns: Some(3_000_000_000),
            last_token_ns: Some(5_000_000_000),
            end_ns: 6_000_000_000,
            output_tokens: Some(5),
            status: Status::Completed,
            ..Request::scheduled(0, 1_000_000_000)
        };
        assert_eq!(request.dispatch_delay(), Some(1.0));
        assert_eq!(request.time_to_first_token(), Some(2.0));
        assert_eq!(request.time_per_output_token(), Some(0.5));
        assert_eq!(request.request_latency(), Some(5.0));
        assert_eq!(Request { output_tokens: Some(1), ..request }.time_per_output_token(), None);
    }

    #[test]
    fn client_time_is_interpolated_and_unknown_outside_its_samples() {
        let sample = |at_ns, cpu_ns| CpuSample { at_ns, cpu_ns };
        let log = RequestLog {
            cpu: vec![sample(0, 0), sample(100, 10), sample(200, 40)],
            ..RequestLog::default()
        };
        assert_eq!(log.client_cpu_seconds(50, 150), Some(20.0 / 1e9));
        assert_eq!(log.client_cpu_seconds(50, 250), None);
    }

    #[test]
    fn a_log_survives_its_json() {
        let request = Request {
            tokens: vec![TokenArrival { at_ns: 5, tokens: 2 }],
            counted_by: Some(CountedBy::RunningUsage),
            ..Request::scheduled(3, 4)
        };
        let log = RequestLog { requests: vec![request], ..RequestLog::default() };
        let json = serde_json::to_string(&log).unwrap();
        assert!(json.contains(r#""counted_by":"running-usage""#), "{json}");
        assert_eq!(serde_json::from_str::<RequestLog>(&json).unwrap(), log);
    }
}
