//! Task gradients as lengths and cosines, so that no problem has to span the squares of all scales.

use super::{Matrix, Vector};

/// Norms of the task gradients and inner products of the gradients of norm 1; those of a zero gradient are 0.
pub(in crate::balance) struct Units {
    pub(in crate::balance) norms: Vector,
    pub(in crate::balance) cosines: Matrix,
}

impl Units {
    /// Of the gradients with this Gramian.
    pub(in crate::balance) fn new(gramian: &Matrix) -> Self {
        // Below the smallest normal number a quotient could overflow.
        let norm = |square: f64| if square < f64::MIN_POSITIVE { 0.0 } else { square.sqrt() };
        let norms = gramian.diagonal().map(norm);
        let cosines = Matrix::from_fn(norms.len(), norms.len(), |i, j| match (i == j, norms[i] * norms[j] > 0.0) {
            (_, false) => 0.0,
            (true, true) => 1.0,
            (false, true) => (gramian[(i, j)] / norms[i] / norms[j]).clamp(-1.0, 1.0),
        });
        Self { norms, cosines }
    }

    /// Places of the gradients that are not zero.
    pub(in crate::balance) fn moving(&self) -> Vec<usize> {
        (0..self.norms.len()).filter(|&i| self.norms[i] > 0.0).collect()
    }

    /// The gradients at these places only.
    pub(in crate::balance) fn select(&self, places: &[usize]) -> Self {
        Self { norms: self.norms.select_rows(places), cosines: part(&self.cosines, places) }
    }
}

/// Rows and columns at these places.
pub(in crate::balance) fn part(matrix: &Matrix, places: &[usize]) -> Matrix {
    matrix.select_rows(places).select_columns(places)
}
