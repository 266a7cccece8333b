//! UPGrad: each gradient without its conflicts.

use super::solve::{DualCone, Vector, gramian, of_mean};
use super::{Method, Settings, Step, Unsolved};

/// Unconflicting projection of gradients (Quinton & Rey 2024, section 3): each task's gradient is replaced by the
/// nearest direction that conflicts with no task, and the result is their mean, which conflicts with none either.
///
/// `w = T Σᵢ vᵢ`, `vᵢ` of `DualCone::project` for the gradient of task i over T. The Gramian is divided by its trace
/// and gets `ridge` on its diagonal, as in TorchJD, so that weights are unique; TorchJD takes the plain mean where the
/// trace is below 1e-4, we only where it is zero.
pub(super) struct UpGrad {
    ridge: f64,
}

impl UpGrad {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { ridge: settings.number("ridge") }
    }

    /// With TorchJD's ridge.
    pub(super) fn usual() -> Self {
        Self { ridge: 1e-4 }
    }
}

impl Method for UpGrad {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let tasks = step.tasks.len();
        let cone = DualCone::new(gramian(step)?, self.ridge);
        let mut sum = Vector::zeros(tasks);
        for task in 0..tasks {
            let mut own = Vector::zeros(tasks);
            own[task] = 1.0 / tasks as f64;
            sum += cone.project(&own)?;
        }
        Ok(of_mean(&sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn no_task_is_in_conflict() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -2.7, 0.3, -2.7, 9.0, 0.2, 0.3, 0.2, 0.25]);
        let weights = testing::weights_of(&mut UpGrad { ridge: 1e-9 }, &gramian);
        assert!(testing::rates(&gramian, &weights).iter().all(|&rate| rate > -1e-7));
    }

    #[test]
    fn gradients_that_agree_count_the_same() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.5, 0.5, 4.0]);
        assert_eq!(testing::weights_of(&mut UpGrad::usual(), &gramian), [1.0, 1.0]);
    }
}
