//! IMTL-G: equal projections.

use super::solve::{Spectrum, Units, Vector, gramian, of_mean};
use super::{Matrix, Method, Step, Unsolved};

/// Impartial multi-task learning, the part on gradients (Liu et al. 2021, IMTL-G): α with sum 1 such that `Σ αᵢ gᵢ` has
/// the same projection onto every task's gradient. Shares may be negative.
///
/// `w = T α`; zero for gradients that are zero or opposites. For independent gradients the paper's closed form; for
/// others `α ∝ G⁺ √diag G` as TorchJD has it (Quinton & Rey 2024).
pub(super) struct ImtlG;

/// What is left of a sum of shares that cancel, as a part of their magnitudes.
const CANCELLED: f64 = 1e-9;

impl Method for ImtlG {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let shares = shares(gramian(step)?)?;
        let sum = shares.sum();
        if shares.amax() == 0.0 {
            // Nothing to project onto, or gradients that no direction agrees with.
            return Ok(vec![0.0; shares.len()]);
        }
        match sum.abs() > CANCELLED * shares.iter().map(|share| share.abs()).sum::<f64>() {
            true => Ok(of_mean(&(shares / sum))),
            false => Err(Unsolved("no mix of the task gradients has equal projections onto all of them".into())),
        }
    }
}

/// α up to its scale.
fn shares(gramian: &Matrix) -> Result<Vector, Unsolved> {
    let Units { norms, cosines } = Units::new(gramian);
    let units = Spectrum::new(&cosines, Spectrum::rounding(norms.len()) * 16.0)?;
    if units.is_full() {
        // G α ∝ ‖g‖ is C (‖g‖∘α) ∝ 1, which no difference in scale spoils.
        let smallest = norms.min();
        return Ok(units.apply(f64::recip, &Vector::repeat(norms.len(), 1.0)).component_div(&norms) * smallest);
    }
    let largest = norms.max();
    match largest > 0.0 {
        false => Ok(norms),
        true => {
            let scaled = gramian / largest / largest;
            let shares = Spectrum::new(&scaled, Spectrum::rounding(norms.len()))?.apply(f64::recip, &(norms / largest));
            Ok(if shares.amax() < CANCELLED { shares * 0.0 } else { shares })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    #[test]
    fn projections_onto_all_gradients_are_equal_whatever_their_scale() {
        let cosines = Matrix::from_row_slice(3, 3, &[1.0, -0.5, 0.2, -0.5, 1.0, 0.3, 0.2, 0.3, 1.0]);
        let norms = Vector::from_vec(vec![1e-6, 1.0, 1e6]);
        let gramian = cosines.component_mul(&(&norms * norms.transpose()));
        let rates = testing::rates(&gramian, &testing::weights_of(&mut ImtlG, &gramian));
        let projections: Vec<_> = rates.iter().zip(&norms).map(|(rate, norm)| rate / norm).collect();
        assert!(projections.iter().all(|p| (p / projections[0] - 1.0).abs() < 1e-9), "{projections:?}");
    }

    #[test]
    fn opposite_gradients_get_no_step() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -1.0, -1.0, 1.0]);
        let weights = testing::weights_of(&mut ImtlG, &gramian);
        assert!(testing::rates(&gramian, &weights).iter().all(|rate| rate.abs() < 1e-12));
    }
}
