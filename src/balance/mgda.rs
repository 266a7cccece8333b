//! MGDA: the shortest convex combination.

use super::solve::{gramian, least_norm, of_mean};
use super::{Matrix, Method, Settings, Step, Unsolved};

/// The multiple-gradient descent algorithm (Désidéri 2012; Sener & Koltun 2018, equation 3): shares α ≥ 0 with sum 1
/// and the smallest norm of `Σ αᵢ gᵢ`. That direction makes every task better at the same rate, or is zero where none
/// can get better without another getting worse.
///
/// `w = T α`. Solved exactly, where the papers' code takes up to 250 steps of Frank & Wolfe. Gradients may be divided by
/// their length, their loss or both first, as in Sener & Koltun's code; α then weighs the gradients as they are.
#[derive(Default)]
pub(super) struct Mgda {
    by_length: bool,
    by_loss: bool,
}

impl Mgda {
    pub(super) fn new(settings: &Settings) -> Self {
        let word = settings.word("normalize");
        Self { by_length: word.ends_with("l2"), by_loss: word.starts_with("loss") }
    }

    /// What a task's gradient is divided by; 1 where that would be nothing.
    fn size(&self, square: f64, loss: f64) -> f64 {
        let length = if self.by_length { square.max(0.0).sqrt() } else { 1.0 };
        let size = length * if self.by_loss { loss.abs() } else { 1.0 };
        if size > 0.0 { size } else { 1.0 }
    }
}

impl Method for Mgda {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let sizes: Vec<f64> =
            gramian.diagonal().iter().zip(step.losses).map(|(square, loss)| self.size(*square, *loss)).collect();
        let divided = Matrix::from_fn(gramian.nrows(), gramian.ncols(), |i, j| gramian[(i, j)] / sizes[i] / sizes[j]);
        Ok(of_mean(&least_norm(&divided)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    #[test]
    fn every_task_gets_better_at_the_same_rate_unless_it_does_so_faster() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -0.6, 0.1, -0.6, 1.0, 0.1, 0.1, 0.1, 9.0]);
        let weights = testing::weights_of(&mut Mgda::default(), &gramian);
        let rates = testing::rates(&gramian, &weights);
        assert!((rates[0] - rates[1]).abs() < 1e-12 && rates[2] > rates[0] - 1e-12 && rates[0] > 0.0, "{rates:?}");
    }
}
