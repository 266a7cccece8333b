//! PCD: one task first, the others not forgotten.

use super::method::{bad_state, read_tasks};
use super::solve::{Vector, gramian, nonnegative, part};
use super::{Matrix, Method, Settings, Step, Unsolved};
use crate::error::Result;

/// Priority-constrained descent (Varam & AlHajri 2026, as TorchJD has it): the direction nearest to the primary task's
/// gradient along which every other task gains at least `tau` of what its own gradient would give it, as long as the
/// primary gradient. Gradients are divided by a running root mean square of their norm (decay `beta`) first. The
/// recipe's first task is the primary one.
///
/// `w = T α`. Where the others' shares cannot all be had, the primary gradient alone is followed; where it is zero,
/// nothing moves. In a step without the primary task the others count the same, of which the paper says nothing.
pub(super) struct Pcd {
    tau: f64,
    beta: f64,
    /// Running mean of each task's squared norm, biased towards its start at 0, and the number of steps in it.
    squares: Vec<(f64, u32)>,
}

/// Added to the mean squares, as in Adam.
const EPSILON: f64 = 1e-8;
/// What is less than this share of the numbers it is the difference of is rounding.
const ROUNDING: f64 = 1e-12;

impl Pcd {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { tau: settings.number("tau"), beta: settings.number("beta"), squares: vec![(0.0, 0); settings.tasks()] }
    }

    /// Factors that normalise the gradients, this step's included in the means.
    fn normalising(&mut self, step: &Step, gramian: &Matrix) -> Vector {
        Vector::from_fn(step.tasks.len(), |i, _| {
            let (mean, steps) = &mut self.squares[step.tasks[i]];
            *mean = self.beta * *mean + (1.0 - self.beta) * gramian[(i, i)];
            *steps = steps.saturating_add(1);
            1.0 / (*mean / (1.0 - self.beta.powf(f64::from(*steps))) + EPSILON).sqrt()
        })
    }
}

impl Method for Pcd {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let tasks = step.tasks.len();
        let factors = self.normalising(step, gramian);
        if step.tasks.first() != Some(&0) {
            return Ok(vec![1.0; tasks]);
        }
        let g = gramian.component_mul(&(&factors * factors.transpose()));
        // d = g₁ + Σ μⱼ gⱼ, with μ ≥ 0 where a task would gain too little along g₁.
        let others: Vec<_> = (1..tasks).collect();
        let lacking = Vector::from_fn(tasks - 1, |j, _| self.tau * g[(j + 1, j + 1)] - g[(j + 1, 0)]);
        let more = nonnegative(&part(&g, &others), &lacking)?.unwrap_or_else(|| Vector::zeros(tasks - 1));
        let mix = more.insert_row(0, 1.0);
        let square = mix.dot(&(&g * &mix));
        let magnitude: f64 = mix.iter().enumerate().map(|(i, share)| share * g[(i, i)].sqrt()).sum();
        if square <= ROUNDING * magnitude * magnitude {
            return Ok(vec![0.0; tasks]);
        }
        let length = (gramian[(0, 0)] / square).sqrt() * tasks as f64;
        Ok(mix.iter().zip(&factors).map(|(share, factor)| share * factor * length).collect())
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!(self.squares)
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let squares: Vec<(f64, u32)> = read_tasks(state, self.squares.len())?;
        if !squares.iter().all(|(mean, _)| *mean >= 0.0) {
            return Err(bad_state("a negative mean of squares".into()));
        }
        self.squares = squares;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    fn pcd(tau: f64) -> Pcd {
        Pcd { tau, beta: 0.9, squares: vec![(0.0, 0); 2] }
    }

    #[test]
    fn the_primary_gradient_is_followed_where_nobody_minds() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.5, 0.5, 1.0]);
        let weights = testing::weights_of(&mut pcd(0.1), &gramian);
        assert!((weights[0] - 2.0).abs() < 1e-12 && weights[1] == 0.0, "{weights:?}");
    }

    #[test]
    fn the_other_task_gets_its_share() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.5, -0.5, 1.0]);
        let weights = testing::weights_of(&mut pcd(0.1), &gramian);
        let rates = testing::rates(&gramian, &weights);
        // Before its length is mended the direction is g₁ + 0.6 g₂, of square 0.76.
        assert!((rates[1] / 2.0 - 0.1 / 0.76_f64.sqrt()).abs() < 1e-6, "{rates:?}");
    }

    #[test]
    fn opposite_tasks_leave_the_primary_one_alone() {
        let mut pcd = Pcd { squares: vec![(0.0, 0); 3], ..pcd(0.1) };
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, -1.0, 1.0]);
        let weights = testing::weights_of(&mut pcd, &gramian);
        assert!((weights[0] - 3.0).abs() < 1e-12 && weights[1..] == [0.0, 0.0], "{weights:?}");
    }

    #[test]
    fn a_step_without_the_primary_task_counts_the_others_the_same() {
        let step = testing::step_of(&Matrix::identity(1, 1), &[1], &[1.0]);
        assert_eq!(pcd(0.1).weights(&step), Ok(vec![1.0]));
    }
}
