//! The process that sets GPUs for a study and puts back what was, whatever becomes of the study's process.
//!
//! It is told what to set, one line an order, and answers each with one line. Where the orders end it puts everything
//! back and ends: the end of the pipe is also how it learns that its host was killed.

use std::{
    ffi::OsString,
    io::{BufRead as _, Write as _},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use llem_core::{
    record::{GpuSetting, PowerLimitSetting, SmClockSetting},
    study::GpuSettings,
    units::Watts,
};
use llem_meter::Control;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::kept::{Before, Kept};
use crate::{config, locks};

/// How GPUs are to be; all that it does not name become what they were.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) gpus: Vec<String>,
    pub(super) settings: GpuSettings,
}

/// How they are now, or why they are what they were.
pub(super) type Answer = Result<Vec<GpuSetting>, String>;

/// Runs the guard: `UUID…`.
pub(crate) fn main(gpus: impl IntoIterator<Item = OsString>) -> ExitCode {
    // The terminal's signals are for the host, which ends the orders when it is done.
    rustix::process::setsid().ok();
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        drop(signal_hook::flag::register(signal, Arc::clone(&ignored)));
    }
    let gpus: Vec<String> = gpus.into_iter().filter_map(|it| it.into_string().ok()).collect();
    let mut guard = match Guard::new(&gpus) {
        Ok(guard) => guard,
        Err(error) => {
            answer(&Err(error));
            return ExitCode::FAILURE;
        }
    };
    answer(&Ok(Vec::new()));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(order) => answer(&guard.obey(&order)),
            Err(error) => answer(&Err(error.to_string())),
        }
    }
    match guard.restore() {
        Ok(()) => ExitCode::SUCCESS,
        // Its file says what is left, for the next start.
        Err(_) => ExitCode::FAILURE,
    }
}

/// A host that is gone does not read it.
fn answer(answer: &Answer) {
    let line = serde_json::to_string(answer).expect("it has string keys only");
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// A GPU and what it was.
struct Board {
    control: Control,
    kept: Kept,
}

struct Guard(Vec<Board>);

impl Guard {
    /// Takes charge of GPUs, and puts back what a dead study has left set on them.
    fn new(gpus: &[String]) -> Result<Self, String> {
        let library = config::meter_options().nvml_library;
        let controls = Control::open(library.as_deref(), gpus).map_err(|it| it.to_string())?;
        let directory = locks::directory();
        let mut boards = Vec::new();
        for control in controls {
            let kept = Kept::hold(&directory, control.uuid());
            let kept = kept.map_err(|it| format!("{}: {it}", control.uuid()))?;
            boards.push(Board { control, kept });
        }
        let mut guard = Self(boards);
        guard.restore()?;
        Ok(guard)
    }

    fn obey(&mut self, order: &Order) -> Answer {
        let set = self.set(order);
        if set.is_err() {
            // What failed is the news; what can't be put back now is put back later.
            drop(self.restore());
        }
        set
    }

    fn set(&mut self, order: &Order) -> Answer {
        let mut found = Vec::new();
        for board in &mut self.0 {
            let is_wanted = order.gpus.iter().any(|it| it == board.control.uuid());
            let wanted = if is_wanted { order.settings } else { GpuSettings::default() };
            let setting = board.set(wanted)?;
            found.extend((!wanted.is_empty()).then_some(setting));
        }
        Ok(found)
    }

    /// Puts everything back.
    fn restore(&mut self) -> Result<(), String> {
        let failed = self
            .0
            .iter_mut()
            .filter_map(|board| board.kept.restore(&board.control).err().map(|it| it.to_string()));
        let failed: Vec<String> = failed.collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}

impl Board {
    /// Sets it, where it has to be, and reads back what is in force.
    fn set(&mut self, wanted: GpuSettings) -> Result<GpuSetting, String> {
        let power_limit = self.set_power_limit(wanted.power_limit.map(u32::from))?;
        let sm_clock = self.set_sm_clock(wanted.sm_clock.map(u32::from))?;
        Ok(GpuSetting { gpu: self.control.uuid().to_owned(), power_limit, sm_clock })
    }

    fn set_power_limit(&mut self, watts: Option<u32>) -> Result<Option<PowerLimitSetting>, String> {
        let Self { control, kept } = self;
        let failed = |it: llem_meter::ControlError| it.to_string();
        let Some(watts) = watts else {
            kept.restore_power_limit(control).map_err(|it| it.to_string())?;
            return Ok(None);
        };
        let before = match kept.before.power_limit_milliwatts {
            Some(known) => known,
            None => control.power_limit().map_err(failed)?,
        };
        kept.note(Before { power_limit_milliwatts: Some(before), ..kept.before.clone() })
            .map_err(|it| it.to_string())?;
        control.set_power_limit(watts.saturating_mul(1_000)).map_err(failed)?;
        let in_force = control.enforced_power_limit().map_err(failed)?;
        let setting = PowerLimitSetting {
            asked_watts: Watts::new(f64::from(watts)),
            in_force_watts: Watts::from_milliwatts(in_force),
            before_watts: Watts::from_milliwatts(before),
        };
        if setting.holds() {
            return Ok(Some(setting));
        }
        Err(format!(
            "the power limit of {} is {} W after it was set to {watts} W: the driver rounded or ignored it, or another \
             limit of the machine is lower",
            control.uuid(),
            setting.in_force_watts.get()
        ))
    }

    /// Which clock is in force shows under load only, so it is read in the windows.
    fn set_sm_clock(&mut self, megahertz: Option<u32>) -> Result<Option<SmClockSetting>, String> {
        let Self { control, kept } = self;
        let Some(asked_megahertz) = megahertz else {
            kept.restore_sm_clock(control).map_err(|it| it.to_string())?;
            return Ok(None);
        };
        kept.note(Before { has_locked_sm_clock: true, ..kept.before.clone() })
            .map_err(|it| it.to_string())?;
        control.lock_sm_clock(asked_megahertz).map_err(|it| it.to_string())?;
        Ok(Some(SmClockSetting { asked_megahertz, observed_megahertz: None }))
    }
}
