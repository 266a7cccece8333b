//! ExcessMTL: tasks that are far from their best weigh more, whatever the noise of their labels.

use super::method::read_tasks;
use super::softmax::softmax_weights;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `wᵢ = n softmax(xᵢ)`, where in each step x grows by the learning rate times the task's excess risk over its first
/// one (He et al. 2024, equations 6, 7 and 9). The risk is `Σ g²/(√h + 1e-8)`, h being the sum of g² so far.
///
/// The first risk is that of the task's first step, in which its x stays, as in LibMTL; or the mean of its first
/// `warmup` steps, as the paper's appendix C.1 advises. TorchJD takes the first risk itself, unscaled, for the first
/// step's growth. Growth alone counts: x is kept from running off by taking its largest away.
pub(super) struct ExcessMtl {
    rate: f64,
    warmup: u64,
    tasks: Vec<Task>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Task {
    score: f64,
    first: f64,
    seen: u64,
}

impl ExcessMtl {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            rate: settings.number("learning_rate"),
            warmup: settings.whole("warmup"),
            tasks: vec![Task::default(); settings.tasks()],
        }
    }
}

impl Method for ExcessMtl {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        if step.excess.len() != step.tasks.len() || !step.excess.iter().all(|risk| risk.is_finite()) {
            return Err(Unsolved("there are no finite excess risks".into()));
        }
        for (&task, &risk) in step.tasks.iter().zip(step.excess) {
            let task = &mut self.tasks[task];
            if task.seen < self.warmup {
                task.seen += 1;
                task.first += (risk - task.first) / task.seen as f64;
            } else if task.first > 0.0 {
                // A first risk of next to nothing must not make the task the only one for good.
                task.score += self.rate * (risk / task.first).min(1e3);
            }
        }
        let most = self.tasks.iter().map(|task| task.score).fold(f64::NEG_INFINITY, f64::max);
        self.tasks.iter_mut().for_each(|task| task.score -= most);
        Ok(softmax_weights(&step.tasks.iter().map(|&task| self.tasks[task].score).collect::<Vec<_>>()))
    }

    fn state(&self) -> Value {
        json!(self.tasks)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.tasks = read_tasks(state, self.tasks.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::super::testing::{method_with, step};

    #[test]
    fn the_task_whose_risk_stays_high_weighs_more() {
        let mut method = method_with("excess_mtl", 2, &[("learning_rate", 0.1.into())]);
        let mut ask = |excess: &[f64]| method.weights(&Step { excess, ..step(&[1.0, 1.0]) }).unwrap();
        assert_eq!(ask(&[10.0, 0.1]), [1.0, 1.0]);
        let weights = ask(&[5.0, 0.1]);
        assert!((weights[1] / weights[0] - 0.05f64.exp()).abs() < 1e-12, "{weights:?}");
        assert!(ask(&[0.0, 0.0]).iter().all(|w| w.is_finite()));
    }

    #[test]
    fn tasks_without_a_gradient_at_first_do_not_take_over() {
        let mut method = method_with("excess_mtl", 2, &[]);
        let mut ask = |excess: &[f64]| method.weights(&Step { excess, ..step(&[1.0, 1.0]) }).unwrap();
        ask(&[0.0, 1.0]);
        assert!(ask(&[1.0, 1.0]).iter().all(|w| w.is_finite()));
        assert!(method.weights(&step(&[1.0, 1.0])).is_err());
    }
}
