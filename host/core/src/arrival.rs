//! When requests arrive: seeded schedules as iterators of offsets from the start of the load.
//!
//! Open-loop processes know nothing of the server's answers; a closed loop has no schedule, because
//! its next request waits for an answer. Nothing here sends anything.

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp, Gamma};
use serde::{Deserialize, Serialize};

/// How requests arrive at the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "process", rename_all = "kebab-case")]
pub enum Arrival {
    /// A fixed number in flight; the next starts when one ends.
    ClosedLoop {
        /// Requests in flight.
        concurrency: u32,
    },
    /// Equal gaps.
    Constant {
        /// Requests per second.
        rate: f64,
    },
    /// Exponential gaps.
    Poisson {
        /// Requests per second, on average.
        rate: f64,
    },
    /// Gamma gaps of shape `1 / burstiness²`: 1 is Poisson, 0 nears constant gaps, above 1 comes in bursts.
    Gamma {
        /// Requests per second, on average.
        rate: f64,
        /// Coefficient of variation of the gaps.
        burstiness: f64,
    },
    /// A rate that changes linearly, then stays.
    Ramp {
        /// Requests per second at the start.
        from: f64,
        /// Requests per second after `over`.
        to: f64,
        /// How long the change takes, in seconds.
        over_seconds: f64,
    },
    /// Given offsets from the start, in seconds, in any order.
    Trace {
        /// One offset a request.
        offsets_seconds: Vec<f64>,
        /// From one start of the trace to the next, in seconds; none: it ends.
        #[serde(default)]
        period_seconds: Option<f64>,
    },
}

/// Why an arrival process can't be scheduled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ArrivalError {
    /// A closed loop of nothing.
    #[error("`concurrency` must be at least 1")]
    NoConcurrency,
    /// A number that is no rate, spread or time.
    #[error("`{name}` must be a finite number above {least}, found {found}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// What it must exceed.
        least: f64,
        /// What was given.
        found: f64,
    },
    /// An offset before the start, or no number.
    #[error("trace offset {index} must be a finite number of seconds, not negative, found {found}")]
    BadOffset {
        /// Its position in the trace.
        index: usize,
        /// What was given.
        found: f64,
    },
}

impl Arrival {
    /// The most requests in flight, where the process bounds them.
    pub fn concurrency(&self) -> Option<u32> {
        match self {
            Self::ClosedLoop { concurrency } => Some(*concurrency),
            _ => None,
        }
    }

    /// The schedule for a seed, without end except for a trace; none for a closed loop.
    ///
    /// ```
    /// use llem_core::arrival::Arrival;
    /// let offsets = Arrival::Constant { rate: 4.0 }.offsets(1).unwrap().unwrap();
    /// let first: Vec<f64> = offsets.take(3).map(|offset| offset.as_secs_f64()).collect();
    /// assert_eq!(first, [0.0, 0.25, 0.5]);
    /// ```
    pub fn offsets(&self, seed: u64) -> Result<Option<Offsets>, ArrivalError> {
        let gaps = match self {
            Self::ClosedLoop { concurrency: 0 } => return Err(ArrivalError::NoConcurrency),
            Self::ClosedLoop { .. } => return Ok(None),
            Self::Constant { rate } => Gaps::Constant(above("rate", *rate, 0.0)?),
            Self::Poisson { rate } => {
                let rate = above("rate", *rate, 0.0)?;
                Gaps::Poisson(Exp::new(rate).map_err(|_| ArrivalError::OutOfRange {
                    name: "rate",
                    least: 0.0,
                    found: rate,
                })?)
            }
            Self::Gamma { rate, burstiness } => {
                let variance = above("burstiness", *burstiness, 0.0)?.powi(2);
                let rate = above("rate", *rate, 0.0)?;
                Gaps::Gamma(Gamma::new(1.0 / variance, variance / rate).map_err(|_| {
                    ArrivalError::OutOfRange { name: "burstiness", least: 0.0, found: *burstiness }
                })?)
            }
            Self::Ramp { from, to, over_seconds } => Gaps::Ramp {
                from: above("from", *from, -f64::MIN_POSITIVE)?,
                to: above("to", *to, 0.0)?,
                over: above("over_seconds", *over_seconds, 0.0)?,
            },
            Self::Trace { offsets_seconds, period_seconds } => {
                let offsets = sorted(offsets_seconds)?;
                let last = offsets.last().copied().unwrap_or(0.0);
                // A round must be over before the next begins, or offsets would decrease.
                let period = period_seconds.map(|it| above("period_seconds", it, last));
                Gaps::Trace { offsets, period: period.transpose()?, next: 0, round_at: 0.0 }
            }
        };
        Ok(Some(Offsets { gaps, rng: ChaCha8Rng::seed_from_u64(seed), made: 0.0, at: 0.0 }))
    }
}

