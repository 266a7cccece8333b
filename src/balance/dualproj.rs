//! DualProj: the mean gradient without its conflicts.

use super::solve::{DualCone, Vector, gramian, of_mean};
use super::{Method, Settings, Step, Unsolved};

/// Gradient episodic memory (Lopez-Paz & Ranzato 2017, equation 11), as TorchJD makes it a balancing method: the
/// direction nearest to the mean gradient that conflicts with no task.
///
/// `w = T v`; ridge as in UPGrad.
pub(super) struct DualProj {
    ridge: f64,
}

impl DualProj {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { ridge: settings.number("ridge") }
    }
}

impl Method for DualProj {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let mean = Vector::repeat(step.tasks.len(), 1.0 / step.tasks.len() as f64);
        Ok(of_mean(&DualCone::new(gramian(step)?, self.ridge).project(&mean)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn the_mean_stays_where_nobody_minds() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.5, -0.5, 1.0]);
        assert_eq!(testing::weights_of(&mut DualProj { ridge: 1e-4 }, &gramian), [1.0, 1.0]);
    }

    #[test]
    fn a_small_gradient_is_not_run_over() {
        let gramian = Matrix::from_row_slice(2, 2, &[0.01, -0.5, -0.5, 100.0]);
        let weights = testing::weights_of(&mut DualProj { ridge: 1e-9 }, &gramian);
        let rates = testing::rates(&gramian, &weights);
        assert!(rates[0].abs() < 1e-4 && rates[1] > 0.0 && weights[1] == 1.0, "{weights:?} {rates:?}");
    }
}
