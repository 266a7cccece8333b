//! Eigenvalues, and inverses of what is not zero of a matrix.

use super::{Matrix, Vector};
use crate::balance::Unsolved;

/// Eigenvalues of a Gramian that are above rounding, falling, and their vectors as columns.
pub(in crate::balance) struct Spectrum {
    pub(in crate::balance) values: Vec<f64>,
    pub(in crate::balance) vectors: Matrix,
}

impl Spectrum {
    /// Of a symmetric, positive semi-definite matrix. An eigenvalue counts as zero at `tolerance` times the largest.
    ///
    /// # Errors
    /// If the iteration for the eigenvalues does not end.
    pub(in crate::balance) fn new(matrix: &Matrix, tolerance: f64) -> Result<Self, Unsolved> {
        // Of numbers around 1, whatever the gradients' scale.
        let scale = matrix.diagonal().max();
        if scale < f64::MIN_POSITIVE {
            return Ok(Self { values: Vec::new(), vectors: Matrix::zeros(matrix.nrows(), 0) });
        }
        let eigen = nalgebra::SymmetricEigen::try_new(matrix / scale, f64::EPSILON, 1000)
            .ok_or_else(|| Unsolved("the eigenvalues of the Gramian were not found".into()))?;
        let zero = tolerance * eigen.eigenvalues.max();
        let mut places: Vec<_> = (0..eigen.eigenvalues.len()).filter(|&i| eigen.eigenvalues[i] > zero).collect();
        places.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
        Ok(Self {
            values: places.iter().map(|&i| eigen.eigenvalues[i] * scale).collect(),
            vectors: eigen.eigenvectors.select_columns(&places),
        })
    }

    /// The tolerance below which an eigenvalue of a Gramian of so many gradients is rounding.
    pub(in crate::balance) fn rounding(tasks: usize) -> f64 {
        tasks as f64 * f64::EPSILON
    }

    /// Whether no eigenvalue is zero.
    pub(in crate::balance) fn is_full(&self) -> bool {
        self.values.len() == self.vectors.nrows()
    }

    /// `V f(Λ) Vᵀ x`: a function of the matrix, of what is not zero in it, times a vector.
    pub(in crate::balance) fn apply(&self, f: impl Fn(f64) -> f64, x: &Vector) -> Vector {
        let mut inside = self.vectors.tr_mul(x);
        inside.iter_mut().zip(&self.values).for_each(|(entry, &value)| *entry *= f(value));
        &self.vectors * inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_singular_matrix_has_a_pseudo_inverse() {
        let g = Matrix::from_row_slice(2, 2, &[4e-20, 2e-20, 2e-20, 1e-20]);
        let spectrum = Spectrum::new(&g, Spectrum::rounding(2)).unwrap();
        assert!(spectrum.values.len() == 1 && !spectrum.is_full());
        let x = spectrum.apply(f64::recip, &Vector::from_vec(vec![2.0, 1.0]));
        assert!((x * 1e-20 - Vector::from_vec(vec![0.4, 0.2])).norm() < 1e-14);
    }
}
