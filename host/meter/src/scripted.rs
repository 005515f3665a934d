//! A device whose power is written down: for tests of whatever uses a recording.
//!
//! Its recording is what an ideal instrument would give: publications every tenth of a second, each at its very time,
//! however late the thread that writes them is. Two recordings of one script thus give the same energies.

use llem_core::{
    energy::{Device, Instrument, Scope},
    units::Seconds,
};

use crate::{clock::Clock, follow::Control, sensor::LaneRow, store::Store};

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

    pub(crate) fn device(&self) -> Device {
        Device {
            id: self.id.clone(),
            name: "scripted".to_owned(),
            scope: Scope::GpuBoard,
            instrument: Instrument::Nvml,
            ..Device::default()
        }
    }

    fn watts_at(&self, at_ns: u64) -> f64 {
        self.power.iter().rev().find(|step| step.0 <= at_ns).map_or(0.0, |step| step.1)
    }
}

/// Writes publications as they fall due until told to stop.
pub(crate) fn write(script: &Scripted, clock: &impl Clock, store: &Store, control: &Control) {
    let mut due = (clock.now_ns() / PERIOD_NS + 1) * PERIOD_NS;
    loop {
        let stopping = control.stopped();
        while due <= clock.now_ns() {
            let count = micro(script.energy_until(due));
            store.ticks.push([due, due, count]);
            let average_milliwatts = micro(script.watts_at(due)) / 1_000;
            store.lane(
                due,
                LaneRow {
                    average_milliwatts,
                    temperature: 40,
                    utilization: 0,
                    ..LaneRow::default()
                },
            );
            due += PERIOD_NS;
        }
        if stopping {
            return;
        }
        clock.sleep_until(due);
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a script's energies are non-negative and far below 2^53 µJ"
)]
fn micro(value: f64) -> u64 {
    (value * 1e6).round() as u64
}
