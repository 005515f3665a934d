//! Quantiles of latencies with bootstrap intervals that respect which request a value came from.
//!
//! Type 7 (Hyndman and Fan, 1996) on the values themselves, not on a histogram. Resamples whole
//! requests, because the token gaps of one request are not independent.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log::real;

/// A quantity with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Estimate {
    /// From the data.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The distribution of a latency over the requests of a window, in seconds.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// How many requests they came from.
    pub requests: u64,
    /// Arithmetic mean.
    pub mean: Estimate,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Median.
    pub p50: Estimate,
    /// 90th percentile.
    pub p90: Estimate,
    /// 95th percentile.
    pub p95: Estimate,
    /// 99th percentile; none below 100 requests.
    pub p99: Option<Estimate>,
    /// Why there is no 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_missing: Option<String>,
}

/// The fewest requests that support a 99th percentile.
const REQUESTS_FOR_P99: u64 = 100;
/// Values to visit over all resamples: bounds the time, not the result.
const RESAMPLING_BUDGET: usize = 5_000_000;
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

impl Distribution {
    /// Summarises groups of values, one group a request; none where there is no value.
    ///
    /// ```
    /// use llem_core::latency::Distribution;
    /// let summary = Distribution::of([[1.0], [2.0], [4.0]], 42).unwrap();
    /// assert_eq!(summary.p50.point, 2.0);
    /// assert!(summary.p99.is_none());
    /// ```
    pub fn of<G: IntoIterator<Item = f64>>(
        groups: impl IntoIterator<Item = G>,
        seed: u64,
    ) -> Option<Self> {
        let mut values: Vec<(f64, usize)> = Vec::new();
        let mut groups_with_values = 0;
        for group in groups {
            let before = values.len();
            values.extend(group.into_iter().map(|value| (value, groups_with_values)));
            groups_with_values += usize::from(values.len() > before);
        }
        values.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let (first, last) = (values.first()?.0, values.last()?.0);
        let requests = length(groups_with_values);
        let point = Statistics::of(&values, &vec![1; groups_with_values]);
        let resamples = resample(&values, groups_with_values, seed);
        let estimate = |pick: fn(&Statistics) -> f64| {
            interval(pick(&point), resamples.iter().map(pick).collect())
        };
        let has_p99 = requests >= REQUESTS_FOR_P99;
        Some(Self {
            count: length(values.len()),
            requests,
            mean: estimate(|statistics| statistics.mean),
            min: first,
            max: last,
            p50: estimate(|statistics| statistics.quantiles[0]),
            p90: estimate(|statistics| statistics.quantiles[1]),
            p95: estimate(|statistics| statistics.quantiles[2]),
            p99: has_p99.then(|| estimate(|statistics| statistics.quantiles[3])),
            p99_missing: (!has_p99)
                .then(|| format!("needs {REQUESTS_FOR_P99} requests, the window has {requests}")),
        })
    }
}

struct Statistics {
    mean: f64,
    quantiles: [f64; 4],
}

impl Statistics {
    /// Of sorted values, each taken as often as its group's weight says; the total weight is above zero.
    fn of(sorted: &[(f64, usize)], weights: &[u32]) -> Self {
        let (mut total, mut sum) = (0_u64, 0.0);
        for (value, group) in sorted {
            let weight = weights[*group];
            total += u64::from(weight);
            sum += value * f64::from(weight);
        }
        // A resample may miss every value only if there are none.
        let ranks = QUANTILES.map(|quantile| real(total.saturating_sub(1)) * quantile);
        let mut quantiles = [f64::NAN; 4];
        let (mut seen, mut pending, mut below) = (0_u64, 0, f64::NAN);
        for (value, group) in sorted {
            let weight = weights[*group];
            if weight == 0 {
                continue;
            }
            seen += u64::from(weight);
            // Places `seen - weight .. seen` of the expanded sample hold this value.
            while pending < ranks.len() && real(seen - 1) >= ranks[pending] {
                let fraction = ranks[pending].fract();
                let starts_here = real(seen - u64::from(weight)) <= ranks[pending].floor();
                quantiles[pending] = if starts_here || fraction == 0.0 {
                    *value
                } else {
                    below + fraction * (value - below)
                };
                pending += 1;
            }
            below = *value;
        }
        Self { mean: sum / real(total), quantiles }
    }
}

