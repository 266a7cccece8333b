//! Uncertainty weighting: each task's noise is learned.

use super::learned::Learned;
use super::method::read_tasks;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Minimises `Σ ½ e^{-sᵢ} Lᵢ + ½ sᵢ` over the model and over `sᵢ`, the logarithm of a task's variance (Kendall, Gal &
/// Cipolla 2018, equation 7 with `s = log σ²`).
///
/// `wᵢ = e^{s₀ - sᵢ}`: twice the objective's derivative, so that the start gives ones. The weights of a step are those
/// before its update. All losses are treated as the paper treats regression; its factor 2 for classification only
/// shifts s. LibMTL starts at `s₀ = -0.5` and learns s with the model's rate and weight decay; here it has its own rate
/// and no decay, and stays within ±20.
pub(super) struct Uncertainty {
    start: f64,
    rate: f64,
    scales: Vec<Learned>,
}

impl Uncertainty {
    pub(super) fn new(settings: &Settings) -> Self {
        let start = settings.number("start");
        let scales = vec![Learned::new(start); settings.tasks()];
        Self { start, rate: settings.number("learning_rate"), scales }
    }
}

impl Method for Uncertainty {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let weigh = |(&task, loss): (&usize, &f64)| {
            let scale = &mut self.scales[task];
            let before = scale.value;
            scale.descend(0.5 - 0.5 * (-before).exp() * loss, self.rate);
            scale.value = scale.value.clamp(-20.0, 20.0);
            (self.start - before).exp()
        };
        Ok(step.tasks.iter().zip(step.losses).map(weigh).collect())
    }

    fn state(&self) -> Value {
        json!(self.scales)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.scales = read_tasks(state, self.scales.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};

    #[test]
    fn weights_become_the_inverse_of_the_losses() {
        let mut method = method("uncertainty", 2);
        assert_eq!(method.weights(&step(&[4.0, 0.25])).unwrap(), [1.0, 1.0]);
        let last = (0..2000).map(|_| method.weights(&step(&[4.0, 0.25])).unwrap()).last().unwrap();
        assert!((last[0] - 0.25).abs() < 0.01 && (last[1] - 4.0).abs() < 0.1, "{last:?}");
    }
}
