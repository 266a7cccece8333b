//! Auto-Lambda: weights learned on the validation losses.

use super::hypergradient::hypergradient;
use super::learned::Learned;
use super::method::read_tasks;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Learns λ, by Adam, on `Σᵢ Vᵢ(θ - η Σⱼ λⱼ gⱼ)`, the sum of the validation losses after a step (Liu et al. 2022).
///
/// `wᵢ = λᵢ`, which starts at 1 and does not go below 0; the weights of a step are those before its update. The source
/// starts at 0.1 with a rate of 1e-4, which for weights of 1 is the default rate here, and takes the derivative by
/// finite differences at the updated model; here it is exact to first order in η. All tasks are primary ones.
pub(super) struct AutoLambda {
    rate: f64,
    weights: Vec<Learned>,
}

impl AutoLambda {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { rate: settings.number("learning_rate"), weights: vec![Learned::new(1.0); settings.tasks()] }
    }
}

impl Method for AutoLambda {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let slopes = hypergradient(step)?.row_sum();
        let weigh = |(&task, slope): (&usize, &f64)| {
            let weight = &mut self.weights[task];
            let before = weight.value;
            weight.descend(*slope, self.rate);
            weight.value = weight.value.max(0.0);
            before
        };
        Ok(step.tasks.iter().zip(slopes.iter()).map(weigh).collect())
    }

    fn state(&self) -> Value {
        json!(self.weights)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.weights = read_tasks(state, self.weights.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};
    use super::super::{Matrix, Step};

    #[test]
    fn tasks_that_help_validation_weigh_more() {
        let mut method = method("auto_lambda", 2);
        // The second task's gradient goes against both validation losses.
        let validation = Matrix::from_row_slice(2, 2, &[1.0, -0.5, 0.5, -0.1]);
        let ask = |_| method.weights(&Step { validation: validation.clone(), ..step(&[1.0, 1.0]) }).unwrap();
        let weights: Vec<_> = (0..2000).map(ask).collect();
        assert_eq!(weights[0], [1.0, 1.0]);
        assert!(weights[100][0] > 1.05 && weights[100][1] < 0.95, "{:?}", weights[100]);
        assert_eq!(weights[1999][1], 0.0);
    }

    #[test]
    fn without_validation_there_is_no_answer() {
        assert!(method("auto_lambda", 2).weights(&step(&[1.0, 1.0])).is_err());
    }
}
