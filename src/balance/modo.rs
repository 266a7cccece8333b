//! MoDo: shares that follow two half batches.

use super::method::{bad_state, read_tasks};
use super::solve::{Vector, gramian, of_mean, onto_simplex};
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;

/// Multi-objective gradient with double sampling (Chen et al. 2023, MoDo): shares λ of the least-norm mix take a step
/// `λ ← Π(λ − γ (J₁ J₂ᵀ λ + ρ λ))` on the simplex, the gradients of two independent halves of the batch making that
/// step unbiased.
///
/// `w = T λ`. The gradient that is followed is that of both halves (equation 2.9b).
pub(super) struct MoDo {
    gamma: f64,
    rho: f64,
    shares: Shares,
}

impl MoDo {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { gamma: settings.number("gamma"), rho: settings.number("rho"), shares: Shares::new(settings.tasks()) }
    }
}

impl Method for MoDo {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let products = gramian(step)?;
        let before = self.shares.present(step.tasks);
        let slope = products * &before + &before * self.rho;
        let shares = onto_simplex(&(before - slope * self.gamma));
        self.shares.set(step.tasks, &shares);
        Ok(of_mean(&shares))
    }

    fn state(&self) -> serde_json::Value {
        self.shares.state()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.shares.restore(state)
    }
}

/// Shares of all tasks, equal at the start, of which those of a step's tasks are changed among themselves.
pub(super) struct Shares(Vec<f64>);

impl Shares {
    pub(super) fn new(tasks: usize) -> Self {
        Self(vec![1.0 / tasks as f64; tasks])
    }

    /// Shares among these tasks.
    pub(super) fn present(&self, tasks: &[usize]) -> Vector {
        let sum: f64 = tasks.iter().map(|&task| self.0[task]).sum();
        let share = |task: usize| if sum > 0.0 { self.0[task] / sum } else { 1.0 / tasks.len() as f64 };
        Vector::from_iterator(tasks.len(), tasks.iter().map(|&task| share(task)))
    }

    /// Divides what these tasks have together anew.
    pub(super) fn set(&mut self, tasks: &[usize], shares: &Vector) {
        let sum: f64 = tasks.iter().map(|&task| self.0[task]).sum();
        tasks.iter().zip(shares).for_each(|(&task, share)| self.0[task] = share * sum);
    }

    pub(super) fn state(&self) -> serde_json::Value {
        serde_json::json!(self.0)
    }

    pub(super) fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let shares: Vec<f64> = read_tasks(state, self.0.len())?;
        if !shares.iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)) {
            return Err(bad_state("a share that is not from 0 to 1".into()));
        }
        self.0 = shares;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn shares_go_to_those_of_the_shortest_mix() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 3.0]);
        let mut modo = MoDo { gamma: 0.1, rho: 0.0, shares: Shares::new(2) };
        let weights = (0..100).map(|_| testing::weights_of(&mut modo, &gramian)).last().unwrap_or_default();
        assert!((weights[0] - 1.5).abs() < 1e-6 && (weights[1] - 0.5).abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn absent_tasks_keep_their_share() {
        let mut modo = MoDo { gamma: 0.1, rho: 0.0, shares: Shares::new(3) };
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 3.0]);
        let weights = modo.weights(&testing::step_of(&gramian, &[0, 2], &[1.0, 1.0])).unwrap();
        assert!((weights.iter().sum::<f64>() - 2.0).abs() < 1e-12 && weights[0] > weights[1], "{weights:?}");
        let all = modo.shares.present(&[0, 1, 2]);
        assert!((all[1] - 1.0 / 3.0).abs() < 1e-12 && (all.sum() - 1.0).abs() < 1e-12);
    }
}
