//! Least squares of small dense systems.

/// A design matrix under construction: rows as their cells that are not zero, since factors leave most of them empty.
pub(super) struct Builder {
    rows: Vec<Vec<(usize, f64)>>,
    columns: usize,
    /// X'X, lower triangle, row by row.
    gram: Vec<Vec<f64>>,
    /// Its Cholesky factor.
    factor: Vec<Vec<f64>>,
}

impl Builder {
    /// A design without columns.
    pub(super) fn new(rows: usize) -> Self {
        Self { rows: vec![Vec::new(); rows], columns: 0, gram: Vec::new(), factor: Vec::new() }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Adds columns, given as each row's cells, unless the columns then depend on each other. All rows have as many.
    pub(super) fn add(&mut self, cells: &[Vec<f64>]) -> bool {
        let from = self.columns;
        let to = from + cells.first().map_or(0, Vec::len);
        let before: Vec<usize> = self.rows.iter().map(Vec::len).collect();
        for (row, cells) in self.rows.iter_mut().zip(cells) {
            let filled = cells.iter().enumerate().filter(|(_, cell)| **cell != 0.0);
            row.extend(filled.map(|(at, cell)| (from + at, *cell)));
        }
        self.gram.extend((from..to).map(|at| vec![0.0; at + 1]));
        for (row, before) in self.rows.iter().zip(&before) {
            for (place, (at, left)) in row.iter().enumerate().skip(*before) {
                for (other, right) in &row[..=place] {
                    self.gram[*at][*other] += left * right;
                }
            }
        }
        if self.extend_factor() {
            self.columns = to;
            return true;
        }
        for (row, before) in self.rows.iter_mut().zip(before) {
            row.truncate(before);
        }
        self.gram.truncate(from);
        self.factor.truncate(from);
        false
    }

    /// Brings the Cholesky factor up to the Gram matrix; fails where a column depends on those before it.
    fn extend_factor(&mut self) -> bool {
        let scale = self.gram.iter().enumerate().map(|(at, row)| row[at]).fold(0.0, f64::max);
        for at in self.factor.len()..self.gram.len() {
            let mut row = Vec::with_capacity(at + 1);
            for other in 0..at {
                let rest = self.gram[at][other] - dot(&row, &self.factor[other][..other]);
                row.push(rest / self.factor[other][other]);
            }
            let pivot = self.gram[at][at] - dot(&row, &row);
            if pivot <= scale * SINGULAR {
                return false;
            }
            row.push(pivot.sqrt());
            self.factor.push(row);
        }
        true
    }

    /// The design, if it has columns.
    pub(super) fn finish(self) -> Option<Design> {
        let columns = self.columns;
        let mut gram = vec![0.0; columns * columns];
        for (at, row) in self.gram.iter().enumerate() {
            for (other, value) in row.iter().enumerate() {
                gram[at * columns + other] = *value;
                gram[other * columns + at] = *value;
            }
        }
        let inverse = if columns > 0 { invert(&gram, columns)? } else { return None };
        Some(Design { rows: self.rows, inverse, columns })
    }
}

/// The solution of a least-squares problem, and what is needed to judge it.
pub(super) struct Fit {
    pub(super) coefficients: Vec<f64>,
    pub(super) residuals: Vec<f64>,
}

/// A design whose columns do not depend on each other.
pub(super) struct Design {
    rows: Vec<Vec<(usize, f64)>>,
    /// Inverse of X'X, row by row.
    inverse: Vec<f64>,
    columns: usize,
}

impl Design {
    /// Rows of a design matrix; none where its columns depend on each other.
    pub(super) fn new(rows: &[Vec<f64>]) -> Option<Self> {
        let mut builder = Builder::new(rows.len());
        builder.add(rows).then(|| builder.finish())?
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// What the coefficients say of each row.
    pub(super) fn fitted(&self, coefficients: &[f64]) -> Vec<f64> {
        let cells = |row: &[(usize, f64)]| -> f64 {
            row.iter().map(|(at, cell)| cell * coefficients[*at]).sum()
        };
        self.rows.iter().map(|row| cells(row)).collect()
    }

    /// How much each row's value decides what is fitted to it: x' C x.
    pub(super) fn leverages(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().map(|row| {
            let part = |(at, left): &(usize, f64)| -> f64 {
                let line = &self.inverse[at * self.columns..];
                left * row.iter().map(|(other, right)| right * line[*other]).sum::<f64>()
            };
            row.iter().map(part).sum()
        })
    }

    /// Coefficients, and the squares that they explain.
    pub(super) fn solve(&self, values: &[f64]) -> (Vec<f64>, f64) {
        let mut moments = vec![0.0; self.columns];
        for (row, value) in self.rows.iter().zip(values) {
            for (at, cell) in row {
                moments[*at] += cell * value;
            }
        }
        let rows = self.inverse.chunks_exact(self.columns);
        let coefficients: Vec<f64> = rows.map(|row| dot(row, &moments)).collect();
        let explained = dot(&coefficients, &moments);
        (coefficients, explained)
    }

    pub(super) fn fit(&self, values: &[f64]) -> Fit {
        let (coefficients, _) = self.solve(values);
        let fitted = self.fitted(&coefficients);
        let residuals = values.iter().zip(fitted).map(|(value, fitted)| value - fitted).collect();
        Fit { coefficients, residuals }
    }

    /// Unscaled variance of a linear combination of coefficients.
    pub(super) fn unscaled_variance(&self, weights: &[f64]) -> f64 {
        let rows = self.inverse.chunks_exact(self.columns);
        weights.iter().zip(rows).map(|(weight, row)| weight * dot(row, weights)).sum()
    }

    /// What tells the squares that some coefficients explain beyond all others: the inverse of their block of C.
    pub(super) fn block(&self, from: usize, to: usize) -> Block {
        let mut part = Vec::with_capacity((to - from) * (to - from));
        for row in from..to {
            part.extend_from_slice(
                &self.inverse[row * self.columns + from..row * self.columns + to],
            );
        }
        Block { from, to, inverse: invert(&part, to - from) }
    }
}

impl Fit {
    /// Sum of the residuals' squares.
    pub(super) fn residual_squares(&self) -> f64 {
        dot(&self.residuals, &self.residuals)
    }
}

/// Some neighbouring coefficients of a design.
pub(super) struct Block {
    from: usize,
    to: usize,
    inverse: Option<Vec<f64>>,
}

impl Block {
    /// Squares that the block's coefficients explain beyond all others: b' (C^-1) b.
    pub(super) fn squares(&self, coefficients: &[f64]) -> f64 {
        let Some(inverse) = &self.inverse else { return 0.0 };
        let part = &coefficients[self.from..self.to];
        inverse.chunks_exact(part.len()).zip(part).map(|(row, value)| value * dot(row, part)).sum()
    }
}

/// A pivot that is this much smaller than the largest is rounding.
const SINGULAR: f64 = 1e-10;

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
        if pivot <= scale * SINGULAR {
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
        let rows: Vec<Vec<f64>> = (0..5).map(|x| vec![1.0, f64::from(x)]).collect();
        let design = Design::new(&rows).unwrap();
        let fit = design.fit(&[1.0, 3.0, 5.0, 7.0, 9.0]);
        assert!(
            (fit.coefficients[0] - 1.0).abs() < 1e-12 && (fit.coefficients[1] - 2.0).abs() < 1e-12
        );
        assert!(fit.residual_squares() < 1e-20);
        // All of the squares around the mean are the slope's.
        assert!((design.block(1, 2).squares(&fit.coefficients) - 40.0).abs() < 1e-9);
        // Leverages add up to the number of columns.
        assert!((design.leverages().sum::<f64>() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn explained_and_residual_squares_are_all_squares() {
        let rows: Vec<Vec<f64>> = (0..6).map(|x| vec![1.0, f64::from(x % 3)]).collect();
        let values = [1.0, 0.5, -2.0, 3.0, 0.25, 1.5];
        let design = Design::new(&rows).unwrap();
        let (_, explained) = design.solve(&values);
        let rest = design.fit(&values).residual_squares();
        assert!((explained + rest - dot(&values, &values)).abs() < 1e-12);
    }

    #[test]
    fn columns_that_depend_on_each_other_are_refused_and_leave_no_trace() {
        let mut builder = Builder::new(3);
        assert!(builder.add(&[vec![1.0], vec![2.0], vec![3.0]]));
        assert!(!builder.add(&[vec![0.0, 2.0], vec![1.0, 4.0], vec![0.0, 6.0]]));
        assert_eq!(builder.columns(), 1);
        assert!(builder.add(&[vec![0.0], vec![1.0], vec![0.0]]));
        let fit = builder.finish().unwrap().fit(&[1.0, 7.0, 3.0]);
        assert!((fit.coefficients[1] - 5.0).abs() < 1e-12, "{:?}", fit.coefficients);
    }
}
