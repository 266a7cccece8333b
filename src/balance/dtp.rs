//! Dynamic task prioritisation: tasks with low validation scores weigh more.

use super::method::read_tasks;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Scores count as this where they are lower, since some metrics go below 0, where the rule has no logarithm.
const LEAST: f64 = 0.01;

/// `wᵢ ∝ -(1 - κᵢ)^γ log κᵢ`, κ being a running mean of the task's validation score, in which the newest has the share
/// `newest` (Guo et al. 2018, section 3). Ones before the first evaluation.
///
/// The source does not scale its weights, so that training comes to rest as scores reach 1; here those of a step add up
/// to their number. Scores are the task's main metric and should lie between 0 and 1, as accuracy, F1 and correlations
/// of a useful model do; lower ones count as 0.01, so a task that is scored by an error has the weight of a useless
/// model throughout.
pub(super) struct Dtp {
    gamma: f64,
    newest: f64,
    scores: Vec<Option<f64>>,
}

impl Dtp {
    pub(super) fn new(settings: &Settings) -> Self {
        let scores = vec![None; settings.tasks()];
        Self { gamma: settings.number("gamma"), newest: settings.number("newest"), scores }
    }

    fn focus(&self, task: usize) -> Option<f64> {
        let score = self.scores[task]?.clamp(LEAST, 1.0);
        Some(-(1.0 - score).powf(self.gamma) * score.ln())
    }
}

impl Method for Dtp {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let ones = vec![1.0; step.tasks.len()];
        let Some(focus) = step.tasks.iter().map(|&task| self.focus(task)).collect::<Option<Vec<_>>>() else {
            return Ok(ones);
        };
        let mean = focus.iter().sum::<f64>() / focus.len() as f64;
        Ok(if mean > 0.0 { focus.into_iter().map(|focus| focus / mean).collect() } else { ones })
    }

    fn scored(&mut self, scores: &[Option<f64>]) {
        for (mean, score) in self.scores.iter_mut().zip(scores) {
            if let Some(score) = score.filter(|score| score.is_finite()) {
                *mean = Some(mean.map_or(score, |mean| mean + self.newest * (score - mean)));
            }
        }
    }

    fn state(&self) -> Value {
        json!(self.scores)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.scores = read_tasks(state, self.scores.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method_with, step};

    #[test]
    fn low_scores_weigh_more() {
        let mut method = method_with("dtp", 2, &[("newest", 0.5.into())]);
        assert_eq!(method.weights(&step(&[1.0, 1.0])).unwrap(), [1.0, 1.0]);
        method.scored(&[Some(0.25), Some(0.75)]);
        method.scored(&[Some(0.75), None]);
        // Running means ½ and ¾.
        let focus = |score: f64| -(1.0 - score) * score.ln();
        let weights = method.weights(&step(&[1.0, 1.0])).unwrap();
        assert!((weights[0] / weights[1] - focus(0.5) / focus(0.75)).abs() < 1e-12, "{weights:?}");
        assert!((weights[0] + weights[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn any_score_has_a_weight() {
        for scores in [[Some(1.0), Some(1.0)], [Some(-3.0), Some(0.0)], [Some(1.5), Some(f64::NAN)]] {
            let mut method = method_with("dtp", 2, &[]);
            method.scored(&scores);
            assert!(method.weights(&step(&[1.0, 1.0])).unwrap().iter().all(|w| w.is_finite()), "{scores:?}");
        }
    }
}
