//! A GPU that answers what a real one answered: a recording of its counter and powers.
//!
//! Between two rows the earlier row holds, as the driver's caches do.

use serde::{Deserialize, Serialize};

/// Columns of a recording, in ascending time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replay {
    /// When the counter took a value, in seconds.
    pub at: Vec<f64>,
    /// The counter in millijoules.
    pub energy_mj: Vec<u64>,
    /// Averaged power in milliwatts.
    pub average_mw: Vec<u32>,
    /// Instant power in milliwatts.
    pub instant_mw: Vec<u32>,
    /// When the driver took power samples, in seconds.
    pub sample_at: Vec<f64>,
    /// The samples in milliwatts.
    pub sample_mw: Vec<u32>,
}

impl Replay {
    /// Reads `at_seconds,energy_mj[,average_mw,instant_mw]` with a heading.
    pub fn from_csv(text: &str) -> Self {
        let mut replay = Self::default();
        for line in text.lines().skip(1) {
            let mut cells = line.split(',');
            let (Some(Ok(at)), Some(Ok(energy))) =
                (cells.next().map(str::parse), cells.next().map(str::parse))
            else {
                continue;
            };
            replay.at.push(at);
            replay.energy_mj.push(energy);
            replay.average_mw.extend(cells.next().and_then(|cell| cell.parse::<u32>().ok()));
            replay.instant_mw.extend(cells.next().and_then(|cell| cell.parse::<u32>().ok()));
        }
        replay
    }

    /// The row that holds at a time.
    pub(crate) fn row(&self, at: f64) -> usize {
        self.at.partition_point(|&time| time <= at).saturating_sub(1)
    }

    /// Time of the last row.
    pub fn end(&self) -> f64 {
        self.at.last().copied().unwrap_or(0.0)
    }

    /// Energy in joules by the recording between the rows that hold at two times.
    pub fn energy(&self, from: f64, to: f64) -> f64 {
        let at = |time: f64| self.energy_mj.get(self.row(time)).copied().unwrap_or(0);
        f64::from(u32::try_from(at(to).saturating_sub(at(from))).unwrap_or(u32::MAX)) / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_and_held_between_its_rows() {
        let replay = Replay::from_csv("at_seconds,energy_mj,average_mw\n0.0,100,5\n0.1,350,6\n");
        assert_eq!(replay.average_mw, [5, 6]);
        assert_eq!((replay.row(0.05), replay.row(0.1), replay.row(9.0)), (0, 1, 1));
        assert!((replay.energy(0.0, 0.2) - 0.25).abs() < 1e-12);
    }
}
