//! A device whose power is written down: for tests of whatever uses a recording.
//!
//! It publishes every tenth of a second like a real counter, and answers nothing else.

use llem_core::{
    energy::{Device, Instrument, Scope},
    units::Seconds,
};

use crate::{
    clock::now_ns,
    sensor::{Fault, LaneRow, Sensor},
};

const PERIOD_NS: u64 = 100_000_000;

/// A scripted device.
#[derive(Clone, Debug, PartialEq)]
pub struct Scripted {
    /// Its name.
    pub id: String,
    /// When its power changes: monotonic time and the power in watts from then on; before the first
    /// entry it draws nothing.
    pub power: Vec<(u64, f64)>,
}

impl Scripted {
    /// Energy from the script's begin to a time, in joules.
    pub fn energy_until(&self, at_ns: u64) -> f64 {
        let ends = self.power.iter().skip(1).map(|step| step.0).chain([u64::MAX]);
        let spans = self.power.iter().zip(ends);
        spans
            .map(|(&(begin, watts), end)| {
                watts * Seconds::between(begin, end.min(at_ns)).get().max(0.0)
            })
            .sum()
    }

    fn watts_at(&self, at_ns: u64) -> f64 {
        self.power.iter().rev().find(|step| step.0 <= at_ns).map_or(0.0, |step| step.1)
    }
}

impl Sensor for Scripted {
    fn device(&self) -> Device {
        Device {
            id: self.id.clone(),
            name: "scripted".to_owned(),
            scope: Scope::GpuBoard,
            instrument: Instrument::Nvml,
            ..Device::default()
        }
    }

    fn counter(&mut self) -> Result<u64, Fault> {
        let published = now_ns() / PERIOD_NS * PERIOD_NS;
        Ok(milli(self.energy_until(published)))
    }

    fn lane(&mut self) -> LaneRow {
        let average_milliwatts = milli(self.watts_at(now_ns()));
        LaneRow { average_milliwatts, temperature: 40, utilization: 0, ..LaneRow::default() }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a script's energies are non-negative and far below 2^53 mJ"
)]
fn milli(value: f64) -> u64 {
    (value * 1e3) as u64
}
