//! Power over time as steps, whose integral is exact.
//!
//! It is also used for anything else that accumulates, such as time under a limit.

use serde::{Deserialize, Serialize};

/// Steps of power from the origin of time on; the first one also holds before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Begin in seconds and the power in watts from then on, in ascending order.
    pub steps: Vec<(f64, f64)>,
    /// After this many seconds the steps begin again.
    #[serde(default)]
    pub repeat_seconds: Option<f64>,
}

impl Profile {
    /// The same power for ever.
    pub fn constant(watts: f64) -> Self {
        Self { steps: vec![(0.0, watts)], repeat_seconds: None }
    }

    /// Two powers in turn, each for half of a period.
    pub fn square(low: f64, high: f64, period_seconds: f64) -> Self {
        let steps = vec![(0.0, low), (period_seconds / 2.0, high)];
        Self { steps, repeat_seconds: Some(period_seconds) }
    }

    /// Appends a step that lasts for `seconds` to a profile that does not repeat; gives its end.
    pub fn push(&mut self, begin: f64, seconds: f64, watts: f64) -> f64 {
        self.steps.push((begin, watts));
        begin + seconds
    }

    /// Appends a load as an inference server makes it, decoding with bursts of prefill, from `begin`
    /// for `seconds`; gives its end.
    pub fn serve(&mut self, begin: f64, seconds: f64, random: &mut Random) -> f64 {
        let end = begin + seconds;
        let mut at = begin;
        while at < end {
            self.steps.push((at, 460.0 + 40.0 * random.unit()));
            at += 0.1 + 0.5 * random.unit();
            if at < end {
                self.steps.push((at, 640.0 + 60.0 * random.unit()));
                at += 0.03 + 0.12 * random.unit();
            }
        }
        end
    }

    /// Energy in joules from the origin to a time in seconds; negative before it.
    pub fn energy(&self, at: f64) -> f64 {
        let Some(&(_, first)) = self.steps.first() else { return 0.0 };
        if at <= 0.0 {
            return first * at;
        }
        match self.repeat_seconds {
            Some(period) => {
                let turns = (at / period).floor();
                turns * self.once(period) + self.once(at - turns * period)
            }
            None => self.once(at),
        }
    }

    fn once(&self, at: f64) -> f64 {
        let ends = self.steps.iter().skip(1).map(|step| step.0).chain([f64::INFINITY]);
        let spans = self.steps.iter().zip(ends).take_while(|(step, _)| step.0 < at);
        spans.map(|(&(begin, watts), end)| watts * (end.min(at) - begin)).sum()
    }

    /// Value at a time.
    pub fn value(&self, at: f64) -> f64 {
        let at = self.repeat_seconds.map_or(at, |period| at.rem_euclid(period));
        let index = self.steps.partition_point(|step| step.0 <= at).saturating_sub(1);
        self.steps.get(index).map_or(0.0, |step| step.1)
    }
}

/// A small reproducible random sequence (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, all bits of it.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number between 0 and 1.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// The next number of a standard normal distribution, to a good approximation.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_of_a_repeating_profile_is_exact() {
        let profile = Profile::square(100.0, 300.0, 2.0);
        assert!((profile.energy(5.5) - (2.0 * 400.0 + 100.0 + 0.5 * 300.0)).abs() < 1e-9);
        assert!((profile.energy(-1.0) + 100.0).abs() < 1e-9);
        assert!((profile.value(3.5) - 300.0).abs() < 1e-9);
    }

    #[test]
    fn random_numbers_repeat_by_seed_and_stay_in_range() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..100 {
            let unit = a.unit();
            assert!((0.0..1.0).contains(&unit));
            assert_eq!(unit.to_bits(), b.unit().to_bits());
        }
    }
}
