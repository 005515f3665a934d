//! When an experiment has been repeated often enough.
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

/// Decides after each trial; `values` are the primary metric of the trials so far, failed ones left out, and `done` is
/// how many have run.
///
/// Each look at the interval is a chance to stop on a lucky spread, so the interval that must be narrow enough is not
/// that of 95 %: the error of 5 % is shared out over the looks that can come, as Bonferroni does (Wald-type sequential
/// intervals without it cover less than they say; Glynn and Whitt, Ann. Appl. Probab. 2 (1992) 180). The interval
/// that is reported afterwards uses [`coverage`] too.
pub fn decide(rule: &Repeats, values: &[f64], done: u32) -> Decision {
    if done >= rule.max {
        return Decision::Enough;
    }
    let Some(target) = rule.half_width else { return Decision::Continue };
    if done < rule.min {
        return Decision::Continue;
    }
    let narrow = Sample::new(values.to_vec())
        .ok()
        .and_then(|sample| confidence::of_mean(&sample, coverage(rule)))
        .and_then(|estimate| estimate.relative_half_width())
        .is_some_and(|width| width <= target);
    if narrow { Decision::Narrow } else { Decision::Continue }
}

/// The coverage that intervals of repeats under a rule must be computed with to cover 95 % in the end.
///
/// ```
/// use llem_core::{repeat::coverage, study::Repeats};
/// assert_eq!(coverage(&Repeats { min: 5, max: 5, half_width: None }), 0.95);
/// assert!(coverage(&Repeats { min: 3, max: 12, half_width: Some(0.02) }) > 0.95);
/// ```
pub fn coverage(rule: &Repeats) -> f64 {
    let looks = match rule.half_width {
        Some(_) => rule.max - rule.min + 1,
        None => 1,
    };
    1.0 - 0.05 / f64::from(looks).min(SHARE_LIMIT)
}

/// Looks are far from independent, so that beyond a few a further one adds nearly nothing; found by simulation.
const SHARE_LIMIT: f64 = 1.3;