fn above(name: &'static str, found: f64, least: f64) -> Result<f64, ArrivalError> {
    if found.is_finite() && found > least {
        Ok(found)
    } else {
        Err(ArrivalError::OutOfRange { name, least, found })
    }
}

fn sorted(offsets: &[f64]) -> Result<Vec<f64>, ArrivalError> {
    if let Some((index, found)) =
        offsets.iter().enumerate().find(|(_, at)| !at.is_finite() || **at < 0.0)
    {
        return Err(ArrivalError::BadOffset { index, found: *found });
    }
    let mut sorted = offsets.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

/// A schedule: offsets from the start that never decrease.
#[derive(Clone, Debug)]
pub struct Offsets {
    gaps: Gaps,
    rng: ChaCha8Rng,
    /// Arrivals so far; a float, since it is only ever divided.
    made: f64,
    at: f64,
}

#[derive(Clone, Debug)]
enum Gaps {
    Constant(f64),
    Poisson(Exp<f64>),
    Gamma(Gamma<f64>),
    Ramp { from: f64, to: f64, over: f64 },
    Trace { offsets: Vec<f64>, period: Option<f64>, next: usize, round_at: f64 },
}

impl Iterator for Offsets {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at = match &mut self.gaps {
            Gaps::Constant(rate) => self.made / *rate,
            Gaps::Poisson(gap) => self.at + gap.sample(&mut self.rng),
            Gaps::Gamma(gap) => self.at + gap.sample(&mut self.rng),
            Gaps::Ramp { from, to, over } => ramp(self.made, *from, *to, *over),
            Gaps::Trace { offsets, period, next, round_at } => {
                if *next == offsets.len() {
                    *next = 0;
                    *round_at += (*period)?;
                }
                let offset = offsets.get(*next)?;
                *next += 1;
                *round_at + offset
            }
        };
        self.made += 1.0;
        Some(Duration::try_from_secs_f64(self.at).unwrap_or(Duration::MAX))
    }
}

