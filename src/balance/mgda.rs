//! MGDA: the shortest convex combination.

use super::solve::{gramian, least_norm, of_mean};
use super::{Method, Step, Unsolved};

/// The multiple-gradient descent algorithm (Désidéri 2012; Sener & Koltun 2018, equation 3): shares α ≥ 0 with sum 1
/// and the smallest norm of `Σ αᵢ gᵢ`. That direction makes every task better at the same rate, or is zero where none
/// can get better without another getting worse.
///
/// `w = T α`. Solved exactly, where the papers' code takes up to 250 steps of Frank & Wolfe; gradients are not
/// normalised first.
pub(super) struct Mgda;

impl Method for Mgda {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(of_mean(&least_norm(gramian(step)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, example};

    #[test]
    fn every_task_gets_better_at_the_same_rate_unless_it_does_so_faster() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -0.6, 0.1, -0.6, 1.0, 0.1, 0.1, 0.1, 9.0]);
        let weights = example::weights(&mut Mgda, &gramian);
        let rates = example::rates(&gramian, &weights);
        assert!((rates[0] - rates[1]).abs() < 1e-12 && rates[2] > rates[0] - 1e-12 && rates[0] > 0.0, "{rates:?}");
    }
}
