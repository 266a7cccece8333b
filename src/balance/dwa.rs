//! Dynamic weight average: tasks whose loss falls slowly weigh more.

use super::method::read_tasks;
use super::softmax::softmax_weights;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `wᵢ = n softmax(rᵢ/τ)`, `rᵢ` being the ratio of the mean losses of the last two periods (Liu, Johns & Davison 2019,
/// equation 7). Ones until two periods are over.
///
/// A period is a number of steps and not the paper's epoch, of which a fine-tuning has only a few. A task without two
/// periods of its own, or with a loss of zero in the older one, counts as one that stands still: r = 1.
pub(super) struct Dwa {
    temperature: f64,
    period: u64,
    tasks: Vec<Pace>,
}

/// Mean losses of the last two periods in which the task had any, and the sum of the present one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Pace {
    period: u64,
    older: Option<f64>,
    last: Option<f64>,
    sum: f64,
    count: u64,
}

impl Pace {
    fn begin(&mut self, period: u64) {
        if period > self.period && self.count > 0 {
            self.older = self.last.replace(self.sum / self.count as f64);
            (self.sum, self.count) = (0.0, 0);
        }
        self.period = period;
    }

    fn ratio(&self) -> f64 {
        match (self.last, self.older) {
            // A ratio beyond this says no more than that one loss was next to nothing.
            (Some(last), Some(older)) if older > 0.0 => (last / older).min(1e6),
            _ => 1.0,
        }
    }
}

impl Dwa {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            temperature: settings.number("temperature"),
            period: settings.whole("period"),
            tasks: vec![Pace::default(); settings.tasks()],
        }
    }
}

impl Method for Dwa {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let mut ratios = Vec::with_capacity(step.tasks.len());
        for (&task, loss) in step.tasks.iter().zip(step.losses) {
            let pace = &mut self.tasks[task];
            pace.begin(step.number / self.period);
            ratios.push(pace.ratio() / self.temperature);
            pace.sum += loss;
            pace.count += 1;
        }
        Ok(softmax_weights(&ratios))
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
    use super::super::testing::{method, steps};

    #[test]
    fn the_task_that_stands_still_weighs_more() {
        let mut method = method("dwa", 2);
        let weights = steps(method.as_mut(), &[[2.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 2.0], [0.0, 2.0]]);
        assert_eq!(weights[..2], [[1.0, 1.0], [1.0, 1.0]]);
        let gap = (0.5f64 / 2.0).exp();
        assert!((weights[2][1] / weights[2][0] - gap).abs() < 1e-12, "{weights:?}");
        assert!((weights[2][0] + weights[2][1] - 2.0).abs() < 1e-12);
        assert!(weights.iter().flatten().all(|w| w.is_finite()));
    }
}
