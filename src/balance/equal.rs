//! Equal weighting: the mean loss of each task counts the same.

use super::{Method, Step, Unsolved};

/// `wᵢ = 1`: linear scalarisation with equal weights, LibMTL's EW, TorchJD's Mean.
pub(super) struct Equal;

impl Method for Equal {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(vec![1.0; step.tasks.len()])
    }
}
