//! GradNorm: weighted gradients of one length, longer for tasks that learn slowly.

use super::learned::Learned;
use super::method::read_tasks;
use super::solve::gramian;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Weights are at least this before they are scaled: the source's may go below 0, and its rule then pushes them on.
const LEAST: f64 = 1e-3;

/// Learns w, ones at the start, on `Σ |wᵢ ‖gᵢ‖ - m rᵢ^α|` with the target held fixed: m is the mean of `wᵢ ‖gᵢ‖`, and r
/// the task's `L/L(0)` over the mean of all tasks' (Chen et al. 2018, equations 1 and 2, algorithm 1). After each step
/// the weights are scaled to keep their sum. The weights of a step are those before its update.
///
/// `L(0)` is the task's first loss, or the mean of its first `warmup` ones, in which nothing is learned: batches of
/// text are small, and r never forgets a first loss that was high by chance. LibMTL takes the first epoch's mean and a
/// softmax of the weights.
pub(super) struct GradNorm {
    alpha: f64,
    rate: f64,
    warmup: u64,
    tasks: Vec<Task>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    weight: Learned,
    first_loss: f64,
    seen: u64,
}

impl GradNorm {
    pub(super) fn new(settings: &Settings) -> Self {
        let task = Task { weight: Learned::new(1.0), first_loss: 0.0, seen: 0 };
        Self {
            alpha: settings.number("alpha"),
            rate: settings.number("learning_rate"),
            warmup: settings.whole("warmup"),
            tasks: vec![task; settings.tasks()],
        }
    }

    /// Notes the losses; says whether all tasks have had their warm-up.
    fn see(&mut self, step: &Step) -> bool {
        let mut warm = true;
        for (&task, loss) in step.tasks.iter().zip(step.losses) {
            let (task, warmup) = (&mut self.tasks[task], self.warmup);
            warm &= task.seen >= warmup;
            if task.seen < warmup.max(1) {
                task.seen += 1;
                task.first_loss += (loss - task.first_loss) / task.seen as f64;
            }
        }
        warm
    }

    fn learn(&mut self, step: &Step, norms: &[f64]) {
        let n = norms.len() as f64;
        let lengths: Vec<f64> =
            step.tasks.iter().zip(norms).map(|(&i, norm)| self.tasks[i].weight.value * norm).collect();
        let mean_length = lengths.iter().sum::<f64>() / n;
        let pace = |(&task, loss): (&usize, &f64)| {
            let first = self.tasks[task].first_loss;
            if first > 0.0 { loss / first } else { 1.0 }
        };
        let paces: Vec<f64> = step.tasks.iter().zip(step.losses).map(pace).collect();
        let mean_pace = paces.iter().sum::<f64>() / n;
        let total = |tasks: &[Task]| step.tasks.iter().map(|&task| tasks[task].weight.value).sum::<f64>();
        let before = total(&self.tasks);
        for (place, &task) in step.tasks.iter().enumerate() {
            // Where no task has a loss, all are as far as the others.
            let relative = if mean_pace > 0.0 { paces[place] / mean_pace } else { 1.0 };
            let gap = lengths[place] - mean_length * relative.powf(self.alpha);
            let sign = if gap == 0.0 { 0.0 } else { gap.signum() };
            let weight = &mut self.tasks[task].weight;
            weight.descend(sign * norms[place], self.rate);
            weight.value = weight.value.max(LEAST);
        }
        let scale = before / total(&self.tasks);
        step.tasks.iter().for_each(|&task| self.tasks[task].weight.value *= scale);
    }
}

impl Method for GradNorm {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let norms: Vec<f64> = gramian(step)?.diagonal().iter().map(|square| square.max(0.0).sqrt()).collect();
        let weights = step.tasks.iter().map(|&task| self.tasks[task].weight.value).collect();
        if self.see(step) {
            self.learn(step, &norms);
        }
        Ok(weights)
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
    use super::super::testing::{method_with, step};
    use super::super::{Matrix, Step};

    #[test]
    fn weighted_gradients_get_one_length() {
        let mut method = method_with("gradnorm", 2, &[("warmup", 1.into())]);
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 9.0]);
        let mut last = Vec::new();
        for _ in 0..400 {
            last = method.weights(&Step { gramian: gramian.clone(), ..step(&[1.0, 1.0]) }).unwrap();
        }
        assert!((last[0] - 1.5).abs() < 0.05 && (last[1] - 0.5).abs() < 0.05, "{last:?}");
    }

    #[test]
    fn slow_tasks_get_more_and_nothing_breaks_at_zero() {
        let mut method = method_with("gradnorm", 2, &[]);
        let mut ask = |losses: &[f64], gramian: &Matrix| {
            method.weights(&Step { gramian: gramian.clone(), ..step(losses) }).unwrap()
        };
        let equal = Matrix::identity(2, 2);
        ask(&[1.0, 1.0], &equal);
        ask(&[0.5, 1.0], &equal);
        let weights = ask(&[0.5, 1.0], &equal);
        assert!(weights[1] > weights[0], "{weights:?}");
        for (losses, gramian) in [([0.0, 0.0], &equal), ([1.0, 1.0], &Matrix::zeros(2, 2))] {
            assert!(ask(&losses, gramian).iter().all(|w| w.is_finite()));
        }
    }
}