/// When the integral of the rate reaches `count`: the positive root of `from·t + (to − from)·t²/(2·over)`,
/// in the form that does not cancel when the rate hardly changes.
fn ramp(count: f64, from: f64, to: f64, over: f64) -> f64 {
    let in_ramp = f64::midpoint(from, to) * over;
    if count >= in_ramp {
        return over + (count - in_ramp) / to;
    }
    let slope = (to - from) / over;
    let root = (from * from + 2.0 * slope * count).max(0.0).sqrt();
    if root + from > 0.0 { 2.0 * count / (from + root) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gaps(arrival: &Arrival, count: usize) -> Vec<f64> {
        let offsets: Vec<f64> =
            arrival.offsets(7).unwrap().unwrap().take(count).map(|at| at.as_secs_f64()).collect();
        offsets.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn mean_and_variation(gaps: &[f64]) -> (f64, f64) {
        let count = f64::from(u32::try_from(gaps.len()).unwrap());
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn gaps_have_the_mean_and_the_variation_of_their_process() {
        for (arrival, variation) in [
            (Arrival::Constant { rate: 50.0 }, 0.0),
            (Arrival::Poisson { rate: 50.0 }, 1.0),
            (Arrival::Gamma { rate: 50.0, burstiness: 0.5 }, 0.5),
            (Arrival::Gamma { rate: 50.0, burstiness: 2.0 }, 2.0),
        ] {
            let (mean, found) = mean_and_variation(&gaps(&arrival, 40_000));
            assert!((mean * 50.0 - 1.0).abs() < 0.04, "{arrival:?}: mean gap {mean}");
            assert!((found - variation).abs() < 0.05, "{arrival:?}: variation {found}");
        }
    }

    #[test]
    fn poisson_gaps_pass_a_kolmogorov_test_against_the_exponential() {
        let mut gaps = gaps(&Arrival::Poisson { rate: 3.0 }, 10_000);
        gaps.sort_by(f64::total_cmp);
        let count = f64::from(u32::try_from(gaps.len()).unwrap());
        let distance = gaps
            .iter()
            .zip(1_u32..)
            .map(|(gap, rank)| (1.0 - (-3.0 * gap).exp() - f64::from(rank) / count).abs())
            .fold(0.0, f64::max);
        assert!(distance < 1.63 / count.sqrt(), "distance {distance}");
    }

    #[test]
    fn a_ramp_has_its_rates_at_both_ends_and_the_right_count() {
        let ramp = Arrival::Ramp { from: 10.0, to: 100.0, over_seconds: 20.0 };
        let offsets: Vec<f64> =
            ramp.offsets(0).unwrap().unwrap().take(2000).map(|at| at.as_secs_f64()).collect();
        assert_eq!(offsets.iter().filter(|at| **at < 20.0).count(), 1100);
        assert!((offsets[1] - 0.1).abs() < 0.003, "{}", offsets[1]);
        assert!((offsets[1999] - offsets[1998] - 0.01).abs() < 1e-9);
    }

    #[test]
    fn a_trace_is_replayed_in_order_and_ends_or_begins_anew() {
        let trace =
            |period_seconds| Arrival::Trace { offsets_seconds: vec![2.0, 0.5], period_seconds };
        let offsets: Vec<Duration> = trace(None).offsets(0).unwrap().unwrap().collect();
        assert_eq!(offsets, [Duration::from_millis(500), Duration::from_secs(2)]);
        let rounds: Vec<f64> = trace(Some(3.0))
            .offsets(0)
            .unwrap()
            .unwrap()
            .take(5)
            .map(|it| it.as_secs_f64())
            .collect();
        assert_eq!(rounds, [0.5, 2.0, 3.5, 5.0, 6.5]);
        assert!(trace(Some(2.0)).offsets(0).is_err(), "rounds would overlap");
    }

    #[test]
    fn impossible_parameters_are_named() {
        for (arrival, message) in [
            (Arrival::ClosedLoop { concurrency: 0 }, "`concurrency` must be at least 1"),
            (Arrival::Poisson { rate: 0.0 }, "`rate` must be a finite number above 0, found 0"),
            (
                Arrival::Gamma { rate: 1.0, burstiness: f64::NAN },
                "`burstiness` must be a finite number above 0, found NaN",
            ),
            (
                Arrival::Trace { offsets_seconds: vec![-1.0], period_seconds: None },
                "trace offset 0 must be a finite number of seconds, not negative, found -1",
            ),
        ] {
            assert_eq!(arrival.offsets(0).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn offsets_never_decrease_and_depend_on_the_seed_alone(
            rate in 0.01_f64..1e5, burstiness in 0.05_f64..5.0, seed: u64,
        ) {
            for arrival in [
                Arrival::Constant { rate },
                Arrival::Poisson { rate },
                Arrival::Gamma { rate, burstiness },
                Arrival::Ramp { from: rate, to: rate / 3.0, over_seconds: 2.0 },
                Arrival::Ramp { from: 0.0, to: rate, over_seconds: 2.0 },
            ] {
                let first: Vec<_> = arrival.offsets(seed).unwrap().unwrap().take(200).collect();
                let again: Vec<_> = arrival.offsets(seed).unwrap().unwrap().take(200).collect();
                prop_assert_eq!(&first, &again);
                prop_assert!(first.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", arrival);
            }
        }
    }
}
