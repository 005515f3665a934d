//! A measurement of nothing in particular, to see whether the instruments of each device agree.

use std::{thread, time::Duration};

use llem_core::energy::{EnergyReading, Flag, Mode, Request, Settings, Verdict, measure};

use crate::{clock::now_ns, discover::Instruments, finding::Finding};

/// What is recorded before and after the window: averages and samples are published late.
const MARGIN: Duration = Duration::from_millis(300);

impl Instruments {
    /// Measures all devices for this long, and says what was read and what speaks against it.
    pub fn rehearse(&self, length: Duration) -> Vec<Finding> {
        let recording = self.start(None);
        thread::sleep(MARGIN);
        let begin_ns = now_ns();
        thread::sleep(length);
        let end_ns = now_ns();
        thread::sleep(MARGIN);
        let request = Request { begin_ns, end_ns, mode: Mode::Running };
        let series = recording.snapshot_covering(end_ns);
        let measurement = measure(&series, request, &Settings::default());
        measurement.readings.iter().map(finding).collect()
    }
}

fn finding(reading: &EnergyReading) -> Finding {
    let subject = &reading.device;
    let Some(power) = reading.average_power_watts else {
        let why = reading.reason.as_deref().unwrap_or("nobody says why");
        return Finding::warning(subject, format!("no energy: {why}"))
            .with_remedy("measure again; `llem doctor` says what is wrong with the device");
    };
    let watts = power.get();
    if reading.estimated {
        return Finding::note(subject, format!("{watts:.1} W, by a model"));
    }
    let mut against: Vec<String> = reading.remarks();
    if reading.flags.contains(&Flag::InstantImplausible) {
        against.push(
            "the driver's instant power makes no sense beside it, and is not used".to_owned(),
        );
    }
    let other = reading.checks.samples_discrepancy.or(reading.checks.average_discrepancy);
    let agreement = other.map_or_else(
        || "no second instrument".to_owned(),
        |it| format!("a second instrument differs by {:.1} %", 100.0 * it.abs()),
    );
    let message =
        format!("{watts:.1} W over {:.1} s, {agreement}", reading.window.duration().get());
    if against.is_empty() {
        return Finding::good(subject, message);
    }
    let message = format!("{message}; {}", against.join("; "));
    match reading.verdict {
        Verdict::Valid => Finding::note(subject, message),
        Verdict::Suspect | Verdict::Invalid => Finding::warning(subject, message)
            .with_remedy("update the driver; until then compare no figures of this device"),
    }
}
