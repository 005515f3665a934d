//! When an experiment has been repeated often enough, and which of several should be repeated next.
//!
//! Looks at the intervals of samples; runs nothing and knows no clock.

use crate::{
    stats::{Sample, confidence},
    study::Repeats,
};

/// Whether an experiment needs another trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It does.
    Continue,
    /// It has had its fixed or greatest number.
    Enough,
    /// Its interval is narrow enough.
    Narrow,
}

/// Decides after each trial; `values` are the primary metric of the trials that gave one, in their order, and `done` is
/// how many have run, failed ones included.
///
/// Each look at an interval is a chance to stop at a spread that is small by luck, so that intervals of 95 % that are
/// looked at until they are narrow cover less. Two things make up for that: the interval must be narrow at two looks
/// in a row, and it is one of [`coverage`] instead of 95 %. With both, intervals cover 93 % to 97 % in simulation
/// (`examples/coverage.rs`); for the problem see Glynn and Whitt, Ann. Appl. Probab. 2 (1992) 180.
///
/// ```
/// use llem_core::{repeat::{Decision, decide}, study::Repeats};
/// let rule = Repeats { min: 3, max: 12, half_width: Some(0.02) };
/// assert_eq!(decide(&rule, &[1.0, 1.001, 0.999], 3), Decision::Continue);
/// assert_eq!(decide(&rule, &[1.0, 1.001, 0.999, 1.0], 4), Decision::Narrow);
/// assert_eq!(decide(&rule, &[1.0, 1.5, 0.7, 1.1], 12), Decision::Enough);
/// ```
pub fn decide(rule: &Repeats, values: &[f64], done: u32) -> Decision {
    if done >= rule.max {
        return Decision::Enough;
    }
    let Some(target) = rule.half_width else { return Decision::Continue };
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let narrow =
        |count: usize| half_width(rule, &values[..count]).is_some_and(|width| width <= target);
    if count > rule.min && narrow(values.len()) && narrow(values.len() - 1) {
        Decision::Narrow
    } else {
        Decision::Continue
    }
}

/// The coverage that intervals of trials under a rule must be computed with to cover 95 % in the end.
///
/// ```
/// use llem_core::{repeat::coverage, study::Repeats};
/// assert_eq!(coverage(&Repeats { min: 5, max: 5, half_width: None }), 0.95);
/// assert_eq!(coverage(&Repeats { min: 3, max: 12, half_width: Some(0.02) }), 0.965);
/// ```
pub fn coverage(rule: &Repeats) -> f64 {
    if rule.half_width.is_some() { 0.965 } else { 0.95 }
}

/// Relative half-width of the interval so far; none of fewer than two values or around zero.
pub fn half_width(rule: &Repeats, values: &[f64]) -> Option<f64> {
    let sample = Sample::new(values.to_vec()).ok()?;
    confidence::of_mean(&sample, coverage(rule))?.relative_half_width()
}

/// An experiment that may get another trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its relative half-width so far; none where nothing is known yet.
    pub half_width: Option<f64>,
    /// Trials so far.
    pub done: u32,
    /// What a trial of it costs, in seconds or joules.
    pub cost: f64,
}

/// Which experiment another trial narrows most for its cost; none where there is none.
///
/// The half-width shrinks with the square root of the number of trials, so that the next of `n` takes about `w / 2n` off
/// it. One that nothing is known of comes first.
///
/// ```
/// use llem_core::repeat::{Candidate, next_best};
/// let wide = Candidate { half_width: Some(0.10), done: 4, cost: 60.0 };
/// let narrow = Candidate { half_width: Some(0.01), done: 4, cost: 60.0 };
/// assert_eq!(next_best(&[narrow, wide]), Some(1));
/// ```
pub fn next_best(candidates: &[Candidate]) -> Option<usize> {
    let gain = |it: &Candidate| match it.half_width {
        Some(width) => width / (2.0 * f64::from(it.done.max(1))) / it.cost.max(f64::MIN_POSITIVE),
        None => f64::INFINITY,
    };
    let mut best: Option<(usize, f64)> = None;
    for (at, candidate) in candidates.iter().enumerate() {
        if best.is_none_or(|(_, most)| gain(candidate) > most) {
            best = Some((at, gain(candidate)));
        }
    }
    best.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADAPTIVE: Repeats = Repeats { min: 3, max: 12, half_width: Some(0.02) };

    #[test]
    fn a_fixed_number_is_a_fixed_number() {
        let fixed = Repeats { min: 3, max: 3, half_width: None };
        assert_eq!(decide(&fixed, &[1.0, 1.0], 2), Decision::Continue);
        assert_eq!(decide(&fixed, &[1.0, 9.0, 3.0], 3), Decision::Enough);
    }

    #[test]
    fn one_narrow_look_is_not_enough() {
        assert_eq!(decide(&ADAPTIVE, &[1.0, 1.3, 1.0, 1.0], 4), Decision::Continue);
    }

    #[test]
    fn failed_trials_count_against_the_most_but_narrow_nothing() {
        assert_eq!(decide(&ADAPTIVE, &[], 11), Decision::Continue);
        assert_eq!(decide(&ADAPTIVE, &[], 12), Decision::Enough);
    }

    #[test]
    fn what_is_not_known_at_all_comes_first() {
        let known = Candidate { half_width: Some(0.5), done: 1, cost: 1.0 };
        let unknown = Candidate { half_width: None, done: 1, cost: 100.0 };
        assert_eq!(next_best(&[known, unknown]), Some(1));
        assert_eq!(next_best(&[]), None);
    }

    proptest! {
        #[test]
        fn repeats_end_between_their_bounds(values in proptest::collection::vec(0.1_f64..10.0, 12)) {
            let ends = (1..=12_u32).find(|done| {
                let count = usize::try_from(*done).unwrap();
                decide(&ADAPTIVE, &values[..count], *done) != Decision::Continue
            });
            prop_assert!((4..=12).contains(&ends.unwrap()));
        }
    }
}
