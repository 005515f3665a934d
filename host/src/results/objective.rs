//! Service levels judged again from stored request logs, as often as wanted: nothing is measured anew.

use llem_core::{
    latency::{Slo, SloVerdict, Window, judge},
    record::Record,
};
use serde::Serialize;

use super::{ResultSet, Trial};

/// All experiments of some results against one objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The bounds.
    pub objective: Slo,
    /// One entry an experiment, in the order of the plan.
    pub experiments: Vec<JudgedExperiment>,
    /// Id of the experiment with the least energy for each output token among those that meet the objective.
    pub most_efficient: Option<String>,
    /// Id of the one with the most good requests a second among them.
    pub highest_goodput: Option<String>,
    /// Trials that have figures and no request log.
    pub without_log: usize,
}

/// How an experiment fares, over all windows of its completed trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedExperiment {
    /// Its id.
    pub id: String,
    /// Its swept settings.
    pub label: String,
    /// Trials that were judged.
    pub trials: usize,
    /// The verdict; its goodput is over the windows' total length. None without a request log.
    pub verdict: Option<SloVerdict>,
    /// Mean over its trials of the energy for each output token, joules.
    pub energy_per_output_token_joules: Option<f64>,
    /// Whether that is a model's estimate.
    pub estimated: bool,
}

/// Judges every experiment from its request logs.
pub fn judge_again(results: &ResultSet, objective: &Slo) -> Judgement {
    let mut without_log = 0;
    let mut trials: Vec<Vec<Trial<'_>>> =
        results.experiments().iter().map(|_| Vec::new()).collect();
    for trial in results.trials() {
        trials[trial.index].push(trial);
    }
    let experiments: Vec<JudgedExperiment> = results
        .experiments()
        .iter()
        .zip(&trials)
        .map(|(experiment, trials)| {
            let mut found = JudgedExperiment {
                id: experiment.id.to_string(),
                label: experiment.label.clone(),
                trials: 0,
                verdict: None,
                energy_per_output_token_joules: None,
                estimated: false,
            };
            let mut energies = Vec::new();
            let mut seconds = 0.0;
            for trial in trials {
                if let Some(energy) =
                    trial.figures.iter().find(|it| it.name == "energy_per_output_token_joules")
                {
                    energies.push(energy.value);
                    found.estimated |= energy.estimated;
                }
                let Some((verdict, length)) = judged(results, trial.record, objective) else {
                    without_log += usize::from(trial.record.is_completed());
                    continue;
                };
                found.trials += 1;
                seconds += length;
                found.verdict = Some(match found.verdict {
                    Some(before) => objective.together(&before, &verdict, seconds),
                    None => verdict,
                });
            }
            found.energy_per_output_token_joules = mean(&energies);
            found
        })
        .collect();
    let meeting = || experiments.iter().filter(|it| it.is_met());
    let energy = |it: &&JudgedExperiment| it.energy_per_output_token_joules;
    let most_efficient = meeting()
        .filter(|it| energy(it).is_some())
        .min_by(|one, other| energy(one).partial_cmp(&energy(other)).expect("both are there"))
        .map(|it| it.id.clone());
    let goodput = |it: &JudgedExperiment| it.verdict.map_or(0.0, |it| it.goodput_per_second);
    let highest_goodput = meeting()
        .max_by(|one, other| goodput(one).total_cmp(&goodput(other)))
        .map(|it| it.id.clone());
    Judgement { objective: *objective, experiments, most_efficient, highest_goodput, without_log }
}

impl JudgedExperiment {
    /// Whether enough of its requests meet every bound.
    pub fn is_met(&self) -> bool {
        self.verdict.and_then(|it| it.is_met) == Some(true)
    }
}

/// The verdict over all windows of a trial, and their length in seconds.
fn judged(results: &ResultSet, record: &Record, objective: &Slo) -> Option<(SloVerdict, f64)> {
    let measured = record.measured()?;
    let log = results.requests(&record.trial).ok().flatten()?;
    let mut seconds = 0.0;
    let mut all: Option<SloVerdict> = None;
    for window in &measured.windows {
        let span = Window { from_ns: window.begin_ns, to_ns: window.end_ns };
        let verdict = judge(&log, span, objective);
        seconds += span.seconds();
        all = Some(match all {
            Some(before) => objective.together(&before, &verdict, seconds),
            None => verdict,
        });
    }
    Some((all?, seconds))
}

fn mean(values: &[f64]) -> Option<f64> {
    let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
    Some(values.iter().sum::<f64>() / f64::from(count))
}
