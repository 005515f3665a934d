//! Least squares with non-negative coefficients and a small ridge, for a handful of regressors.
//!
//! It works on sums of products, so that a bootstrap can put blocks of observations together cheaply.

/// How many regressors there are.
pub(super) const WIDTH: usize = 6;
/// Ridge, relative to each regressor's own sum of squares: enough to share out collinear ones evenly.
const RIDGE: f64 = 1e-6;
/// Sweeps over the coefficients; they stop earlier once nothing moves.
const SWEEPS: usize = 2_000;

/// Values of all regressors in one observation.
pub(super) type Row = [f64; WIDTH];

/// Sums of products over observations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Products {
    squares: [Row; WIDTH],
    cross: Row,
}

impl Products {
    /// Adds one observation.
    pub(super) fn add(&mut self, row: &Row, value: f64) {
        for (i, x) in row.iter().enumerate() {
            self.cross[i] += x * value;
            for (j, y) in row.iter().enumerate() {
                self.squares[i][j] += x * y;
            }
        }
    }

    /// Adds what others have summed.
    pub(super) fn merge(&mut self, other: &Self) {
        for i in 0..WIDTH {
            self.cross[i] += other.cross[i];
            for j in 0..WIDTH {
                self.squares[i][j] += other.squares[i][j];
            }
        }
    }

    /// The coefficients, each at least zero, by cyclic coordinate descent.
    pub(super) fn solve(&self) -> Row {
        let mut solution = Row::default();
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for i in 0..WIDTH {
                let own = self.squares[i][i] * (1.0 + RIDGE);
                if own <= 0.0 {
                    continue;
                }
                let others: f64 =
                    (0..WIDTH).filter(|&j| j != i).map(|j| self.squares[i][j] * solution[j]).sum();
                let value = ((self.cross[i] - others) / own).max(0.0);
                moved = moved.max((value - solution[i]).abs() * own.sqrt());
                solution[i] = value;
            }
            if moved < 1e-9 {
                break;
            }
        }
        solution
    }
}

/// The value that coefficients predict for a row.
pub(super) fn predict(row: &Row, coefficients: &Row) -> f64 {
    row.iter().zip(coefficients).map(|(x, c)| x * c).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_found_and_never_negative() {
        let truth = [2.0, 0.0, 0.5, 3.0, 0.0, 0.0];
        let mut products = Products::default();
        for n in 0..200_u32 {
            let value = |k: u32| f64::from((n * (7 + 4 * k) + k * k) % (11 + k));
            let row = [value(0), value(1), value(2), value(3), value(4), value(5)];
            // The second regressor pulls down, which no energy can do.
            products.add(&row, predict(&row, &truth) - 0.2 * row[1]);
        }
        let found = products.solve();
        assert!(found.iter().all(|&c| c >= 0.0));
        assert!(found[1].abs() < 1e-9, "{found:?}");
        assert!((found[0] - 2.0).abs() < 0.3 && (found[3] - 3.0).abs() < 0.3, "{found:?}");
    }
}
