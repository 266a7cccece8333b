//! What a step tells of itself.

use super::{Affinity, Conflicts};

/// What happened in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss a task before weighting; `None` for tasks without examples in the step.
    pub losses: Vec<Option<f32>>,
    /// Weight that each task's loss had in the objective, `[part][task]`: one part, or one a layer where the balancing
    /// method weighs layers by themselves.
    pub weights: Vec<Vec<f64>>,
    /// The objective: the weighted sum of the losses over the number of tasks, weights being means over the parts.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// The tasks' own gradients, in steps that measure them.
    pub conflicts: Option<Conflicts>,
    /// The same in each part of the shared parameters, where that is wanted.
    pub conflicts_by_layer: Vec<Conflicts>,
    /// What a step of each task alone would do to the losses, in steps that measure it.
    pub affinity: Option<Affinity>,
    /// Why the balancing method had no answer in this step, if it had none.
    pub unsolved: Option<String>,
    /// The factor that kept gradients in f16's range, in training with f16.
    pub loss_scale: Option<f64>,
    /// Whether a gradient was not finite under that factor: then nothing was changed but the factor.
    pub skipped: bool,
    /// Tokens of the step.
    pub tokens: usize,
}
