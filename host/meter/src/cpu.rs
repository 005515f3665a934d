//! The processor-time model: time of the subject's process tree times a constant power.
//!
//! It is an estimate for machines without a readable energy counter, and is labelled as one.

use std::time::Duration;

use llem_core::energy::{Calibration, CounterState, Device, Instrument, Scope};

use crate::{
    process,
    sensor::{Fault, LaneRow, MISSING, Sensor},
};

/// How often the tree is looked at.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);

/// The model's sensor; its counter is the tree's processor time in nanoseconds.
#[derive(Debug)]
pub(crate) struct CpuModel {
    watts_per_thread: f64,
    subject: Option<u32>,
    members: Vec<u32>,
    seen_ns: u64,
    counted_ns: u64,
}

pub(crate) fn calibration(watts_per_thread: f64) -> Calibration {
    Calibration {
        counter: CounterState::Live,
        joules_per_count: watts_per_thread * 1e-9,
        ..Calibration::default()
    }
}

impl CpuModel {
    pub(crate) fn new(watts_per_thread: f64) -> Self {
        Self { watts_per_thread, subject: None, members: Vec::new(), seen_ns: 0, counted_ns: 0 }
    }

    fn tree_ns(&mut self) -> u64 {
        let Some(subject) = self.subject else { return 0 };
        self.members.clear();
        process::descendants(subject, &mut self.members);
        self.members.iter().filter_map(|&pid| process::stat(pid)).map(|stat| stat.cpu_ns).sum()
    }
}

impl Sensor for CpuModel {
    fn device(&self) -> Device {
        let threads = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        Device {
            id: "cpu-model".to_owned(),
            name: "processor time of the subject".to_owned(),
            index: None,
            scope: Scope::CpuPackage,
            instrument: Instrument::CpuTime,
            facts: [
                ("hardware_threads".to_owned(), threads.to_string()),
                ("watts_per_thread".to_owned(), self.watts_per_thread.to_string()),
            ]
            .into(),
            ..Device::default()
        }
    }

    fn counter(&mut self) -> Result<u64, Fault> {
        let now = self.tree_ns();
        // A process whose parent does not wait for it takes its time away: that is no negative time.
        self.counted_ns += now.saturating_sub(self.seen_ns);
        self.seen_ns = now;
        Ok(self.counted_ns)
    }

    fn lane(&mut self) -> LaneRow {
        let busy_ns = process::machine_busy_ns().unwrap_or(MISSING);
        LaneRow { busy_ns, ..LaneRow::default() }
    }

    fn follow(&mut self, subject: Option<u32>) {
        self.subject = subject;
        self.seen_ns = self.tree_ns();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_the_subject_is_counted_from_when_it_is_followed() {
        let mut model = CpuModel::new(4.0);
        assert_eq!(model.counter(), Ok(0));
        model.follow(Some(std::process::id()));
        let before = model.counter().expect("this process exists");
        let stat = || process::stat(std::process::id()).expect("this process exists").cpu_ns;
        let begin = stat();
        while stat() < begin + 30_000_000 {}
        assert!(model.counter().expect("this process exists") >= before + 20_000_000);
    }
}
