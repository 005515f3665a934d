//! The loop for counters that publish on a grid: it sleeps to just before each publication, reads
//! until the value changes, and keeps its prediction locked to what it saw.
//!
//! It records brackets, not times: the value changed after `lo` and before `hi`. Faults become
//! incidents; what they mean is not decided here.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use llem_core::{
    energy::{Calibration, IncidentKind},
    units::Seconds,
};

use crate::{
    clock::Clock,
    sensor::{Fault, Sensor},
    store::Store,
};

const SECOND_NS: u64 = 1_000_000_000;
/// Reads in quick succession around a publication before the loop goes over to waiting for it.
const QUICK_READS: u32 = 6;
/// Distance of reads while a publication is being waited for.
const PATIENT_STEP_NS: u64 = 2_000_000;
/// Most that the wall clock may move against the monotonic one before samples cannot be placed.
const CLOCK_STEP_NS: u64 = 1_000_000;
/// Publications are followed at most this often; faster counters are followed one in several.
const SHORTEST_PERIOD: f64 = 0.08;

/// What the loop shares with its recording.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) stop: AtomicBool,
    /// The subject's process, 0 for none.
    pub(crate) subject: AtomicU32,
}

impl Control {
    pub(crate) fn new(subject: Option<u32>) -> Self {
        Self { stop: AtomicBool::new(false), subject: AtomicU32::new(subject.unwrap_or(0)) }
    }

    pub(crate) fn subject(&self) -> Option<u32> {
        let pid = self.subject.load(Ordering::Relaxed);
        (pid != 0).then_some(pid)
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The state of the loop.
pub(crate) struct Follower<'a, C> {
    clock: &'a C,
    sensor: &'a mut dyn Sensor,
    store: &'a Store,
    control: &'a Control,
    period_ns: f64,
    lead_ns: f64,
    /// Only one publication in several is followed.
    strided: bool,
    base_ns: u64,
    /// Predicted time of the next publication, after `base_ns`.
    next_ns: f64,
    /// Publications since the lock was found.
    count: f64,
    /// Begin of the last read that returned the current value, and that value.
    current: Option<(u64, u64)>,
    changed_ns: u64,
    stuck: bool,
    has_counter: bool,
    samples_since_us: u64,
    wall_offset: Option<i128>,
    second_due_ns: u64,
    subject: Option<u32>,
}

impl<'a, C: Clock> Follower<'a, C> {
    pub(crate) fn new(
        clock: &'a C,
        sensor: &'a mut dyn Sensor,
        store: &'a Store,
        control: &'a Control,
        calibration: &Calibration,
    ) -> Self {
        let period = calibration.period_seconds.map_or(0.1, Seconds::get);
        let stride = (SHORTEST_PERIOD / period).ceil().max(1.0);
        let cost = calibration.read_p50_seconds.map_or(0.003, Seconds::get);
        let jitter = calibration.tick_jitter_seconds.map_or(0.0, Seconds::get);
        let now = clock.now_ns();
        Self {
            clock,
            sensor,
            store,
            control,
            period_ns: period * stride * 1e9,
            strided: stride > 1.0,
            lead_ns: (1.2 * cost).max(3.0 * jitter).max(0.003) * 1e9,
            base_ns: now,
            next_ns: 0.0,
            count: 0.0,
            current: None,
            changed_ns: now,
            stuck: false,
            has_counter: calibration.ticks_seen > 0,
            samples_since_us: 0,
            wall_offset: None,
            second_due_ns: now,
            subject: control.subject(),
        }
    }

    /// Records until told to stop or until the device is lost.
    pub(crate) fn run(&mut self) {
        let control = self.control;
        self.run_while(|| !control.stopped());
    }

    /// Records while a condition holds or until the device is lost.
    pub(crate) fn run_while(&mut self, goes_on: impl Fn() -> bool) {
        while goes_on() {
            if let Err(fault) = self.step() {
                let (kind, detail) = fault.incident();
                self.store.incident(self.clock.now_ns(), kind, detail);
                if fault == Fault::Lost {
                    return;
                }
                self.skip();
            }
        }
        // What the driver has of the last second.
        self.drain();
    }

    /// One publication, or one period without.
    pub(crate) fn step(&mut self) -> Result<(), Fault> {
        let subject = self.control.subject();
        if subject != self.subject {
            self.subject = subject;
            self.store.incident(self.clock.now_ns(), IncidentKind::SubjectChanged, 0);
        }
        if self.has_counter {
            self.await_tick()?;
        } else {
            self.next_ns += self.period_ns;
            self.clock.sleep_until(self.predicted(0.0));
        }
        let now = self.clock.now_ns();
        self.store.lane(now, self.sensor.lane());
        if now >= self.second_due_ns {
            self.second_due_ns = now + SECOND_NS - 50_000_000;
            self.drain();
            if let Some(row) = self.sensor.slow(self.subject) {
                self.store.slow(now, row);
            }
        }
        Ok(())
    }

