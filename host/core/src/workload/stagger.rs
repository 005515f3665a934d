//! The start of a closed loop in its steady state.
//!
//! Places that begin together with requests of one length end together too: prompts are processed in bursts, and a window
//! holds more of them or fewer by chance. In the steady state the requests in flight are at places of their work that are
//! spread evenly (the residual life of renewal theory: Cox, Renewal Theory, 1962, ch. 5), so the first request of each
//! place asks for such a rest only.

/// The conjugate of the golden ratio: its multiples are spread evenly over the unit interval however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Output tokens of the first request of a place of a closed loop whose full length is given.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a 32-bit number, rounded up"
)]
pub fn first_output_tokens(place: u32, tokens: u32) -> u32 {
    let share = (0.5 + f64::from(place) * GOLDEN).fract();
    ((share * f64::from(tokens)).ceil() as u32).clamp(1, tokens.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a pass over the weights, and of the prompt of one request more in it.
    const STEP: f64 = 0.008;
    const PROMPT: f64 = 0.008;
    /// Prompts that fit into one step.
    const PROMPTS: usize = 32;

    /// When tokens are made by a server that batches continuously, each place at once with another request of 128 tokens.
    fn tokens(places: u32, until: f64, first: impl Fn(u32) -> u32) -> Vec<f64> {
        let mut left: Vec<u32> = (0..places).map(first).collect();
        let mut waiting: Vec<usize> = (0..left.len()).collect();
        let (mut now, mut made) = (0.0, Vec::new());
        while now < until {
            let begun: Vec<usize> = waiting.drain(..waiting.len().min(PROMPTS)).collect();
            now += STEP + PROMPT * f64::from(u32::try_from(begun.len()).expect("a few"));
            for (place, left) in left.iter_mut().enumerate() {
                if !waiting.contains(&place) {
                    made.push(now);
                    *left -= 1;
                    if *left == 0 {
                        *left = 128;
                        waiting.push(place);
                    }
                }
            }
        }
        made
    }

    /// The largest relative error of the rate in windows of 10 s from 4 s on.
    fn error(first: impl Fn(u32) -> u32 + Copy) -> f64 {
        let made = tokens(256, 60.0, first);
        let rate = |from: f64, to: f64| {
            let count = made.iter().filter(|&&at| at > from && at <= to).count();
            f64::from(u32::try_from(count).expect("a count")) / (to - from)
        };
        let truth = rate(20.0, 60.0);
        (0..30)
            .map(|n| (rate(4.0 + f64::from(n), 14.0 + f64::from(n)) / truth - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn windows_over_requests_in_step_miss_the_rate_and_staggered_ones_do_not() {
        let (together, staggered) =
            (error(|_| 128), error(|place| first_output_tokens(place, 128)));
        assert!(together > 0.1, "{together}");
        assert!(staggered < 0.01, "{staggered}");
    }

    #[test]
    fn first_lengths_lie_within_the_length_and_cover_it_evenly() {
        let lengths: Vec<u32> = (0..64).map(|place| first_output_tokens(place, 128)).collect();
        assert!(lengths.iter().all(|it| (1..=128).contains(it)));
        for quarter in 0..4 {
            let within = lengths.iter().filter(|&&it| (it - 1) / 32 == quarter).count();
            assert!((14..=18).contains(&within), "{within} of 64 in quarter {quarter}");
        }
        assert_eq!(first_output_tokens(7, 1), 1);
    }
}
