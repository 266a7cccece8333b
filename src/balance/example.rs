//! Steps for tests of methods.

use super::{Matrix, Method, Step};

/// Step 0 of a run, with these tasks.
pub(super) fn step<'a>(gramian: &Matrix, tasks: &'a [usize], losses: &'a [f64]) -> Step<'a> {
    let empty = Matrix::zeros(0, 0);
    Step { number: 0, seed: 0, tasks, losses, gramian: gramian.clone(), excess: &[], validation: empty }
}

/// The method's weights for tasks with this Gramian, all present, losses 1.
pub(super) fn weights(method: &mut dyn Method, gramian: &Matrix) -> Vec<f64> {
    let tasks: Vec<_> = (0..gramian.nrows()).collect();
    method.weights(&step(gramian, &tasks, &vec![1.0; tasks.len()])).expect("the method has an answer")
}

/// How fast each task gets better along `Σ wᵢ gᵢ`.
pub(super) fn rates(gramian: &Matrix, weights: &[f64]) -> Vec<f64> {
    (gramian * nalgebra::DVector::from_column_slice(weights)).iter().copied().collect()
}
