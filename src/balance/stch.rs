//! Smooth Tchebycheff scalarisation: the largest loss, made smooth.

use super::method::read_tasks;
use super::softmax::softmax_weights;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Logarithms are of losses of at least this.
const LEAST: f64 = 1e-8;

/// Minimises `μ log Σ exp(Lᵢ/μ)` (Lin et al. 2024, with equal preferences and the ideal point 0).
///
/// `wᵢ = n softmax(L/μ)ᵢ`, n times the derivative: ones for equal losses. A small μ follows the largest loss alone, a
/// large one is equal weighting. With `logarithm = true` as in the authors' code for several tasks: `Lᵢ` is replaced by
/// `log(Lᵢ/Nᵢ)`, N being the mean loss of the task's first `warmup` steps, during which the sum of the logarithms is
/// minimised; then `wᵢ = n softmax(log(L/N)/μ)ᵢ / Lᵢ`, ones for losses of 1.
pub(super) struct Stch {
    mu: f64,
    logarithm: bool,
    warmup: u64,
    /// Sum and number of the first losses of each task.
    first: Vec<(f64, u64)>,
}

impl Stch {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            mu: settings.number("mu"),
            logarithm: settings.switch("logarithm"),
            warmup: settings.whole("warmup"),
            first: vec![(0.0, 0); settings.tasks()],
        }
    }

    fn of_logarithms(&mut self, step: &Step) -> Vec<f64> {
        let losses: Vec<f64> = step.losses.iter().map(|loss| loss.max(LEAST)).collect();
        let mut warm = true;
        for (&task, loss) in step.tasks.iter().zip(&losses) {
            let (sum, count) = &mut self.first[task];
            if *count < self.warmup {
                (*sum, *count) = (*sum + loss, *count + 1);
                warm = false;
            }
        }
        if !warm {
            return losses.into_iter().map(|loss| 1.0 / loss).collect();
        }
        let mean = |&task: &usize| self.first[task].0 / self.first[task].1 as f64;
        let logs: Vec<f64> =
            step.tasks.iter().zip(&losses).map(|(task, loss)| (loss / mean(task)).ln() / self.mu).collect();
        softmax_weights(&logs).into_iter().zip(losses).map(|(weight, loss)| weight / loss).collect()
    }
}

impl Method for Stch {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        if self.logarithm {
            return Ok(self.of_logarithms(step));
        }
        Ok(softmax_weights(&step.losses.iter().map(|loss| (loss / self.mu).min(f64::MAX)).collect::<Vec<_>>()))
    }

    fn state(&self) -> Value {
        json!(self.first)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.first = read_tasks(state, self.first.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method_with, step, steps};

    #[test]
    fn small_mu_follows_the_largest_loss_and_large_mu_all() {
        let weights = |mu: f64| method_with("stch", 2, &[("mu", mu.into())]).weights(&step(&[1.0, 2.0])).unwrap();
        assert!((weights(0.01)[1] - 2.0).abs() < 1e-12, "{:?}", weights(0.01));
        assert!((weights(1e6)[1] - 1.0).abs() < 1e-5, "{:?}", weights(1e6));
    }

    #[test]
    fn logarithms_are_of_losses_over_their_first_ones() {
        let parameters = [("logarithm", true.into()), ("warmup", 2.into())];
        let mut method = method_with("stch", 2, &parameters);
        let weights = steps(method.as_mut(), &[[2.0, 4.0], [2.0, 4.0], [2.0, 4.0], [1.0, 4.0]]);
        assert_eq!(weights[..3], [[0.5, 0.25]; 3]);
        // Softmax of log ½ and log 1 is ⅓ and ⅔.
        assert!((weights[3][0] - 2.0 / 3.0).abs() < 1e-12 && (weights[3][1] - 1.0 / 3.0).abs() < 1e-12, "{weights:?}");
    }
}
