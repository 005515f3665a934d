//! Where the energy of a trial's windows went: prefill, decode, idle power, and what nothing attributes.

use llem_core::{
    energy::{Attribution, EnergyReading},
    record::{Measured, WindowRecord, primary_scope},
};

use super::data::rounded;

/// Joules of prefill, decode, idle with the model loaded, and the rest.
type Split = [f64; 4];

/// Mean over the trials that can be split; none where none can.
pub(super) fn of<'a>(trials: impl Iterator<Item = &'a Measured>) -> Option<Split> {
    let splits: Vec<Split> = trials.filter_map(of_trial).collect();
    let count = u32::try_from(splits.len()).ok().filter(|it| *it > 0)?;
    let sum = splits.iter().fold([0.0; 4], |sum, it| add(sum, *it));
    Some(sum.map(|it| rounded(it / f64::from(count))))
}

fn add(one: Split, other: Split) -> Split {
    std::array::from_fn(|at| one[at] + other[at])
}

/// Sum over all devices of all windows: a part of them would look like all.
fn of_trial(trial: &Measured) -> Option<Split> {
    let scope = primary_scope(trial)?;
    let mut sum = [0.0; 4];
    for window in &trial.windows {
        for reading in window.energy.iter().filter(|it| it.scope == scope) {
            sum = add(sum, of_device(window, reading)?);
        }
    }
    Some(sum)
}

fn of_device(window: &WindowRecord, reading: &EnergyReading) -> Option<Split> {
    let phases = window.phases.iter().find(|it| it.device == reading.device);
    let attributed = phases.and_then(|it| it.attribution.as_ref()).and_then(attributed);
    // Without phases, the idle power still tells what the requests added.
    attributed.or_else(|| {
        let above = reading.net_context.as_ref()?.energy_joules.get();
        Some([0.0, 0.0, reading.energy_joules?.get() - above, above])
    })
}

fn attributed(it: &Attribution) -> Option<Split> {
    Some([
        it.prefill?.energy_joules.get(),
        it.decode?.energy_joules.get(),
        it.static_joules.get(),
        it.unattributed_joules.get(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::ResultSet;

    #[test]
    fn idle_and_the_rest_are_the_energy_of_a_real_trial_without_phases() {
        let directory =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/h100/pytorch-baseline");
        let results = ResultSet::open(directory).expect("it is readable");
        let measured: Vec<&Measured> =
            results.records().iter().filter_map(|it| it.measured()).collect();
        let [prefill, decode, idle, rest] =
            of(measured.iter().copied()).expect("it has idle power");
        let energy: f64 = measured[0].windows[0].energy[0].energy_joules.expect("measured").get();
        assert_eq!((prefill, decode), (0.0, 0.0));
        assert!(idle > rest && rest > 0.0, "{idle} {rest}");
        assert!(((idle + rest) / energy - 1.0).abs() < 1e-4, "{idle} + {rest} is not {energy}");
    }
}
