//! Numbers that a method learns beside the model.

use serde::{Deserialize, Serialize};

/// A number and its Adam (Kingma & Ba 2015, algorithm 1; β 0.9 and 0.999, ε 1e-8). One of its own for each task, since
/// a task that is absent from a step learns nothing there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    pub value: f64,
    first: f64,
    second: f64,
    steps: u32,
}

impl Learned {
    pub fn new(value: f64) -> Self {
        Self { value, first: 0.0, second: 0.0, steps: 0 }
    }

    /// One step against the gradient.
    pub fn descend(&mut self, gradient: f64, rate: f64) {
        // Squares of larger numbers than these are infinite.
        let gradient = gradient.clamp(-1e100, 1e100);
        self.steps = self.steps.saturating_add(1);
        self.first = 0.9 * self.first + 0.1 * gradient;
        self.second = 0.999 * self.second + 0.001 * gradient * gradient;
        let bias = |beta: f64| 1.0 - beta.powf(f64::from(self.steps));
        self.value -= rate * (self.first / bias(0.9)) / ((self.second / bias(0.999)).sqrt() + 1e-8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_step_is_the_rate_whatever_the_gradient() {
        for gradient in [1e-3, 1.0, 1e6] {
            let mut learned = Learned::new(2.0);
            learned.descend(gradient, 0.025);
            assert!((learned.value - 1.975).abs() < 1e-6, "{learned:?}");
        }
        for gradient in [0.0, f64::MAX, -f64::MAX] {
            let mut learned = Learned::new(2.0);
            learned.descend(gradient, 0.025);
            assert!(learned.value.is_finite());
        }
    }
}
