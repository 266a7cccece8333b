//! MOML: weights learned so that every validation loss falls.

use super::hypergradient::hypergradient;
use super::learned::Learned;
use super::method::read_tasks;
use super::solve::least_norm;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Learns λ on all validation losses after a step `θ - η Σ λⱼ gⱼ` at once: their derivatives with respect to λ are
/// mixed to the shortest vector, which lowers each of them (Ye et al. 2021, algorithm 1), and Adam takes a step against
/// it.
///
/// `wᵢ = λᵢ`, which starts at 1, does not go below 0 and keeps its sum; the weights of a step are those before its
/// update. The derivatives are exact to first order in η, where the source differentiates through several steps.
pub(super) struct Moml {
    rate: f64,
    weights: Vec<Learned>,
}

impl Moml {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { rate: settings.number("learning_rate"), weights: vec![Learned::new(1.0); settings.tasks()] }
    }
}

impl Method for Moml {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let slopes = hypergradient(step)?;
        let shares = least_norm(&(&slopes * slopes.transpose()))?;
        let slope = slopes.transpose() * shares;
        Ok(learn(&mut self.weights, step.tasks, slope.as_slice(), self.rate))
    }

    fn state(&self) -> Value {
        json!(self.weights)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.weights = read_tasks(state, self.weights.len())?;
        Ok(())
    }
}

/// One step of the tasks' weights against a slope; their sum stays. Gives the weights before it.
pub(super) fn learn(weights: &mut [Learned], tasks: &[usize], slope: &[f64], rate: f64) -> Vec<f64> {
    let before: Vec<f64> = tasks.iter().map(|&task| weights[task].value).collect();
    for (&task, slope) in tasks.iter().zip(slope) {
        weights[task].descend(*slope, rate);
        weights[task].value = weights[task].value.max(0.0);
    }
    let after: f64 = tasks.iter().map(|&task| weights[task].value).sum();
    for (&task, before_step) in tasks.iter().zip(&before) {
        // A rate so large that nothing is left would leave nothing to scale.
        weights[task].value =
            if after > 0.0 { weights[task].value * before.iter().sum::<f64>() / after } else { *before_step };
    }
    before
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};
    use super::super::{Matrix, Step};

    #[test]
    fn the_task_that_hurts_one_validation_loss_weighs_less() {
        let mut method = method("moml", 3);
        // The third task helps the first validation loss and hurts the second.
        let validation = Matrix::from_row_slice(3, 3, &[1.0, 0.2, 1.0, 0.2, 1.0, -3.0, 0.5, 0.5, 0.0]);
        let ask = |_| method.weights(&Step { validation: validation.clone(), ..step(&[1.0; 3]) }).unwrap();
        let weights: Vec<_> = (0..200).map(ask).collect();
        assert_eq!(weights[0], [1.0; 3]);
        let last = &weights[199];
        assert!(last[2] < last[0] && last[2] < last[1], "{last:?}");
        assert!((last.iter().sum::<f64>() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn no_gradients_change_nothing() {
        let mut method = method("moml", 2);
        for _ in 0..3 {
            let step = Step { validation: Matrix::zeros(2, 2), ..step(&[1.0, 1.0]) };
            assert_eq!(method.weights(&step).unwrap(), [1.0, 1.0]);
        }
    }
}
