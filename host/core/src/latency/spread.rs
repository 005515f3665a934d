//! Whole distributions for charts: all values of a latency over windows, at shares that are the same for all.

use super::{
    log::{Request, RequestLog},
    window::{Window, token_gaps},
};

/// A latency of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// From schedule to first token.
    TimeToFirstToken,
    /// Between consecutive tokens of one request.
    InterTokenLatency,
    /// From first to last token over the tokens after the first.
    TimePerOutputToken,
    /// From schedule to last byte of whole answers.
    RequestLatency,
}

impl Latency {
    /// Seconds of the requests that were scheduled in a window, in the order of the log.
    pub fn values(self, log: &RequestLog, window: Window) -> Vec<f64> {
        let scheduled = log.requests.iter().filter(|it| window.holds(it.scheduled_ns));
        match self {
            Self::TimeToFirstToken => scheduled.filter_map(Request::time_to_first_token).collect(),
            Self::InterTokenLatency => scheduled.flat_map(token_gaps).collect(),
            Self::TimePerOutputToken => {
                scheduled.filter_map(Request::time_per_output_token).collect()
            }
            Self::RequestLatency => scheduled.filter_map(Request::request_latency).collect(),
        }
    }
}

/// The least value that at least each share of the values does not exceed: the inverse of the empirical distribution. None
/// without values.
///
/// ```
/// use llem_core::latency::at_shares;
/// let found = at_shares(vec![4.0, 1.0, 2.0], &[0.0, 0.34, 1.0]);
/// assert_eq!(found, Some(vec![1.0, 2.0, 4.0]));
/// ```
pub fn at_shares(mut values: Vec<f64>, shares: &[f64]) -> Option<Vec<f64>> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f64::total_cmp);
    let place = |share: &f64| {
        // Without the margin, 0.29 of 100 values would be more than 29 of them.
        let rank = crate::units::length(values.len()) * share.clamp(0.0, 1.0) - 1e-9;
        values[upward(rank).saturating_sub(1).min(last)]
    };
    Some(shares.iter().map(place).collect())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank within a sample"
)]
fn upward(rank: f64) -> usize {
    rank.max(0.0).ceil() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{latency::Status, sse::TokenArrival};

    #[test]
    fn values_are_those_of_requests_scheduled_in_the_window() {
        let request = |at_ns: u64| Request {
            first_token_ns: Some(at_ns + 50),
            last_token_ns: Some(at_ns + 80),
            end_ns: at_ns + 90,
            output_tokens: Some(4),
            status: Status::Completed,
            tokens: [(50, 1), (60, 2), (80, 1)]
                .map(|(after, tokens)| TokenArrival { at_ns: at_ns + after, tokens })
                .into(),
            ..Request::scheduled(0, at_ns)
        };
        let log = RequestLog { requests: vec![request(10), request(100)], ..RequestLog::default() };
        let of = |latency: Latency| {
            let values = latency.values(&log, Window { from_ns: 50, to_ns: 200 });
            values.iter().map(|it| (it * 1e9).round()).collect::<Vec<_>>()
        };
        assert_eq!(of(Latency::TimeToFirstToken), [50.0]);
        assert_eq!(of(Latency::InterTokenLatency), [10.0, 0.0, 20.0]);
        assert_eq!(of(Latency::TimePerOutputToken), [10.0]);
        assert_eq!(of(Latency::RequestLatency), [90.0]);
        assert_eq!(at_shares(Vec::new(), &[0.5]), None);
    }

    proptest! {
        #[test]
        fn a_share_is_reached_by_its_value_and_by_no_smaller_one(
            values in proptest::collection::vec(0_u32..50, 1..200), percent in 0_u32..=100,
        ) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let share = f64::from(percent) / 100.0;
            let found = at_shares(values.clone(), &[share]).unwrap()[0];
            let count = crate::units::length(values.len());
            let part = |holds: &dyn Fn(f64) -> bool| {
                crate::units::length(values.iter().filter(|it| holds(**it)).count()) / count
            };
            prop_assert!(part(&|it| it <= found) >= share - 1e-9);
            prop_assert!(percent == 0 || part(&|it| it < found) < share);
        }
    }
}