fn resample(sorted: &[(f64, usize)], groups: usize, seed: u64) -> Vec<Statistics> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let resamples = (RESAMPLING_BUDGET / sorted.len().max(1)).clamp(100, 1000);
    let mut weights = vec![0_u32; groups];
    (0..resamples)
        .map(|_| {
            weights.fill(0);
            for _ in 0..groups {
                weights[rng.random_range(0..groups)] += 1;
            }
            Statistics::of(sorted, &weights)
        })
        .collect()
}

/// The percentile interval of resampled statistics.
fn interval(point: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_unstable_by(f64::total_cmp);
    Estimate { point, low: quantile(&resampled, 0.025), high: quantile(&resampled, 0.975) }
}

/// The type 7 quantile of sorted values, which are not empty.
pub(super) fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let rank = real(length(sorted.len() - 1)) * probability;
    let lower = whole(rank);
    let below = sorted[lower];
    let above = sorted.get(lower + 1).copied().unwrap_or(below);
    below + rank.fract() * (above - below)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank within a sample"
)]
fn whole(rank: f64) -> usize {
    rank as usize
}

pub(super) fn length(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::Rng;

    use super::*;

    #[test]
    fn quantiles_are_of_type_7() {
        let values: Vec<[f64; 1]> = (1..=10_u32).map(|value| [f64::from(value)]).collect();
        let summary = Distribution::of(values, 1).unwrap();
        assert!((summary.p50.point - 5.5).abs() < 1e-12);
        assert!((summary.p90.point - 9.1).abs() < 1e-12);
        assert!((summary.p95.point - 9.55).abs() < 1e-12);
        assert_eq!(summary.p99_missing.as_deref(), Some("needs 100 requests, the window has 10"));
    }

    #[test]
    fn a_99th_percentile_needs_100_requests_not_100_values() {
        let many_values = Distribution::of([vec![1.0; 500]], 1).unwrap();
        assert!(many_values.p99.is_none());
        let many_requests = Distribution::of(vec![[1.0]; 100], 1).unwrap();
        assert!(many_requests.p99.is_some());
    }

    #[test]
    fn groups_without_values_are_no_requests_and_nothing_gives_nothing() {
        assert_eq!(Distribution::of([vec![1.0, 2.0], vec![]], 1).unwrap().requests, 1);
        assert_eq!(Distribution::of([Vec::<f64>::new()], 1), None);
    }

    #[test]
    fn values_of_one_request_widen_the_interval_more_than_values_of_many() {
        let clustered = Distribution::of((0..20_u32).map(|id| vec![f64::from(id); 50]), 1).unwrap();
        let apart = Distribution::of((0..1000_u32).map(|id| [f64::from(id / 50)]), 1).unwrap();
        let width = |estimate: Estimate| estimate.high - estimate.low;
        assert!(
            width(clustered.p50) > 3.0 * width(apart.p50),
            "{:?} {:?}",
            clustered.p50,
            apart.p50
        );
    }

    #[test]
    fn the_interval_of_a_median_covers_the_truth_about_as_often_as_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let covered = (0..200)
            .filter(|seed| {
                let sample: Vec<[f64; 1]> = (0..60).map(|_| [rng.random::<f64>()]).collect();
                let median = Distribution::of(sample, *seed).unwrap().p50;
                median.low <= 0.5 && 0.5 <= median.high
            })
            .count();
        assert!((180..=199).contains(&covered), "{covered} of 200");
    }

    proptest! {
        #[test]
        fn quantiles_equal_the_plain_formula_are_ordered_and_within_the_data(
            values in proptest::collection::vec(-1e3_f64..1e3, 1..150), seed: u64,
        ) {
            let summary = Distribution::of(values.iter().map(|value| [*value]), seed).unwrap();
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            for (found, probability) in [(summary.p50, 0.5), (summary.p90, 0.9), (summary.p95, 0.95)] {
                prop_assert!((found.point - quantile(&sorted, probability)).abs() < 1e-9);
                prop_assert!(found.low <= found.high);
            }
            let points = [summary.min, summary.p50.point, summary.p90.point, summary.p95.point, summary.max];
            prop_assert!(points.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
