//! The losses of a batch and their backward pass.

use crate::error::Result;
use crate::ops;
use candle_core::{Device, Tensor, Var};
use std::ops::Range;

/// The losses of the tasks of one batch, after the forward pass.
///
/// Each head has a gradient tape of its own, which begins at its task's hidden states. So the trunk sees one gradient,
/// whatever the number of tasks, and a head's backward pass costs what its own tokens cost.
pub struct Losses {
    pub(super) hidden: Tensor,
    pub(super) tasks: Vec<TaskLoss>,
}

pub(super) struct TaskLoss {
    pub loss: Tensor,
    /// The task's hidden states, in a pass that records gradients.
    pub leaf: Option<Var>,
    pub tokens: Range<usize>,
}

impl Losses {
    /// The mean loss of each task, in the batch's order.
    pub fn values(&self) -> Result<Vec<f32>> {
        self.tasks.iter().map(|task| Ok(task.loss.to_scalar()?)).collect()
    }

    /// One backward pass of the sum of the losses, each times its weight. Adds to the gradient store of the forward pass.
    ///
    /// # Panics
    /// If there are not as many weights as tasks.
    pub fn backward(&self, weights: &[f64]) -> Result<()> {
        assert_eq!(weights.len(), self.tasks.len(), "a weight a task");
        let (_, width) = self.hidden.dims2()?;
        let mut gradient = vec![0.0; self.hidden.elem_count()];
        for (task, &weight) in self.tasks.iter().zip(weights) {
            let Some(leaf) = task.leaf.as_ref().filter(|_| weight != 0.0) else { continue };
            let gradients = (&task.loss * weight)?.backward()?;
            if let Some(own) = gradients.get(leaf) {
                let own: Vec<f32> = own.flatten_all()?.to_vec1()?;
                gradient[task.tokens.start * width..task.tokens.end * width].copy_from_slice(&own);
            }
        }
        if self.hidden.track_op() {
            ops::seed(&self.hidden, Tensor::from_vec(gradient, self.hidden.shape(), &Device::Cpu)?)?.backward()?;
        }
        Ok(())
    }
}
