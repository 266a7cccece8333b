//! FairGrad: α-fair gains.

use super::solve::{bargain, gramian};
use super::{Method, Settings, Step, Unsolved};

/// Fair resource allocation (Ban & Ji 2024, equation 4): `Σ wᵢ gᵢ` with w > 0 and `G w = w^(−1/α)`, which makes the sum
/// of α-fair utilities of the tasks' gains largest. α = 1 is Nash-MTL without its limit; a larger α cares more for the
/// task that gains least.
///
/// `w` as it is there, so that its scale is that of `‖g‖^(−2α/(1+α))`; α = 0 is equal weighting. Newton's method finds
/// the one solution, where the paper's code takes a least-squares solver's last point; gradients that cancel have none.
pub(super) struct FairGrad {
    alpha: f64,
}

impl FairGrad {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { alpha: settings.number("alpha") }
    }
}

impl Method for FairGrad {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        match self.alpha > 0.0 {
            true => bargain(gramian, 1.0 / self.alpha),
            false => Ok(vec![1.0; step.tasks.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn gains_are_the_powers_of_weights() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.4, -0.4, 9.0]);
        for alpha in [0.5, 1.0, 2.0, 10.0] {
            let weights = testing::weights_of(&mut FairGrad { alpha }, &gramian);
            let gains = testing::rates(&gramian, &weights);
            assert!(gains.iter().zip(&weights).all(|(gain, w)| (gain * w.powf(1.0 / alpha) - 1.0).abs() < 1e-8));
        }
    }
}
