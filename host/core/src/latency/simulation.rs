//! Windows over a simulated server whose steady state is known, to see that ramp and drain bias nothing.
//!
//! Tests only.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Request, RequestLog, Status, Window, log::real, tokens_received, window_metrics};
use crate::sse::TokenArrival;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// Joules of each token and watts of the idle device.
const TOKEN_JOULES: f64 = 0.4;
const IDLE_WATTS: f64 = 120.0;

/// A closed loop of `streams` for `seconds`: places fill over five seconds, and after the end requests drain.
/// A request takes 200 ms to its first token and then about 20 ms for each of 99 others.
fn closed_loop(streams: u64, seconds: u64, seed: u64) -> RequestLog {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut requests = Vec::new();
    for stream in 0..streams {
        let mut now = stream * 5 * SECOND / streams;
        while now < seconds * SECOND {
            let request = simulated(now, &mut rng);
            now = request.end_ns;
            requests.push(request);
        }
    }
    requests.sort_by_key(|request| request.scheduled_ns);
    RequestLog { requests, ..RequestLog::default() }
}

fn simulated(scheduled_ns: u64, rng: &mut ChaCha8Rng) -> Request {
    let mut at_ns = scheduled_ns + 200 * MS;
    let tokens: Vec<TokenArrival> = (0..100)
        .map(|_| {
            let arrival = TokenArrival { at_ns, tokens: 1 };
            at_ns += 15 * MS + rng.random_range(0..=10 * MS);
            arrival
        })
        .collect();
    let last_ns = tokens[99].at_ns;
    Request {
        dispatched_ns: Some(scheduled_ns),
        first_token_ns: Some(tokens[0].at_ns),
        last_token_ns: Some(last_ns),
        end_ns: last_ns,
        input_tokens: Some(50),
        output_tokens: Some(100),
        status: Status::Completed,
        tokens,
        ..Request::scheduled(0, scheduled_ns)
    }
}

/// Tokens a second of one stream in the steady state: 100 in 200 ms and 99 gaps of 20 ms.
const STREAM_RATE: f64 = 100.0 / 2.18;

/// What a meter would have seen in a window: the idle power, and the energy of each token when it was made.
fn joules(log: &RequestLog, window: Window) -> f64 {
    IDLE_WATTS * window.seconds() + TOKEN_JOULES * real(tokens_received(log, window))
}

#[test]
fn throughput_and_energy_per_token_of_a_window_are_those_of_the_steady_state() {
    for (streams, seed) in [(64, 1), (256, 2)] {
        let log = closed_loop(streams, 60, seed);
        let truth = real(streams) * STREAM_RATE;
        for start in [10, 20, 25] {
            let window = Window { from_ns: start * SECOND, to_ns: (start + 30) * SECOND };
            let metrics = window_metrics(&log, window, None, 1);
            let found = metrics.throughput.output_token_throughput_per_second;
            assert!(
                (found / truth - 1.0).abs() < 0.002,
                "{streams} streams from {start} s: {found} of {truth}"
            );
            let per_token = joules(&log, window) / real(metrics.output_tokens);
            let true_per_token = IDLE_WATTS / truth + TOKEN_JOULES;
            assert!(
                (per_token / true_per_token - 1.0).abs() < 0.002,
                "{per_token} J of {true_per_token} J"
            );
            let requests = metrics.throughput.request_throughput_per_second;
            assert!((requests * 100.0 / truth - 1.0).abs() < 0.02, "{requests} requests a second");
        }
    }
}

#[test]
fn the_whole_run_with_its_ramp_and_drain_would_be_biased() {
    let log = closed_loop(64, 60, 1);
    let end = log.requests.iter().map(|request| request.end_ns).max().unwrap_or_default();
    let whole = Window { from_ns: 0, to_ns: end };
    let found = real(tokens_received(&log, whole)) / whole.seconds();
    assert!(found / (64.0 * STREAM_RATE) < 0.98, "{found}");
}
