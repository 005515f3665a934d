//! GPUs set as experiments ask: only where the user allows it, only to what they take, and never for longer than the study.
//!
//! A guard, which is a process of its own, sets them and puts back what was. Where it is killed together with the
//! study, the next study on the GPU puts it back.

mod check;
mod guard;
mod host;
mod kept;

use std::sync::{Mutex, PoisonError};

use llem_core::{record::GpuSetting, study::GpuSettings};

pub(crate) use self::{
    check::{needed, permitted, prepare},
    guard::main as guard,
    kept::left,
};
use self::{
    guard::Order,
    host::{Running, Silence},
};

/// The GPUs of a study, set trial by trial.
#[derive(Debug, Default)]
pub(crate) struct Gpus {
    /// UUIDs of all that trials may set; empty where no experiment sets any, and then nothing is ever started.
    all: Vec<String>,
    guard: Mutex<Option<Running>>,
}

impl Gpus {
    fn of(all: Vec<String>) -> Self {
        Self { all, guard: Mutex::default() }
    }

    /// Sets these GPUs and puts back all others; gives what is in force. Where it fails, all are what they were.
    pub(crate) fn set(
        &self,
        settings: GpuSettings,
        gpus: &[String],
    ) -> Result<Vec<GpuSetting>, String> {
        if self.all.is_empty() {
            return Ok(Vec::new());
        }
        let order = Order { gpus: gpus.to_vec(), settings };
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        match self.tell(&mut guard, &order) {
            // Somebody killed it: another one puts back what that had set, and begins anew.
            Err(Silence::Gone(_)) => {
                *guard = None;
                self.tell(&mut guard, &order).map_err(|it| it.to_string())
            }
            other => other.map_err(|it| it.to_string()),
        }
    }

    fn tell(&self, guard: &mut Option<Running>, order: &Order) -> Result<Vec<GpuSetting>, Silence> {
        if guard.is_none() {
            *guard = Some(Running::start(&self.all)?);
        }
        guard.as_mut().expect("it was just started").tell(order)
    }

    /// Puts everything back; gives what could not be.
    pub(crate) fn release(&self) -> Vec<String> {
        let is_guarded = self.guard.lock().is_ok_and(|it| it.is_some());
        if !is_guarded {
            return Vec::new();
        }
        let failed = self.set(GpuSettings::default(), &[]).err();
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        failed.map(|it| still_set(&self.all, &it)).into_iter().collect()
    }
}

/// Puts back what dead studies have left set on GPUs that are this study's now; says what it did.
pub(crate) fn put_back(gpus: &[String], say: &mut dyn FnMut(String)) {
    let left: Vec<String> = gpus.iter().filter(|it| kept::marked(it).is_some()).cloned().collect();
    if left.is_empty() {
        return;
    }
    // A guard begins by doing just that, and waits for one that is about to be done.
    match Running::start(&left) {
        Ok(_) => say(format!(
            "a study that was killed had left settings on {}; they are what they were before it",
            left.join(", ")
        )),
        Err(error) => say(still_set(&left, &error.to_string())),
    }
}

fn still_set(gpus: &[String], why: &str) -> String {
    let by_hand = gpus.iter().filter_map(|gpu| Some(kept::marked(gpu)?.by_hand(gpu)));
    format!(
        "settings of GPUs are still in force and can't be put back: {why}; by hand: {}",
        by_hand.collect::<Vec<_>>().join(" && ")
    )
}
