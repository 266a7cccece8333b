//! SDMGrad: towards the mean, from two half batches.

use super::modo::Shares;
use super::solve::{Vector, gramian, of_mean, onto_simplex};
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;

/// Stochastic direction-oriented multi-objective gradient descent (Xiao et al. 2023, algorithm 1): the mix `Σ (sᵢ +
/// λ/T) gᵢ` whose shares s, from where they were, take 20 steps of gradient descent with momentum on its square norm,
/// estimated from two independent halves of the batch.
///
/// `w = T (s + λ/T) / (1 + λ)`. Inner learning rate 10, momentum 0.5 and products divided by the squared mean norm as
/// in the paper's code.
pub(super) struct SdmGrad {
    lambda: f64,
    shares: Shares,
}

const STEPS: usize = 20;
const RATE: f64 = 10.0;
const MOMENTUM: f64 = 0.5;

impl SdmGrad {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { lambda: settings.number("lambda"), shares: Shares::new(settings.tasks()) }
    }
}

impl Method for SdmGrad {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let products = gramian(step)?;
        let tasks = step.tasks.len();
        // The products of two halves may be negative even on the diagonal.
        let norm = products.diagonal().map(|square| square.max(0.0).sqrt()).mean();
        let scaled = if norm > 0.0 { products / norm / norm } else { products * 0.0 };
        let pull = Vector::repeat(tasks, self.lambda / tasks as f64);
        let mut shares = self.shares.present(step.tasks);
        let mut velocity = Vector::zeros(tasks);
        for _ in 0..STEPS {
            velocity = velocity * MOMENTUM + &scaled * (&shares + &pull);
            shares = onto_simplex(&(shares - &velocity * RATE));
        }
        self.shares.set(step.tasks, &shares);
        Ok(of_mean(&((shares + pull) / (1.0 + self.lambda))))
    }

    fn state(&self) -> serde_json::Value {
        self.shares.state()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.shares.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn a_strong_pull_is_equal_weighting() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.5, -0.5, 4.0]);
        let mut method = SdmGrad { lambda: 1e9, shares: Shares::new(2) };
        assert!(testing::weights_of(&mut method, &gramian).iter().all(|w| (w - 1.0).abs() < 1e-6));
    }

    #[test]
    fn halves_that_disagree_stay_finite() {
        let products = Matrix::from_row_slice(2, 2, &[-1.0, 0.5, 2.0, -3.0]);
        let mut method = SdmGrad { lambda: 0.3, shares: Shares::new(2) };
        let weights = testing::weights_of(&mut method, &products);
        assert!((weights.iter().sum::<f64>() - 2.0).abs() < 1e-12, "{weights:?}");
    }
}
