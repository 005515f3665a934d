//! When publications really happened: brackets, made narrower by the regularity of the grid.
//!
//! A bracket says within which two reads a publication fell. Its neighbours say where the grid expects
//! it. Both are combined by their variances, and the result never leaves the bracket.

use crate::units::length;

/// Neighbours on each side that predict a publication's time.
const NEIGHBOURS: usize = 20;
/// Fewest publications from which a grid is predicted.
const FEWEST: usize = 8;
/// Least standard uncertainty of a publication's time, in seconds.
const FLOOR: f64 = 0.000_1;

/// A publication's time and its standard uncertainty, in seconds.
pub(super) struct Placed {
    pub(super) time: f64,
    pub(super) standard: f64,
}

/// Places publications whose brackets have these middles and half widths.
pub(super) fn place(mids: &[f64], halves: &[f64], period: Option<f64>) -> Vec<Placed> {
    let alone = || {
        let pairs = mids.iter().zip(halves);
        pairs.map(|(&time, &half)| Placed { time, standard: within(half).max(FLOOR) }).collect()
    };
    let Some(period) = period.filter(|_| mids.len() >= FEWEST) else { return alone() };
    let numbers = numbers(mids, halves, period);
    let predicted: Vec<Placed> =
        (0..mids.len()).map(|index| predict(index, &numbers, mids, halves)).collect();
    let wander = wander(mids, halves, &predicted);
    let one = |((prediction, &mid), &half): ((&Placed, &f64), &f64)| {
        // The grid's own wandering adds to the prediction's uncertainty.
        let grid = wander + prediction.standard.powi(2);
        let seen = within(half).powi(2);
        let weight = grid / (grid + seen).max(f64::MIN_POSITIVE);
        let time = prediction.time + weight * (mid - prediction.time);
        let standard = (grid * seen / (grid + seen).max(f64::MIN_POSITIVE)).sqrt();
        Placed { time: time.clamp(mid - half, mid + half), standard: standard.max(FLOOR) }
    };
    predicted.iter().zip(mids).zip(halves).map(one).collect()
}

/// Standard deviation of a publication within its bracket. The bracket spans two reads, and each takes
/// its value at about the same point of its course, so a publication can lie in the middle half only.
fn within(half: f64) -> f64 {
    half / 12.0_f64.sqrt()
}

/// Each publication's place on the grid.
fn numbers(mids: &[f64], halves: &[f64], period: f64) -> Vec<f64> {
    // A bracket's end is soon after its publication even where its begin is long before.
    let ends: Vec<f64> = mids.iter().zip(halves).map(|(mid, half)| mid + half).collect();
    // Over a reader that was kept from its work only the others can be counted: its own bracket holds several.
    let is_wide = |index: usize| 2.0 * halves[index] > period;
    let mut numbers = vec![0.0];
    for index in 1..mids.len() {
        let since = (0..index).rev().find(|&it| !is_wide(it)).unwrap_or(index - 1);
        let passed = ((ends[index] - ends[since]) / period).round();
        numbers.push(numbers[since] + passed.max(length(index - since)));
        // What it found was the newest, so that the next one comes right after it.
        for wide in (since + 1..index).rev().filter(|_| !is_wide(index)) {
            let later = ((ends[index] - ends[wide]) / period).floor() + 1.0;
            numbers[wide] = (numbers[index] - later).max(numbers[wide - 1] + 1.0);
        }
    }
    numbers
}

/// The grid's time for one publication, from its neighbours by weighted least squares.
fn predict(index: usize, numbers: &[f64], mids: &[f64], halves: &[f64]) -> Placed {
    let first = index.saturating_sub(NEIGHBOURS);
    let last = (index + NEIGHBOURS + 1).min(mids.len());
    let weight = |k: usize| 1.0 / within(halves[k]).max(FLOOR).powi(2);
    let near = || (first..last).filter(|&k| k != index);
    let total: f64 = near().map(weight).sum();
    let mean =
        |value: &dyn Fn(usize) -> f64| near().map(|k| weight(k) * value(k)).sum::<f64>() / total;
    let (centre, middle) = (mean(&|k| numbers[k]), mean(&|k| mids[k]));
    let square = mean(&|k| (numbers[k] - centre).powi(2));
    let slope = mean(&|k| (numbers[k] - centre) * (mids[k] - middle)) / square;
    let reach = numbers[index] - centre;
    let variance = (1.0 + reach * reach / square) / total;
    Placed { time: middle + slope * reach, standard: variance.sqrt() }
}

/// Variance of publications around their grid, beyond what the brackets explain.
fn wander(mids: &[f64], halves: &[f64], predicted: &[Placed]) -> f64 {
    let mut squares: Vec<f64> =
        mids.iter().zip(predicted).map(|(mid, placed)| (mid - placed.time).powi(2)).collect();
    let mut explained: Vec<f64> = halves.iter().map(|&half| within(half).powi(2)).collect();
    squares.sort_by(f64::total_cmp);
    explained.sort_by(f64::total_cmp);
    let middle = squares.len() / 2;
    // The median of a squared normal deviate is 0.455 variances, of a squared uniform one 0.75.
    let spread = squares[middle] / 0.455;
    (spread - explained[middle] * length(mids.len()) / length(mids.len() - 2)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_grid_makes_a_wide_bracket_narrow() {
        let mut mids: Vec<f64> = (0..30).map(|n| 0.1 * f64::from(n)).collect();
        let mut halves = vec![0.003; 30];
        // One bracket is ten times as wide, and its middle misses the publication.
        mids[12] += 0.02;
        halves[12] = 0.03;
        let placed = place(&mids, &halves, Some(0.1));
        assert!((placed[12].time - 1.2).abs() < 1e-3, "{}", placed[12].time);
        assert!(placed[12].standard < 1e-3);
    }

    #[test]
    fn a_bracket_over_many_publications_is_placed_by_those_around_it() {
        // Nothing was read from just after 1.2 s until shortly before, or after, 2.1 s.
        for (end, published) in [(2.08, 2.0), (2.12, 2.1)] {
            let earlier = (0..=12).map(|n| (0.1 * f64::from(n), 0.003));
            let later = (1..=12).map(|n| (published + 0.1 * f64::from(n), 0.003));
            let wide = (f64::midpoint(1.21, end), (end - 1.21) / 2.0);
            let (mids, halves): (Vec<f64>, Vec<f64>) = earlier.chain([wide]).chain(later).unzip();
            let placed = place(&mids, &halves, Some(0.1));
            for (time, is) in
                [(1.2, &placed[12]), (published, &placed[13]), (published + 0.1, &placed[14])]
            {
                assert!((is.time - time).abs() < 1e-3, "{} is not {time}", is.time);
            }
        }
    }

    #[test]
    fn a_placed_publication_stays_in_its_bracket() {
        let mut mids: Vec<f64> = (0..30).map(|n| 0.1 * f64::from(n)).collect();
        mids[5] += 0.04;
        let placed = place(&mids, &[0.001; 30], Some(0.1));
        assert!((placed[5].time - mids[5]).abs() <= 0.001 + 1e-12);
    }

    #[test]
    fn few_publications_keep_their_middles() {
        let placed = place(&[0.0, 0.1], &[0.002, 0.004], Some(0.1));
        assert!((placed[1].time - 0.1).abs() < 1e-12);
        assert!((placed[1].standard - within(0.004)).abs() < 1e-12);
    }
}
