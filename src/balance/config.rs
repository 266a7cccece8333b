//! ConFIG: equal cosines.

use super::solve::{Spectrum, Units, Vector, gramian};
use super::{Method, Step, Unsolved};

/// Conflict-free inverse gradients (Liu et al. 2025, equation 2): the direction with the same cosine to every task's
/// gradient, as long as the sum of the projections of all gradients onto it.
///
/// With C the cosines and `y = C⁺ 1`, `w = y ‖d‖ / ‖g‖`: the sum of equal gradients. Gradients that are zero have no
/// say.
pub(super) struct ConFig;

/// Share of the largest eigenvalue of the cosines that counts as zero.
const ZERO: f64 = 1e-12;

impl Method for ConFig {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let Units { norms, cosines } = Units::new(gramian(step)?);
        let y = Spectrum::new(&cosines, ZERO)?.apply(f64::recip, &Vector::repeat(norms.len(), 1.0));
        let along = &cosines * &y;
        let square = y.dot(&along);
        if square < ZERO {
            // All zero, or no direction that every gradient agrees with.
            return Ok(vec![0.0; norms.len()]);
        }
        let length = norms.dot(&along) / square;
        Ok(y.iter().zip(&norms).map(|(y, norm)| if *norm > 0.0 { length * y / norm } else { 0.0 }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn cosines_to_all_gradients_are_equal() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -0.4, 0.0, -0.4, 25.0, 0.2, 0.0, 0.2, 0.01]);
        let rates = testing::rates(&gramian, &testing::weights_of(&mut ConFig, &gramian));
        let cosines = [rates[0] / 1.0, rates[1] / 5.0, rates[2] / 0.1];
        assert!(cosines.iter().all(|cosine| (cosine / cosines[0] - 1.0).abs() < 1e-9 && *cosine > 0.0), "{cosines:?}");
    }
}
