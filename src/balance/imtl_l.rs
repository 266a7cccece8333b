//! Impartial learning, the half of the losses: scales that make all losses alike.

use super::learned::Learned;
use super::method::read_tasks;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Minimises `Σ e^{sᵢ} Lᵢ - sᵢ` over the model and over `sᵢ`, which starts at 0 (Liu et al. 2021, section 3.2, IMTL-L).
///
/// `wᵢ = e^{sᵢ}`, the derivative: ones at the start, `1/Lᵢ` in the end. The weights of a step are those before its
/// update. LibMTL learns s with the model's rate and weight decay; here it has its own rate and no decay, and stays
/// within ±20. The paper's other half is `imtl_g`.
pub(super) struct ImtlL {
    rate: f64,
    scales: Vec<Learned>,
}

impl ImtlL {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { rate: settings.number("learning_rate"), scales: vec![Learned::new(0.0); settings.tasks()] }
    }
}

impl Method for ImtlL {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let weigh = |(&task, loss): (&usize, &f64)| {
            let scale = &mut self.scales[task];
            let weight = scale.value.exp();
            scale.descend(weight * loss - 1.0, self.rate);
            scale.value = scale.value.clamp(-20.0, 20.0);
            weight
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
    fn scaled_losses_become_one() {
        let mut method = method("imtl_l", 2);
        assert_eq!(method.weights(&step(&[4.0, 0.25])).unwrap(), [1.0, 1.0]);
        let last = (0..2000).map(|_| method.weights(&step(&[4.0, 0.25])).unwrap()).last().unwrap();
        assert!((last[0] * 4.0 - 1.0).abs() < 0.02 && (last[1] * 0.25 - 1.0).abs() < 0.02, "{last:?}");
    }
}