    fn predicted(&self, offset_ns: f64) -> u64 {
        self.base_ns.saturating_add(whole((self.next_ns + offset_ns).max(0.0)))
    }

    /// Waits one period without a publication.
    fn skip(&mut self) {
        self.next_ns += self.period_ns;
        self.clock.sleep_until(self.predicted(0.0));
    }

    fn await_tick(&mut self) -> Result<(), Fault> {
        let locked = self.count > 0.0;
        if locked {
            self.clock.sleep_until(self.predicted(-self.lead_ns));
        }
        let give_up = self.clock.now_ns() + whole(1.5 * self.period_ns);
        // With a stride the value has changed in the meantime, so the first read is only a reference.
        let reference_first = self.strided || self.current.is_none();
        let mut reads = 0_u32;
        loop {
            let begin = self.clock.now_ns();
            let value = self.sensor.counter()?;
            let end = self.clock.now_ns();
            let reference = reads == 0 && reference_first;
            reads += 1;
            match self.current {
                Some((lo, current)) if current != value && !reference => {
                    self.changed(lo, end, value, begin);
                    return Ok(());
                }
                _ => self.current = Some((begin, value)),
            }
            if end >= give_up {
                self.missed(end);
                return Ok(());
            }
            if !locked {
                self.clock.sleep_until(begin + SECOND_NS / 1000);
            } else if reads >= QUICK_READS {
                self.clock.sleep_until(end + PATIENT_STEP_NS);
            } else {
                self.clock.sleep_until(begin + SECOND_NS / 4000);
            }
        }
    }

    fn changed(&mut self, lo: u64, hi: u64, value: u64, read_begin: u64) {
        if self.current.is_some_and(|(_, before)| value < before) {
            self.store.incident(hi, IncidentKind::CounterDecreased, value);
        }
        self.store.ticks.push([lo, hi, value]);
        self.current = Some((read_begin, value));
        self.changed_ns = hi;
        self.stuck = false;
        self.lock(lo, hi);
    }

    /// Moves the prediction towards what was seen.
    fn lock(&mut self, lo: u64, hi: u64) {
        let after_base = |ns: u64| Seconds::between(self.base_ns, ns).get() * 1e9;
        let (mid, width) = (after_base(lo.midpoint(hi)), after_base(hi) - after_base(lo));
        if self.count < 1.0 {
            self.count = 1.0;
            self.next_ns = mid + self.period_ns;
            return;
        }
        let error = mid - self.next_ns;
        let periods = (error / self.period_ns).round();
        if periods >= 1.0 {
            self.store.incident(hi, IncidentKind::TicksMissed, whole(periods));
        }
        let error = error - periods.max(0.0) * self.period_ns;
        self.count += 1.0 + periods.max(0.0);
        self.next_ns += (1.0 + periods.max(0.0)) * self.period_ns;
        if width > 0.3 * self.period_ns {
            // The publication came before the first read: look earlier next time.
            self.next_ns -= self.lead_ns;
        } else if error.abs() > 4.0 * self.lead_ns {
            self.next_ns += error;
        } else {
            self.next_ns += 0.1 * error;
            self.period_ns += 0.01 * error / self.count;
        }
    }

    fn missed(&mut self, now: u64) {
        let still = Self::elapsed(self.changed_ns, now);
        if still > (5.0 * self.period_ns).max(5e8) && !self.stuck {
            self.stuck = true;
            self.store.incident(now, IncidentKind::CounterStuck, whole(still));
        }
        // The lock is kept in step with the time that passed, and found again at the next change.
        self.count = 0.0;
    }

    fn elapsed(from: u64, to: u64) -> f64 {
        Seconds::between(from, to).get() * 1e9
    }

    /// Takes the driver's new power samples and places them on the monotonic clock.
    fn drain(&mut self) {
        let before = self.clock.now_ns();
        let wall = self.clock.wall_ns();
        let after = self.clock.now_ns();
        let offset = i128::from(wall) - i128::from(before.midpoint(after));
        let first = *self.wall_offset.get_or_insert(offset);
        if first.abs_diff(offset) > u128::from(CLOCK_STEP_NS) {
            self.store.incident(after, IncidentKind::ClockStepped, 0);
            self.wall_offset = Some(offset);
            self.samples_since_us = wall / 1000;
            return;
        }
        let (store, mut newest) = (self.store, self.samples_since_us);
        let base = self.base_ns.saturating_sub(SECOND_NS);
        let outcome = self.sensor.samples(self.samples_since_us, &mut |stamp_us, milliwatts| {
            let mono = u64::try_from(i128::from(stamp_us) * 1000 - offset).unwrap_or(0);
            if stamp_us > newest && mono >= base {
                store.sample(mono, milliwatts);
            }
            newest = newest.max(stamp_us);
        });
        self.samples_since_us = newest;
        if outcome == Err(Fault::Lost) {
            self.store.incident(after, IncidentKind::DeviceLost, 0);
        }
    }
}

/// The nearest whole number of a non-negative value.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, and the callers give non-negative nanoseconds"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
