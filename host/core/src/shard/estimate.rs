//! How long a trial will take, roughly, from what the study says of it.
//!
//! A cluster wants a time before anything was measured. What the study does not say is assumed generously, since a task
//! that hits its limit loses the trial that it is in.

use std::time::Duration;

use crate::{
    backend::Mode,
    study::{Baseline, Experiment, Limits, Rest, Warmup},
};

/// An engine starts and loads its model.
const LOAD: Duration = Duration::from_mins(2);
/// A warm-up that ends by itself.
const WARMUP: Duration = Duration::from_mins(1);
/// A batch of unknown speed.
const BATCH: Duration = Duration::from_mins(2);
/// Idle power before and after.
const BASELINE: Duration = Duration::from_secs(30);
/// A rest that ends by itself.
const REST: Duration = Duration::from_secs(30);
/// Loads that a search tries.
const LEVELS: u32 = 8;

/// Estimated length of a trial in seconds, its rest included.
///
/// `known` is the length that the user states; the study's limit of a trial bounds either.
pub fn trial_seconds(experiment: &Experiment, limits: &Limits, known: Option<Duration>) -> f64 {
    let measure = &experiment.measure;
    let rest = match measure.rest {
        Rest::Duration(length) => length,
        Rest::Auto => REST,
    };
    let levels = if measure.search.is_some() { LEVELS } else { 1 };
    let windows = match experiment.mode {
        Mode::Server => measure.window * measure.windows.get() * levels,
        Mode::Offline => BATCH,
    };
    let warmup = match measure.warmup {
        Warmup::Duration(length) => length,
        Warmup::Requests(_) | Warmup::Steady => WARMUP,
    };
    let baseline = if measure.baseline == Baseline::None { Duration::ZERO } else { BASELINE * 2 };
    let trial = known.unwrap_or(LOAD + warmup + windows + baseline);
    (limits.trial.map_or(trial, |it| it.min(trial)) + rest).as_secs_f64()
}
