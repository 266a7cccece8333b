//! MoCo: the shortest mix of traces, which are less noisy than gradients.

use super::method::{bad_state, read_state};
use super::solve::{Vector, gramian, of_mean, onto_simplex};
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Traces `y ← y - βₖ (y - g)` and shares `λ ← Π(λ - γₖ (Y Yᵀ + ρI) λ)`, Π being the nearest point of the simplex, with
/// `βₖ = beta/k^decay` in the task's k-th step and the same for γ (Fernando et al. 2023, algorithm 1). `wᵢ = n λᵢ`: for
/// equal tasks the source follows the mean.
///
/// g is the task's gradient, scaled to the length of its loss, as in the authors' code and LibMTL (`scaled = false`
/// leaves it as it is, as in the paper). LibMTL puts λ through a softmax instead of Π, which draws it to equal shares
/// in every step. Tasks that are absent keep their λ, and the others share what is left.
pub(super) struct MoCo {
    beta: f64,
    gamma: f64,
    decay: f64,
    rho: f64,
    scaled: bool,
    memory: Memory,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memory {
    shares: Vec<f64>,
    /// Steps of each task.
    seen: Vec<u64>,
    steps: u64,
}

impl MoCo {
    pub(super) fn new(settings: &Settings) -> Self {
        let tasks = settings.tasks();
        Self {
            beta: settings.number("beta"),
            gamma: settings.number("gamma"),
            decay: settings.number("decay"),
            rho: settings.number("rho"),
            scaled: settings.switch("scaled"),
            memory: Memory { shares: vec![1.0 / tasks as f64; tasks], seen: vec![0; tasks], steps: 0 },
        }
    }
}

impl Method for MoCo {
    fn trace(&mut self, step: &Step) -> Vec<[f64; 2]> {
        let factors = |(place, &task): (usize, &usize)| {
            let seen = &mut self.memory.seen[task];
            *seen += 1;
            let rate = (self.beta / (*seen as f64).powf(self.decay)).min(1.0);
            let norm = step.gramian.get((place, place)).map(|square| square.max(0.0).sqrt());
            let scale = norm.filter(|_| self.scaled).map_or(1.0, |norm| step.losses[place] / (norm + 1e-8));
            [1.0 - rate, rate * scale]
        };
        step.tasks.iter().enumerate().map(factors).collect()
    }

    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let products = gramian(step)?;
        let Memory { shares, steps, .. } = &mut self.memory;
        *steps += 1;
        let rate = self.gamma / (*steps as f64).powf(self.decay);
        let present = Vector::from_iterator(step.tasks.len(), step.tasks.iter().map(|&task| shares[task]));
        let mass = present.sum();
        // Tasks that had nothing left start evenly among themselves.
        let present = if mass > 1e-12 { present / mass } else { present.map(|_| 1.0 / step.tasks.len() as f64) };
        let slope = products * &present + self.rho * &present;
        let moved = onto_simplex(&(present - rate * slope));
        step.tasks.iter().zip(moved.iter()).for_each(|(&task, share)| shares[task] = share * mass);
        Ok(of_mean(&moved))
    }

    fn state(&self) -> Value {
        json!(self.memory)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let memory: Memory = read_state(state)?;
        let tasks = self.memory.seen.len();
        if [memory.shares.len(), memory.seen.len()] != [tasks; 2] {
            return Err(bad_state(format!("shares of {} tasks instead of {tasks}", memory.shares.len())));
        }
        self.memory = memory;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method_with, step};
    use super::super::{Matrix, Step};

    #[test]
    fn shares_go_to_the_shortest_mix() {
        let mut method = method_with("moco", 2, &[("decay", 0.0.into())]);
        let gramian = Matrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, 1.0]);
        let mut last = Vec::new();
        for _ in 0..500 {
            last = method.weights(&Step { gramian: gramian.clone(), ..step(&[1.0, 1.0]) }).unwrap();
        }
        // min 4 a² + (1 - a)² is at a = 1/5.
        assert!((last[0] - 0.4).abs() < 1e-6 && (last[1] - 1.6).abs() < 1e-6, "{last:?}");
    }

    #[test]
    fn gradients_are_scaled_to_their_losses() {
        let gramian = Matrix::from_row_slice(2, 2, &[4.0, 0.0, 0.0, 0.0]);
        let step = Step { gramian, ..step(&[3.0, 0.0]) };
        let factors = method_with("moco", 2, &[]).trace(&step);
        assert!((factors[0][1] - 0.75).abs() < 1e-6 && factors[1] == [0.5, 0.0], "{factors:?}");
        let factors = method_with("moco", 2, &[("scaled", false.into())]).trace(&step);
        assert_eq!(factors, [[0.5, 0.5]; 2]);
    }
}
