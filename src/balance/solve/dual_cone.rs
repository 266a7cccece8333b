//! The nearest direction that conflicts with no task.

use super::{Matrix, Vector, nonnegative};
use crate::balance::Unsolved;

/// The directions that conflict with no task gradient.
pub(in crate::balance) struct DualCone(Matrix);

impl DualCone {
    /// Of the gradients with this Gramian, divided by its trace, with `ridge` on the diagonal so that the nearest
    /// direction has one set of weights.
    pub(in crate::balance) fn new(gramian: &Matrix, ridge: f64) -> Self {
        let trace = gramian.trace();
        let mut cone = match trace < f64::MIN_POSITIVE {
            true => Matrix::zeros(gramian.nrows(), gramian.nrows()),
            false => gramian / trace,
        };
        for i in 0..cone.nrows() {
            cone[(i, i)] += ridge;
        }
        Self(cone)
    }

    /// Weights v of the direction in the cone that is nearest to `Σ uᵢ gᵢ`: the v ≥ u with the smallest `vᵀGv` (Quinton
    /// & Rey 2024, proposition 1).
    pub(in crate::balance) fn project(&self, u: &Vector) -> Result<Vector, Unsolved> {
        let more = nonnegative(&self.0, &-(&self.0 * u))?;
        Ok(u + more.ok_or_else(|| Unsolved("the cone without conflicts has no nearest direction".into()))?)
    }
}
