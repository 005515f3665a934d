//! Requests that a server has but its engine doesn't: they are in the front end, in the processes that parse requests and
//! write answers. A front end that can't keep up changes throughput and energy as a slow client would.

use super::ServerFigure;
use crate::{
    latency::{RequestLog, Window},
    units::whole,
};

/// Requests in flight of which so many may be on their way.
const ON_THE_WAY: f64 = 4.0;
/// Beside those, this part of them.
const TOLERANCE: f64 = 0.1;

/// Means over a window of what client and engine had to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Requests that the client had sent and that had not ended.
    pub in_flight: f64,
    /// Those that the engine ran or had in its queue.
    pub in_engine: f64,
}

/// Whether more requests were in flight than the engine had; none where it doesn't tell.
pub fn held(figures: &[ServerFigure], log: &RequestLog, window: Window) -> Option<Held> {
    let mean = |name: &str| figures.iter().find(|it| it.target.name == name)?.mean;
    let in_engine = mean("requests_running")? + mean("requests_waiting")?;
    let in_flight = in_flight(log, window);
    (in_flight - in_engine > ON_THE_WAY + TOLERANCE * in_flight)
        .then_some(Held { in_flight, in_engine })
}

fn in_flight(log: &RequestLog, window: Window) -> f64 {
    let nanoseconds: u64 = log
        .requests
        .iter()
        .filter_map(|it| {
            let from_ns = it.dispatched_ns?.max(window.from_ns);
            Some(it.end_ns.min(window.to_ns).saturating_sub(from_ns))
        })
        .sum();
    whole(nanoseconds) / 1e9 / window.seconds()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::SeriesKind, latency::Request, server::Target};

    const SECOND: u64 = 1_000_000_000;
    const WINDOW: Window = Window { from_ns: 10 * SECOND, to_ns: 20 * SECOND };

    fn gauge(name: &str, mean: f64) -> ServerFigure {
        ServerFigure {
            target: Target { name: name.to_owned(), kind: SeriesKind::Gauge, unit: None },
            mean: Some(mean),
            least: None,
            most: None,
            increase: None,
            increase_per_second: None,
            missing: None,
        }
    }

    /// 100 places, each with one request that lasts the window and one that ended before it.
    fn log() -> RequestLog {
        let request = |dispatched, end| {
            let mut request = Request::scheduled(0, dispatched * SECOND);
            request.dispatched_ns = Some(dispatched * SECOND);
            request.end_ns = end * SECOND;
            request
        };
        let requests = (0..100).flat_map(|_| [request(2, 9), request(9, 25)]).collect();
        RequestLog { requests, ..RequestLog::default() }
    }

    #[test]
    fn requests_that_neither_run_nor_wait_are_held() {
        let figures = [gauge("requests_running", 70.0), gauge("requests_waiting", 5.0)];
        let expected = Held { in_flight: 100.0, in_engine: 75.0 };
        assert_eq!(held(&figures, &log(), WINDOW), Some(expected));
    }

    #[test]
    fn a_few_on_their_way_are_not() {
        let figures = [gauge("requests_running", 70.0), gauge("requests_waiting", 18.0)];
        assert_eq!(held(&figures, &log(), WINDOW), None);
        assert_eq!(held(&figures[..1], &log(), WINDOW), None, "its queue is unknown");
    }
}
