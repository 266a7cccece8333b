//! Learning rates over the steps of a run.

use crate::recipe::{Schedule, Training};

/// The factor on every peak learning rate, by step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    schedule: Schedule,
    steps: usize,
    warmup: usize,
}

impl LearningRate {
    /// A run of `steps` steps; the warm-up is rounded to whole steps.
    pub fn new(training: &Training, steps: usize) -> Self {
        Self { schedule: training.schedule, steps, warmup: (training.warmup * steps as f64).round() as usize }
    }

    /// The factor for step `step`, counted from 0: it rises in a straight line from 0, then follows the schedule, as
    /// transformers' `get_linear_schedule_with_warmup` and its kin do.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup.max(1) as f64;
        }
        let left = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / left).min(1.0);
        match self.schedule {
            Schedule::Linear => 1.0 - done,
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Schedule::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let training = |schedule| Training { schedule, warmup: 0.2, ..Training::default() };
        let factors = |schedule| {
            let rate = LearningRate::new(&training(schedule), 10);
            (0..=10).map(|step| rate.factor(step)).collect::<Vec<_>>()
        };
        let linear = factors(Schedule::Linear);
        assert_eq!(linear[..3], [0.0, 0.5, 1.0]);
        assert_eq!((linear[6], linear[10]), (0.5, 0.0));
        let cosine = factors(Schedule::Cosine);
        assert!((cosine[6] - 0.5).abs() < 1e-12 && cosine[10].abs() < 1e-12);
        assert_eq!(factors(Schedule::Constant)[5], 1.0);
        let none = LearningRate::new(&Training { warmup: 0.0, ..Training::default() }, 4);
        assert_eq!(none.factor(0), 1.0);
    }
}
