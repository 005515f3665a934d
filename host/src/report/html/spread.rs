//! Whole distributions of latencies, from the request logs.

use std::collections::BTreeMap;

use llem_core::latency::{Latency, RequestLog, Window, at_shares};
use serde::Serialize;

use super::{Options, data::rounded, trace::is_asked};
use crate::results::{ResultSet, Trial};

/// Latencies by their names on the page.
pub(super) const LATENCIES: [(&str, Latency); 4] = [
    ("time to first token", Latency::TimeToFirstToken),
    ("inter-token latency", Latency::InterTokenLatency),
    ("time per output token", Latency::TimePerOutputToken),
    ("request latency", Latency::RequestLatency),
];

/// Token arrivals to read over all trials: bounds the time.
const BUDGET: usize = 4_000_000;
/// Experiments with distributions: bounds the file.
const MOST: usize = 100;

/// Distributions of as many experiments as the budget allows.
#[derive(Debug, Serialize)]
pub(super) struct Spreads {
    /// The shares of values at which the curves are given, from 0 to 1.
    shares: Vec<f64>,
    of: Vec<Spread>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Spread {
    experiment: usize,
    /// How many values there are of each latency.
    counts: [usize; 4],
    /// Seconds at the shares.
    seconds: [Option<Vec<f64>>; 4],
}

/// Reads request logs: those of experiments that were asked for, then of the others in their order, with all their trials.
pub(super) fn of(results: &ResultSet, trials: &[Trial<'_>], options: &Options) -> Spreads {
    let mut by_experiment: BTreeMap<(bool, usize), Vec<&Trial<'_>>> = BTreeMap::new();
    for trial in trials.iter().filter(|it| it.record.is_completed()) {
        by_experiment.entry((!is_asked(trial, options), trial.index)).or_default().push(trial);
    }
    let shares = shares();
    let (mut read, mut left_out) = (0, 0);
    let mut unreadable = Vec::new();
    let mut spreads = Vec::new();
    for ((unasked, experiment), trials) in by_experiment {
        if unasked && (read > BUDGET || spreads.len() >= MOST) {
            left_out += 1;
            continue;
        }
        let mut values: [Vec<f64>; 4] = Default::default();
        for trial in trials {
            match results.requests(&trial.record.trial) {
                Ok(Some(log)) => {
                    read += log.requests.iter().map(|it| it.tokens.len() + 1).sum::<usize>();
                    add(&mut values, trial, &log);
                }
                Ok(None) => (),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
        let counts = values.each_ref().map(Vec::len);
        if counts.iter().any(|it| *it > 0) {
            let at = |values| at_shares(values, &shares);
            let seconds = values.map(|it| Some(at(it)?.into_iter().map(rounded).collect()));
            spreads.push(Spread { experiment, counts, seconds });
        }
    }
    spreads.sort_by_key(|it| it.experiment);
    let left_out = (left_out > 0).then(|| {
        format!(
            "{left_out} further experiments are left out to keep the page small: `llem report RESULTS --trace EXPERIMENT` \
             shows any of them."
        )
    });
    let unreadable = unreadable.first().map(|first| {
        format!("The request logs of {} trials can't be read: {first}.", unreadable.len())
    });
    let notes: Vec<String> = left_out.into_iter().chain(unreadable).collect();
    let note = (!notes.is_empty()).then(|| notes.join(" "));
    Spreads { shares, of: spreads, note }
}

fn add(values: &mut [Vec<f64>; 4], trial: &Trial<'_>, log: &RequestLog) {
    for window in trial.record.measured().map(|it| &it.windows).into_iter().flatten() {
        let span = Window { from_ns: window.begin_ns, to_ns: window.end_ns };
        for (values, (_, latency)) in values.iter_mut().zip(LATENCIES) {
            values.extend(latency.values(log, span));
        }
    }
}

/// Each percent, and the tail more finely.
fn shares() -> Vec<f64> {
    let percents = (0..=99_u32).map(|it| f64::from(it) / 100.0);
    percents.chain([0.995, 0.999, 1.0]).collect()
}
