//! Least squares of small dense systems.

/// The solution of a least-squares problem, and what is needed to judge it.
pub(super) struct Fit {
    pub(super) coefficients: Vec<f64>,
    pub(super) residuals: Vec<f64>,
    /// Inverse of X'X, row by row.
    inverse: Vec<f64>,
    columns: usize,
}

/// A design whose columns depend on each other.
pub(super) struct Design {
    rows: Vec<Vec<f64>>,
    inverse: Vec<f64>,
    columns: usize,
}

impl Design {
    /// Rows of a design matrix; none where its columns depend on each other or outnumber the rows.
    pub(super) fn new(rows: Vec<Vec<f64>>) -> Option<Self> {
        let columns = rows.first()?.len();
        if columns > rows.len() {
            return None;
        }
        let mut gram = vec![0.0; columns * columns];
        for row in &rows {
            for (at, left) in row.iter().enumerate().filter(|(_, left)| **left != 0.0) {
                for (other, right) in row.iter().enumerate() {
                    gram[at * columns + other] += left * right;
                }
            }
        }
        let inverse = invert(&gram, columns)?;
        Some(Self { rows, inverse, columns })
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    pub(super) fn fit(&self, values: &[f64]) -> Fit {
        let mut moments = vec![0.0; self.columns];
        for (row, value) in self.rows.iter().zip(values) {
            for (moment, cell) in moments.iter_mut().zip(row) {
                *moment += cell * value;
            }
        }
        let coefficients: Vec<f64> =
            self.inverse.chunks_exact(self.columns).map(|row| dot(row, &moments)).collect();
        let residuals = self
            .rows
            .iter()
            .zip(values)
            .map(|(row, value)| value - dot(row, &coefficients))
            .collect();
        Fit { coefficients, residuals, inverse: self.inverse.clone(), columns: self.columns }
    }
}

impl Fit {
    /// Sum of the residuals' squares.
    pub(super) fn residual_squares(&self) -> f64 {
        self.residuals.iter().map(|it| it * it).sum()
    }

    /// Unscaled variance of a linear combination of coefficients.
    pub(super) fn unscaled_variance(&self, weights: &[f64]) -> f64 {
        let rows = self.inverse.chunks_exact(self.columns);
        weights.iter().zip(rows).map(|(weight, row)| weight * dot(row, weights)).sum()
    }

    /// Squares that some coefficients explain beyond all others: b' (C^-1) b of their block.
    pub(super) fn squares_of(&self, from: usize, to: usize) -> f64 {
        let size = to - from;
        let mut block = Vec::with_capacity(size * size);
        for row in from..to {
            block.extend_from_slice(
                &self.inverse[row * self.columns + from..row * self.columns + to],
            );
        }
        let part = &self.coefficients[from..to];
        let Some(inverse) = invert(&block, size) else { return 0.0 };
        inverse.chunks_exact(size).zip(part).map(|(row, value)| value * dot(row, part)).sum()
    }
}

pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// Inverse of a symmetric positive definite matrix by Gauss and Jordan; none where it is singular.
fn invert(matrix: &[f64], size: usize) -> Option<Vec<f64>> {
    let mut left = matrix.to_vec();
    let mut inverse = vec![0.0; size * size];
    for at in 0..size {
        inverse[at * size + at] = 1.0;
    }
    let scale = (0..size).map(|at| matrix[at * size + at].abs()).fold(0.0, f64::max);
    for at in 0..size {
        let pivot = left[at * size + at];
        if pivot <= scale * 1e-10 {
            return None;
        }
        for cell in left[at * size..(at + 1) * size]
            .iter_mut()
            .chain(&mut inverse[at * size..(at + 1) * size])
        {
            *cell /= pivot;
        }
        for row in (0..size).filter(|row| *row != at) {
            let factor = left[row * size + at];
            if factor != 0.0 {
                for column in 0..size {
                    left[row * size + column] -= factor * left[at * size + column];
                    inverse[row * size + column] -= factor * inverse[at * size + column];
                }
            }
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_through_points_on_a_line_is_that_line() {
        let design = Design::new((0..5).map(|x| vec![1.0, f64::from(x)]).collect()).unwrap();
        let fit = design.fit(&[1.0, 3.0, 5.0, 7.0, 9.0]);
        assert!(
            (fit.coefficients[0] - 1.0).abs() < 1e-12 && (fit.coefficients[1] - 2.0).abs() < 1e-12
        );
        assert!(fit.residual_squares() < 1e-20);
        // All of the squares around the mean are the slope's.
        assert!((fit.squares_of(1, 2) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn columns_that_depend_on_each_other_are_no_design() {
        assert!(Design::new(vec![vec![1.0, 2.0], vec![2.0, 4.0], vec![3.0, 6.0]]).is_none());
    }
}
