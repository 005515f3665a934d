//! Flags of a reading as sentences for people.
//!
//! Only what a reader must know to judge a figure is said; the record has all flags.

use super::{EnergyReading, Flag};

impl EnergyReading {
    /// What speaks against the figure or restricts it, one sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let said = self.flags.iter().filter_map(|flag| self.sentence(*flag));
        let sentences = said.map(|what| format!("`{}`: {what}", self.device));
        let absent = self.reason.iter().map(|why| format!("`{}`: no energy: {why}", self.device));
        absent.chain(sentences).collect()
    }

    fn sentence(&self, flag: Flag) -> Option<String> {
        let percent = |share: Option<f64>| 100.0 * share.unwrap_or(0.0);
        Some(match flag {
            Flag::CounterUnsupported | Flag::CounterDenied | Flag::CounterFailed => {
                "the energy counter can't be used, so energy is from the driver's power values"
                    .to_owned()
            }
            Flag::CounterStuck => {
                "the energy counter stood still, so the figure is suspect".to_owned()
            }
            Flag::InstrumentDiscrepancy => format!(
                "counter and power samples differ by {:.1} %",
                percent(self.checks.samples_discrepancy.or(self.checks.average_discrepancy))
            ),
            Flag::InstrumentSuspect => format!(
                "counter and power samples differ by {:.1} %: one of them is wrong, so the figure is not ranked",
                percent(self.checks.samples_discrepancy.or(self.checks.average_discrepancy))
            ),
            Flag::AboveLimit => "its power is above its limit, which can't be".to_owned(),
            Flag::BelowIdle => "its power is far below its idle power, which can't be".to_owned(),
            Flag::GuardMissing => "the device was not seen idle around the window".to_owned(),
            Flag::GuardBusy => "the device was in use around the window".to_owned(),
            Flag::ForeignProcess => {
                "a process that is not the engine's used the device, so the figure is not ranked"
                    .to_owned()
            }
            Flag::PowerLimited => format!(
                "the power limit held the clocks down for {:.0} % of a window",
                percent(self.throttle.power_fraction)
            ),
            Flag::ThermallyLimited => format!(
                "heat held the clocks down for {:.0} % of a window, so the figure is not ranked",
                percent(self.throttle.thermal_fraction)
            ),
            Flag::LimitNotDefault => "its power limit is not the vendor's".to_owned(),
            Flag::Overrun => "the recording was full before the window ended".to_owned(),
            Flag::MigParent => {
                "a MIG slice has no energy of its own: the figure is that of the whole GPU"
                    .to_owned()
            }
            Flag::ClockStepped => {
                "the wall clock stepped, so the driver's power samples are missing".to_owned()
            }
            // Without consequence for whoever reads the figure, or said elsewhere.
            Flag::Estimated
            | Flag::ShortWindow
            | Flag::CounterDecreased
            | Flag::DeviceLost
            | Flag::NotCrossChecked
            | Flag::InstantImplausible
            | Flag::TicksMissed
            | Flag::SlowReads
            | Flag::PartialSupport
            | Flag::SubjectChanged
            | Flag::Calibrated => return None,
        })
    }
}
