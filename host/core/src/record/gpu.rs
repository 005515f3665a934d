//! How GPUs were set for a trial, and whether that held in its windows.
//!
//! Setting them is somebody else's work; this judges by what was recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    energy::{Series, Window},
    units::Watts,
};

/// How one GPU was set for a trial.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct GpuSetting {
    /// UUID.
    pub gpu: String,
    /// Its power limit, where the experiment sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit: Option<PowerLimitSetting>,
    /// Its SM clock, where the experiment sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_clock: Option<SmClockSetting>,
}

/// A power limit that was set.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct PowerLimitSetting {
    /// What the experiment asks for.
    pub asked_watts: Watts,
    /// What the driver enforced, read back after it was set.
    pub in_force_watts: Watts,
    /// What it was before llem set anything, and is afterwards.
    pub before_watts: Watts,
}

/// An SM clock that was locked. What was locked before is not known, since drivers do not tell; afterwards it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct SmClockSetting {
    /// What the experiment asks for.
    pub asked_megahertz: u32,
    /// Median in the windows, under load; null where there was no window, or the driver does not tell.
    pub observed_megahertz: Option<u32>,
}

/// Limits closer than this are the same: drivers keep whole milliwatts, some whole tenths of a watt.
const SAME_WATTS: f64 = 0.5;
/// One step of the clocks of most GPUs.
const SAME_MEGAHERTZ: u32 = 15;

impl PowerLimitSetting {
    /// Whether what the driver enforces is what was asked for.
    pub fn holds(&self) -> bool {
        is_same(self.in_force_watts, self.asked_watts)
    }
}

fn is_same(one: Watts, other: Watts) -> bool {
    (one.get() - other.get()).abs() <= SAME_WATTS
}

impl GpuSetting {
    /// Takes in what was recorded in the windows. Fails where the setting was not in force, since the trial is then no
    /// trial of its experiment; gives what a reader must know.
    pub fn judge(
        &mut self,
        series: &[Series],
        windows: &[Window],
    ) -> Result<Option<String>, String> {
        let Some(series) = series.iter().find(|it| it.device.id == self.gpu) else {
            return Ok(Some(format!(
                "nothing was recorded of {}: whether it was as it was set is unknown",
                self.gpu
            )));
        };
        if let Some(limit) = self.power_limit {
            let rows = series.slow.at_ns.iter().zip(&series.slow.power_limit_watts);
            let mut limits = rows.filter(|(at, _)| within(windows, **at)).filter_map(|it| *it.1);
            if let Some(other) = limits.find(|it| !is_same(*it, limit.asked_watts)) {
                return Err(format!(
                    "the power limit of {} was {:.0} W in a window, not {:.0} W as it was set",
                    self.gpu,
                    other.get(),
                    limit.asked_watts.get()
                ));
            }
        }
        let Some(clock) = &mut self.sm_clock else { return Ok(None) };
        let rows = series.lane.at_ns.iter().zip(&series.lane.sm_clock_megahertz);
        let mut clocks: Vec<u32> =
            rows.filter(|(at, _)| within(windows, **at)).filter_map(|it| *it.1).collect();
        clocks.sort_unstable();
        clock.observed_megahertz = clocks.get(clocks.len() / 2).copied();
        let asked = clock.asked_megahertz;
        match clock.observed_megahertz {
            Some(found) if found > asked + SAME_MEGAHERTZ => Err(format!(
                "the SM clock of {} was {found} MHz in the windows, not {asked} MHz as it was set: the driver took the \
                 setting and ignored it",
                self.gpu
            )),
            Some(found) if found + SAME_MEGAHERTZ < asked => Ok(Some(format!(
                "the SM clock of {} was {found} MHz in the windows, not {asked} MHz as it was set: its power limit or its \
                 temperature holds it down",
                self.gpu
            ))),
            Some(_) => Ok(None),
            None => Ok(Some(format!(
                "no SM clock of {} is known in the windows: whether it was as it was set is unknown",
                self.gpu
            ))),
        }
    }
}

fn within(windows: &[Window], at_ns: u64) -> bool {
    windows.iter().any(|it| it.contains(at_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::{Device, Lane, Slow};

    fn series(limits: &[f64], clocks: &[Option<u32>]) -> Series {
        let times = |count: usize| (1..=count).map(|it| u64::try_from(it).unwrap() * 10).collect();
        Series {
            device: Device { id: "GPU-a".into(), ..Device::default() },
            slow: Slow {
                at_ns: times(limits.len()),
                power_limit_watts: limits.iter().map(|it| Some(Watts::new(*it))).collect(),
                ..Slow::default()
            },
            lane: Lane {
                at_ns: times(clocks.len()),
                sm_clock_megahertz: clocks.to_vec(),
                ..Lane::default()
            },
            ..Series::default()
        }
    }

    fn setting(watts: Option<f64>, megahertz: Option<u32>) -> GpuSetting {
        GpuSetting {
            gpu: "GPU-a".into(),
            power_limit: watts.map(Watts::new).map(|it| PowerLimitSetting {
                asked_watts: it,
                in_force_watts: it,
                before_watts: Watts::new(700.0),
            }),
            sm_clock: megahertz
                .map(|it| SmClockSetting { asked_megahertz: it, observed_megahertz: None }),
        }
    }

    /// The second of three rows lies in the window.
    const WINDOW: Window = Window { begin_ns: 10, end_ns: 25 };

    #[test]
    fn a_limit_that_changes_in_a_window_is_not_the_experiments() {
        let judged =
            |limits: &[f64]| setting(Some(300.0), None).judge(&[series(limits, &[])], &[WINDOW]);
        assert_eq!(judged(&[700.0, 300.0, 700.0]), Ok(None));
        let error = judged(&[300.0, 250.0, 300.0]).unwrap_err();
        assert!(error.contains("was 250 W in a window, not 300 W"), "{error}");
    }

    #[test]
    fn a_clock_above_was_ignored_and_one_below_is_held_down() {
        let judged = |clock: Option<u32>| {
            let mut setting = setting(None, Some(1410));
            let judged = setting.judge(&[series(&[], &[Some(0), clock, Some(0)])], &[WINDOW]);
            (judged, setting.sm_clock.unwrap().observed_megahertz)
        };
        assert_eq!(judged(Some(1410)), (Ok(None), Some(1410)));
        assert_eq!(judged(Some(1395)), (Ok(None), Some(1395)));
        assert!(judged(Some(1980)).0.unwrap_err().contains("ignored"));
        assert!(judged(Some(1200)).0.unwrap().unwrap().contains("holds it down"));
        assert!(judged(None).0.unwrap().unwrap().contains("unknown"));
    }

    #[test]
    fn without_a_recording_nothing_is_known() {
        let said = setting(Some(300.0), None).judge(&[], &[WINDOW]).unwrap().unwrap();
        assert!(said.contains("unknown"), "{said}");
    }
}
