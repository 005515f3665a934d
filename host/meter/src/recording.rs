//! A recording in progress: the threads, and what others may see of them.
//!
//! It starts threads and copies tables; how a device is read is the loops' business.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use llem_core::{
    energy::{Calibration, Device, Scope, Series},
    units::{Joules, Watts},
};

use crate::{
    clock::{GUARD, System, now_ns},
    follow::{Control, Follower},
    poll::poll,
    scripted::{Scripted, write},
    sensor::Sensor,
    store::{Store, watts},
};

/// How long [`Recording::snapshot_covering`] waits at most after a window's end.
pub const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// How a device's counter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cadence {
    /// In step with its publications.
    Locked,
    /// At regular times.
    Every(Duration),
}

/// Devices being recorded, one thread each.
#[derive(Debug)]
pub struct Recording {
    lanes: Vec<LaneThread>,
    control: Arc<Control>,
}

#[derive(Debug)]
struct LaneThread {
    device: Device,
    calibration: Calibration,
    store: Arc<Store>,
    is_locked: bool,
    thread: Option<JoinHandle<()>>,
}

/// The newest values of one device, for somebody who watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// The device.
    pub device: String,
    /// What its power comprises.
    pub scope: Scope,
    /// Averaged power as the driver states it, or from the last two ticks where it states none.
    pub power_watts: Option<Watts>,
    /// Temperature of the chip.
    pub temperature_celsius: Option<u32>,
    /// Energy since the recording began.
    pub energy_joules: Option<Joules>,
}

impl Recording {
    pub(crate) fn new(subject: Option<u32>) -> Self {
        Self { lanes: Vec::new(), control: Arc::new(Control::new(subject)) }
    }

    /// Starts one more device.
    pub(crate) fn add(
        &mut self,
        mut sensor: Box<dyn Sensor>,
        calibration: Calibration,
        cadence: Cadence,
        capacity: Duration,
    ) {
        let known = calibration.clone();
        let is_locked = cadence == Cadence::Locked;
        self.spawn(sensor.device(), calibration, is_locked, capacity, move |store, control| {
            match cadence {
                Cadence::Locked => {
                    Follower::new(&System, sensor.as_mut(), store, control, &known).run();
                }
                Cadence::Every(period) => poll(&System, sensor.as_mut(), store, control, period),
            }
        });
    }

    /// Starts a device whose power is written down.
    pub(crate) fn add_scripted(
        &mut self,
        script: Scripted,
        calibration: Calibration,
        capacity: Duration,
    ) {
        self.spawn(script.device(), calibration, true, capacity, move |store, control| {
            write(&script, &System, store, control);
        });
    }

    fn spawn(
        &mut self,
        device: Device,
        calibration: Calibration,
        is_locked: bool,
        capacity: Duration,
        body: impl FnOnce(&Store, &Control) + Send + 'static,
    ) {
        let store = Arc::new(Store::with_capacity(capacity));
        let (own, control) = (Arc::clone(&store), Arc::clone(&self.control));
        let name = format!("meter {}", device.index.unwrap_or(0));
        let thread = thread::Builder::new().name(name).spawn(move || body(&own, &control)).ok();
        self.lanes.push(LaneThread { device, calibration, store, is_locked, thread });
    }

    /// Adds a device that could not be opened: its series will be empty and say why.
    pub(crate) fn add_silent(&mut self, device: Device, calibration: Calibration) {
        let store = Arc::new(Store::with_capacity(Duration::from_secs(1)));
        self.lanes.push(LaneThread { device, calibration, store, is_locked: false, thread: None });
    }

    /// Says which process tree is being measured, for the processor-time model and for recognising
    /// foreign processes on a GPU.
    pub fn set_subject(&self, pid: u32) {
        self.control.subject.store(pid, Ordering::Relaxed);
    }

    /// The newest values of every device, in the order of the series.
    pub fn latest(&self) -> Vec<Latest> {
        self.lanes.iter().map(LaneThread::latest).collect()
    }

    /// What has been recorded so far.
    pub fn snapshot(&self) -> Vec<Series> {
        self.lanes.iter().map(LaneThread::series).collect()
    }

    /// What has been recorded once everything is there that a window ending at `end_ns` needs: later
    /// publications, the driver's samples, and the averages. It waits for at most [`LONGEST_WAIT`]
    /// after the window's end; what did not come by then is flagged in the figures.
    pub fn snapshot_covering(&self, end_ns: u64) -> Vec<Series> {
        let latest = end_ns + nanoseconds(LONGEST_WAIT);
        while now_ns() < latest && !self.lanes.iter().all(|lane| lane.covers(end_ns)) {
            thread::sleep(Duration::from_millis(20));
        }
        self.snapshot()
    }

    /// Ends the recording, at the latest one period of a counter from now.
    pub fn stop(mut self) -> Vec<Series> {
        self.halt();
        self.snapshot()
    }

    fn halt(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
        for lane in &mut self.lanes {
            if let Some(thread) = lane.thread.take() {
                // A panic in a lane leaves its table as it was; the series shows where it ends.
                drop(thread.join());
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.halt();
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl LaneThread {
    /// Whether nothing that belongs to a window ending then is still to come.
    fn covers(&self, end_ns: u64) -> bool {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return true;
        }
        let rows = (self.store.lane.len().checked_sub(1), self.store.ticks.len().checked_sub(1));
        let looked = rows.0.is_some_and(|row| {
            let after = if self.is_locked { nanoseconds(GUARD) } else { 0 };
            self.store.lane.row(row)[0] > end_ns + after
        });
        let counted = rows.1.is_none_or(|row| self.store.ticks.row(row)[0] > end_ns);
        let sampled = self.store.newest_sample().is_none_or(|at_ns| at_ns > end_ns);
        looked && counted && sampled
    }

    fn series(&self) -> Series {
        self.store.series(self.device.clone(), self.calibration.clone())
    }

    fn latest(&self) -> Latest {
        let last_lane = self.store.lane.len().checked_sub(1).map(|row| self.store.lane.row(row));
        let ticks = &self.store.ticks;
        let unit = self.calibration.joules_per_count;
        let energy = |from: usize, to: usize| {
            let (from, to) = (ticks.row(from), ticks.row(to));
            let seconds = llem_core::units::Seconds::between(from[1], to[1]);
            let counts = llem_core::units::Seconds::between(from[2], to[2]).get() * 1e9;
            (Joules::new(counts * unit), seconds)
        };
        let newest = ticks.len().checked_sub(1).filter(|&last| last > 0);
        let by_ticks = newest.map(|last| energy(last - 1, last)).map(|(e, t)| e / t);
        Latest {
            device: self.device.id.clone(),
            scope: self.device.scope,
            power_watts: last_lane.and_then(|row| watts(row[1])).or(by_ticks),
            temperature_celsius: last_lane.and_then(|row| u32::try_from(row[3]).ok()),
            energy_joules: newest.map(|last| energy(0, last).0),
        }
    }
}
