//! Which experiments have enough repeats, decided anew only where a record is added.

use std::collections::{BTreeMap, BTreeSet};

use llem_core::{
    record::{Outcome, Record, figure, figure_of},
    repeat::{Candidate, Decision, decide, half_width},
    study::{MeasureSettings, Repeats},
    units::Joules,
};

/// What limits a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    Time,
    Energy,
}

/// What trials took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    pub(crate) joules: f64,
}

/// Energy of a whole trial, taken as the mean power of its windows over its length: an estimate from
/// above, since loading takes less. None where no window has an energy.
fn joules(record: &Record) -> Option<f64> {
    let windows = &record.measured()?.windows;
    let totals = windows.iter().flat_map(|it| &it.totals);
    let energy: f64 = totals.map(|it| it.energy_joules.map(Joules::get)).sum::<Option<f64>>()?;
    let nanoseconds: u64 = windows.iter().map(|it| it.end_ns.saturating_sub(it.begin_ns)).sum();
    let seconds = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
    (energy > 0.0 && seconds > 0.0).then(|| energy / seconds * record.duration_seconds)
}

/// The repeats of all experiments so far.
pub(crate) struct Progress<'a> {
    measure: &'a MeasureSettings,
    repeats: Repeats,
    /// Trials done and values of the primary figure, by experiment.
    done: BTreeMap<String, (u32, Vec<f64>)>,
    spent: BTreeMap<String, Spent>,
    enough: BTreeSet<String>,
    /// Trials whose energy is known.
    metered: u32,
}

impl<'a> Progress<'a> {
    /// No record yet. A part of a study carries out the repeats that it was given, however narrow intervals are.
    pub(crate) fn new(measure: &'a MeasureSettings, is_part: bool) -> Self {
        let half_width = measure.repeats.half_width.filter(|_| !is_part);
        Self {
            measure,
            repeats: Repeats { half_width, ..measure.repeats },
            done: BTreeMap::new(),
            spent: BTreeMap::new(),
            enough: BTreeSet::new(),
            metered: 0,
        }
    }

    /// Counts one more record.
    pub(crate) fn add(&mut self, record: &Record) {
        let experiment = &record.trial.experiment;
        let (done, values) = self.done.entry(experiment.clone()).or_default();
        *done += 1;
        let spent = self.spent.entry(experiment.clone()).or_default();
        spent.seconds += record.duration_seconds;
        let joules = joules(record);
        self.metered += u32::from(joules.is_some());
        spent.joules += joules.unwrap_or_default();
        let primary = figure_of(&self.measure.primary);
        values.extend(record.measured().zip(primary).and_then(|(it, name)| figure(it, name)));
        let is_hopeless = matches!(&record.outcome, Outcome::Failed(failure) if failure.permanent);
        let decision = decide(&self.repeats, values, *done);
        if decision == Decision::Continue && !is_hopeless {
            self.enough.remove(experiment);
        } else {
            self.enough.insert(experiment.clone());
        }
    }

    /// What another trial of an experiment would cost and narrow, at `cost` of an unknown one.
    pub(super) fn candidate(&self, experiment: &str, budget: Budget, unknown: f64) -> Candidate {
        let Some((done, values)) = self.done.get(experiment) else {
            return Candidate { half_width: None, done: 0, cost: unknown };
        };
        let spent = self.spent.get(experiment).copied().unwrap_or_default();
        let spent = match budget {
            Budget::Time => spent.seconds,
            Budget::Energy => spent.joules,
        };
        let half_width = half_width(&self.measure.repeats, values);
        Candidate { half_width, done: *done, cost: spent / f64::from((*done).max(1)) }
    }

    /// What all trials together took.
    pub(crate) fn spent(&self) -> Spent {
        self.spent.values().fold(Spent::default(), |all, it| Spent {
            seconds: all.seconds + it.seconds,
            joules: all.joules + it.joules,
        })
    }

    /// Mean energy of the trials whose energy is known; none where there is none.
    pub(super) fn joules_a_trial(&self) -> Option<f64> {
        (self.metered > 0).then(|| self.spent().joules / f64::from(self.metered))
    }

    /// Whether an experiment needs no further trial.
    pub(crate) fn has_enough(&self, experiment: &str) -> bool {
        self.enough.contains(experiment)
    }
}
