//! DB-MTL: losses balanced by their logarithm, traces of their gradients by length.

use super::method::read_tasks;
use super::solve::gramian;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Losses count as this where they are smaller.
const LEAST: f64 = 1e-8;

/// Traces `y ← βₖ y + (1 - βₖ) ∇log L` with `βₖ = beta/k^decay` in the task's k-th step, and the direction
/// `max‖y‖ · Σ yᵢ/‖yᵢ‖` (Lin et al. 2023, algorithm 1; the sum of the source is the sum here, so traces of equal length
/// have ones).
///
/// Traces begin at zero and are not corrected for it, as in LibMTL: all are short by the same factor. Where `decay` is
/// 0 the trace never gets sharper; the paper's worst choice on Office-31 was a fixed 0.9.
pub(super) struct DbMtl {
    beta: f64,
    decay: f64,
    /// Steps of each task.
    seen: Vec<u64>,
}

impl DbMtl {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { beta: settings.number("beta"), decay: settings.number("decay"), seen: vec![0; settings.tasks()] }
    }
}

impl Method for DbMtl {
    fn trace(&mut self, step: &Step) -> Vec<[f64; 2]> {
        let factors = |(&task, loss): (&usize, &f64)| {
            self.seen[task] += 1;
            let keep = self.beta / (self.seen[task] as f64).powf(self.decay);
            [keep, (1.0 - keep) / loss.max(LEAST)]
        };
        step.tasks.iter().zip(step.losses).map(factors).collect()
    }

    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let norms: Vec<f64> = gramian(step)?.diagonal().iter().map(|square| square.max(0.0).sqrt()).collect();
        let most = norms.iter().copied().fold(0.0, f64::max);
        // A trace this much shorter than the longest is nothing but rounding.
        let weight = |norm: f64| if norm > 1e-12 * most { most / norm } else { 1.0 };
        Ok(norms.into_iter().map(weight).collect())
    }

    fn state(&self) -> Value {
        json!(self.seen)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.seen = read_tasks(state, self.seen.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};
    use super::super::{Matrix, Step};

    #[test]
    fn traces_are_of_logarithms_and_forget() {
        let mut method = method("db_mtl", 2);
        let close = |factors: Vec<[f64; 2]>, expected: [[f64; 2]; 2]| {
            let all = factors.iter().flatten().zip(expected.iter().flatten());
            assert!(all.clone().all(|(a, b)| (a - b).abs() < 1e-12), "{factors:?} {expected:?}");
        };
        close(method.trace(&step(&[0.5, 2.0])), [[0.9, 0.2], [0.9, 0.05]]);
        let keep = 0.9 / 2f64.sqrt();
        close(method.trace(&step(&[1.0, 1.0])), [[keep, 1.0 - keep]; 2]);
    }

    #[test]
    fn traces_get_the_length_of_the_longest() {
        let gramian = Matrix::from_row_slice(3, 3, &[4.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let weights = method("db_mtl", 3).weights(&Step { gramian, ..step(&[1.0; 3]) }).unwrap();
        assert_eq!(weights, [1.0, 2.0, 1.0]);
    }
}
