//! What a GPU's sensors say at a time: pure functions of its description.
//!
//! Publication imitates an H100: counter, averaged and instant power change together every tenth of a
//! second; the driver samples power every 20.3 ms and keeps 119 samples.

use crate::{GpuConfig, Random};

/// Time between two of the driver's samples.
pub(crate) const SAMPLE_PERIOD: f64 = 0.020_3;
/// How many samples the driver keeps.
pub(crate) const SAMPLES_KEPT: usize = 119;
/// Span of the averaged power.
const AVERAGE_SPAN: f64 = 1.0;
/// Span of the instant power.
const INSTANT_SPAN: f64 = 0.025;
/// Energy that the counter had before the script began.
const BEFORE: f64 = 5_000_000.0;

impl GpuConfig {
    /// Energy in joules that the script took up to a time, whatever the sensors say.
    pub fn true_energy(&self, at: f64) -> f64 {
        self.power.energy(at)
    }

    /// Time of the newest publication at a time.
    pub(crate) fn published(&self, at: f64) -> f64 {
        let mut number = ((at - self.phase_seconds) / self.period_seconds).floor() + 1.0;
        loop {
            let time = self.publication(number);
            if time <= at {
                return time;
            }
            number -= 1.0;
        }
    }

    fn publication(&self, number: f64) -> f64 {
        // The low bits of the number's floating-point form are as good a seed as any.
        let mut random = Random::new(self.seed ^ number.to_bits());
        let jitter = (self.jitter_seconds * random.normal()).clamp(-0.2, 0.2);
        self.phase_seconds + number * self.period_seconds + jitter
    }

    /// The counter in millijoules.
    pub(crate) fn counter_mj(&self, at: f64) -> u64 {
        let at = self.faults.stuck_at.map_or(at, |stuck| at.min(stuck));
        if let Some(replay) = &self.replay {
            return replay.energy_mj.get(replay.row(at)).copied().unwrap_or(0);
        }
        let time = self.published(at);
        let energy = self.true_energy(time) * self.faults.counter_gain.unwrap_or(1.0);
        match self.faults.reset_at {
            Some(reset) if time >= reset => whole((energy - self.true_energy(reset)) * 1e3),
            _ => whole((BEFORE + energy) * 1e3),
        }
    }

    /// Averaged power in milliwatts.
    pub(crate) fn average_mw(&self, at: f64) -> u32 {
        if let Some(replay) = &self.replay {
            return replay.average_mw.get(replay.row(at)).copied().unwrap_or(0);
        }
        self.mean_mw(self.published(at), AVERAGE_SPAN)
    }

    /// Instant power in milliwatts.
    pub(crate) fn instant_mw(&self, at: f64) -> u32 {
        if let Some(watts) = self.faults.instant_watts {
            return small(watts * 1e3);
        }
        if let Some(replay) = &self.replay {
            return replay.instant_mw.get(replay.row(at)).copied().unwrap_or(0);
        }
        self.mean_mw(self.published(at), INSTANT_SPAN)
    }

    fn mean_mw(&self, end: f64, span: f64) -> u32 {
        small((self.true_energy(end) - self.true_energy(end - span)) / span * 1e3)
    }

    /// The driver's samples after one time and up to another, oldest first: time in seconds and power
    /// in milliwatts.
    pub(crate) fn samples(&self, since: f64, at: f64) -> Vec<(f64, u32)> {
        if let Some(replay) = &self.replay {
            let end = replay.sample_at.partition_point(|&time| time <= at);
            let begin = replay.sample_at.partition_point(|&time| time <= since);
            let rows = end.saturating_sub(SAMPLES_KEPT).max(begin)..end;
            return rows.map(|k| (replay.sample_at[k], replay.sample_mw[k])).collect();
        }
        let mut newest = (at / SAMPLE_PERIOD).floor() * SAMPLE_PERIOD;
        let mut samples = Vec::with_capacity(SAMPLES_KEPT);
        while newest > since && samples.len() < SAMPLES_KEPT {
            samples.push((newest, self.mean_mw(newest, SAMPLE_PERIOD)));
            newest -= SAMPLE_PERIOD;
        }
        samples.reverse();
        samples
    }

    /// Duration of the `number`th read of the counter.
    pub(crate) fn read_time(&self, number: u64) -> f64 {
        let share = Random::new(self.seed ^ number.rotate_left(32)).unit();
        let knots = [0.0, 0.5, 0.95, 0.99, 1.0];
        let upper = knots.iter().position(|&knot| share < knot).unwrap_or(4).max(1);
        let part = (share - knots[upper - 1]) / (knots[upper] - knots[upper - 1]);
        let (low, high) = (self.read_seconds[upper - 1], self.read_seconds[upper]);
        low + part * (high - low)
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, which is what a counter of a negative value should do"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

pub(crate) fn small(value: f64) -> u32 {
    u32::try_from(whole(value)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    #[test]
    fn the_counter_publishes_the_scripts_energy_on_its_grid() {
        let gpu = GpuConfig {
            power: Profile::constant(250.0),
            period_seconds: 0.1,
            jitter_seconds: 0.0,
            ..GpuConfig::default()
        };
        let advance = gpu.counter_mj(10.05) - gpu.counter_mj(0.05);
        assert!(advance.abs_diff(2_500_000) <= 1, "{advance}");
        assert_eq!(gpu.counter_mj(3.01), gpu.counter_mj(3.09));
        assert_eq!(gpu.average_mw(5.0), 250_000);
    }

    #[test]
    fn read_times_have_their_median() {
        let gpu = GpuConfig::default();
        let mut times: Vec<f64> = (0..1001).map(|number| gpu.read_time(number)).collect();
        times.sort_by(f64::total_cmp);
        assert!((times[500] - 0.0029).abs() < 1e-4, "{}", times[500]);
        assert!(times[1000] > 0.0156 && times[1000] <= 0.0176);
    }
}
