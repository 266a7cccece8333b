//! FAMO: all losses fall at the same rate, learned from how far each one fell.

use super::learned::Learned;
use super::method::read_tasks;
use super::softmax::softmax;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Losses are above the least possible one, 0, by at least this.
const LEAST: f64 = 1e-8;

/// Minimises `c Σ zᵢ log Lᵢ` with `z = softmax(ξ)` and `c = 1 / Σ(zᵢ/Lᵢ)` (Liu et al. 2023, algorithm 1). After the
/// update ξ goes down `Jᵀ δ`, J being the softmax's derivative and `δᵢ` the fall of `log Lᵢ` on the same batch, by Adam
/// with `decay` added to its gradient, as in the authors' code.
///
/// `wᵢ = n (zᵢ/Lᵢ) / Σ(zⱼ/Lⱼ)`: the source's weights add up to 1, these to n. The lower bound of each loss is 0. The
/// losses after the update must be under the same dropout, or δ is mostly its noise; LibMTL draws new masks.
pub(super) struct Famo {
    rate: f64,
    decay: f64,
    logits: Vec<Learned>,
}

impl Famo {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            rate: settings.number("learning_rate"),
            decay: settings.number("decay"),
            logits: vec![Learned::new(0.0); settings.tasks()],
        }
    }

    fn shares(&self, tasks: &[usize]) -> Vec<f64> {
        softmax(&tasks.iter().map(|&task| self.logits[task].value).collect::<Vec<_>>())
    }
}

impl Method for Famo {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let shares = self.shares(step.tasks);
        let terms: Vec<f64> = shares.iter().zip(step.losses).map(|(z, loss)| z / loss.max(LEAST)).collect();
        let scale = terms.len() as f64 / terms.iter().sum::<f64>();
        Ok(terms.into_iter().map(|term| scale * term).collect())
    }

    fn after(&mut self, step: &Step, losses: &[f64]) {
        let log = |loss: &f64| loss.max(LEAST).ln();
        let falls: Vec<f64> = step.losses.iter().zip(losses).map(|(before, after)| log(before) - log(after)).collect();
        let shares = self.shares(step.tasks);
        let mean: f64 = shares.iter().zip(&falls).map(|(z, fall)| z * fall).sum();
        for ((&task, z), fall) in step.tasks.iter().zip(shares).zip(falls) {
            let logit = &mut self.logits[task];
            logit.descend(z * (fall - mean) + self.decay * logit.value, self.rate);
        }
    }

    fn state(&self) -> Value {
        json!(self.logits)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.logits = read_tasks(state, self.logits.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};

    #[test]
    fn the_task_that_falls_behind_weighs_more() {
        let mut method = method("famo", 2);
        let step = step(&[1.0, 1.0]);
        assert_eq!(method.weights(&step).unwrap(), [1.0, 1.0]);
        for _ in 0..10 {
            method.after(&step, &[0.9, 1.0]);
        }
        let weights = method.weights(&step).unwrap();
        assert!(weights[1] > 1.1 && (weights[0] + weights[1] - 2.0).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn losses_of_zero_have_weights() {
        let weights = method("famo", 3).weights(&step(&[0.0, 1.0, 1e9])).unwrap();
        assert!(weights.iter().all(|w| w.is_finite()), "{weights:?}");
    }
}
