//! Fixed weights, given in the recipe.

use super::{Method, Settings, Step, Unsolved};

/// `wᵢ` as given: linear scalarisation, TorchJD's Constant times the number of tasks.
pub(super) struct Fixed(Vec<f64>);

impl Fixed {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(settings.weights())
    }
}

impl Method for Fixed {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(step.tasks.iter().map(|&task| self.0[task]).collect())
    }
}
