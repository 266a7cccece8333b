//! How the validation losses change with the weights of the training losses.

use super::{Matrix, Step, Unsolved};

/// `dVᵢ/dλⱼ` of the validation loss Vᵢ after a step `θ - η Σ λⱼ gⱼ`, over the learning rate η: `-∇Vᵢ · gⱼ`, a row a
/// validation loss.
///
/// This is exact to first order in η. Auto-Lambda and MOML get the same number from finite differences or from backward
/// passes through the step, at the updated parameters instead of the present ones.
pub(super) fn hypergradient(step: &Step) -> Result<Matrix, Unsolved> {
    let tasks = step.tasks.len();
    if step.validation.shape() != (tasks, tasks) {
        return Err(Unsolved("there are no gradients of validation losses".into()));
    }
    match step.validation.iter().all(|product| product.is_finite()) {
        true => Ok(-&step.validation),
        false => Err(Unsolved("a product with a validation gradient is not finite".into())),
    }
}
