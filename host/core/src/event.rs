//! What the runner says while it runs: the only thing that runner and reports share besides records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::TrialId;

/// Something that happened, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The study begins or goes on.
    StudyStarted {
        /// Name of the study.
        study: String,
        /// Results directory.
        results: String,
        /// Experiments in the plan.
        experiments: u32,
        /// Trials still to run.
        trials: u32,
        /// Trials that an earlier run has finished.
        finished_before: u32,
    },
    /// A trial begins.
    TrialStarted {
        /// Which.
        trial: TrialId,
        /// The experiment's swept settings, for people.
        label: String,
        /// Counted from 1 over the trials of this run.
        number: u32,
        /// Trials known at this time.
        of: u32,
        /// Estimated time until all are done, from the trials of this run.
        seconds_left: Option<f64>,
        /// Estimated energy of all that are still to run, this one included, from the trials so far; absent where none
        /// had an energy.
        energy_joules_left: Option<f64>,
    },
    /// A trial enters another phase.
    PhaseStarted {
        /// Which trial.
        trial: TrialId,
        /// Which phase.
        phase: Phase,
    },
    /// How the running phase goes, at most four times a second.
    Progress {
        /// Which trial.
        trial: TrialId,
        /// Power of all metered devices.
        power_watts: Option<f64>,
        /// Whether the power is a model's estimate.
        power_is_estimated: bool,
        /// Output tokens a second, over the last second.
        output_tokens_per_second: Option<f64>,
        /// Hottest device.
        temperature_celsius: Option<f64>,
        /// Part of the phase that is done, 0 to 1.
        done: Option<f64>,
    },
    /// A trial's record is in the journal.
    TrialFinished {
        /// Which.
        trial: TrialId,
        /// Headline figures.
        figures: Vec<(String, f64)>,
        /// Why it failed; none: it did not.
        failure: Option<String>,
        /// How long it took.
        seconds: f64,
    },
    /// How the tasks of a cluster are.
    Shards {
        /// Not begun, or to be tried again.
        waiting: u32,
        /// Under way.
        running: u32,
        /// All trials recorded.
        complete: u32,
        /// Tried often enough.
        given_up: u32,
    },
    /// Something that the user should know.
    Warning {
        /// In one sentence.
        message: String,
    },
    /// The study ends.
    StudyFinished {
        /// Trials with figures.
        completed: u32,
        /// Trials without.
        failed: u32,
        /// Trials that were asked for and not run; once a budget is spent, only those below the least number of
        /// repeats.
        left: u32,
    },
}

/// A part of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The engine starts and loads the model.
    Load,
    /// Idle power with the model loaded.
    Baseline,
    /// Work until power and speed settle.
    Warmup,
    /// The measured window.
    Window,
    /// The engine stops.
    Stop,
    /// Idle time before the next trial.
    Rest,
}

impl Phase {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Baseline => "baseline",
            Self::Warmup => "warm-up",
            Self::Window => "measure",
            Self::Stop => "stop",
            Self::Rest => "rest",
        }
    }
}
