//! The loop for counters without a visible period: it reads them at regular times.
//!
//! Every read is a tick, also where the value did not change.

use std::time::Duration;

use llem_core::energy::IncidentKind;

use crate::{
    clock::Clock,
    follow::Control,
    sensor::{Fault, Sensor},
    store::Store,
};

/// Reads until told to stop.
pub(crate) fn poll(
    clock: &impl Clock,
    sensor: &mut dyn Sensor,
    store: &Store,
    control: &Control,
    period: Duration,
) {
    let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    let mut next = clock.now_ns();
    let mut subject = control.subject();
    sensor.follow(subject);
    loop {
        let stopping = control.stopped();
        if control.subject() != subject {
            subject = control.subject();
            sensor.follow(subject);
            store.incident(clock.now_ns(), IncidentKind::SubjectChanged, 0);
        }
        let begin = clock.now_ns();
        match sensor.counter() {
            Ok(value) => {
                let end = clock.now_ns();
                store.ticks.push([begin, end, value]);
                store.lane(end, sensor.lane());
            }
            Err(fault) => {
                let (kind, detail) = fault.incident();
                store.incident(begin, kind, detail);
                if fault == Fault::Lost {
                    return;
                }
            }
        }
        if stopping {
            return;
        }
        next = next.max(begin.saturating_sub(period_ns)) + period_ns;
        clock.sleep_until(next);
    }
}
