//! Named arrays as they come from files.

use crate::error::{Fault, Problem, Result};
use indexmap::IndexMap;

/// An array of a model file, widened to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<f32>,
}

/// Named arrays.
pub type Weights = IndexMap<String, Weight>;

/// Takes the array of that name and shape out of `weights`.
///
/// # Errors
/// If it is absent or of another shape.
pub(super) fn take(weights: &mut Weights, name: &str, shape: &[usize]) -> Result<Weight> {
    let help = "the weights and config.json do not belong together; download or export the model again";
    let Some(weight) = weights.swap_remove(name) else {
        return Err(Problem::new("no such tensor", format!("a tensor of shape {shape:?}"), help)
            .key(name)
            .checkpoint(Fault::MissingTensor));
    };
    if weight.shape != shape {
        return Err(Problem::new(format!("shape {:?}", weight.shape), format!("shape {shape:?}"), help)
            .key(name)
            .checkpoint(Fault::Shape));
    }
    Ok(weight)
}
