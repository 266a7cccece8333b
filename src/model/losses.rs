//! The losses of a batch and their backward pass.

use super::pass::Director;
use super::state_gradient::{StateGradient, StateSum};
use crate::error::Result;
use crate::ops;
use candle_core::{Tensor, Var};
use std::ops::Range;

/// The losses of the tasks of one batch, after the forward pass.
///
/// Each head has a gradient tape of its own, which begins at its task's hidden states. So the trunk sees one gradient,
/// whatever the number of tasks, and a head's backward pass costs what its own tokens cost.
pub struct Losses {
    pub(super) hidden: Tensor,
    pub(super) tasks: Vec<TaskLoss>,
    /// Of a pass that keeps the tasks' gradients apart.
    pub(super) rows: Option<Director>,
}

pub(super) struct TaskLoss {
    pub task: usize,
    pub loss: Tensor,
    /// The task's hidden states, in a pass that records gradients.
    pub leaf: Option<Var>,
    pub tokens: Range<usize>,
}

/// Gradients of the losses at the hidden states that the heads read, the shared representation.
pub struct StateGradients<'a> {
    losses: &'a Losses,
    /// Of each task of the batch, `[its tokens, hidden]`; `None` for a task that counts nothing.
    tasks: Vec<Option<StateGradient>>,
}

impl Losses {
    /// The mean loss of each task, in the batch's order.
    pub fn values(&self) -> Result<Vec<f32>> {
        read_losses(&self.tensors().collect::<Vec<_>>())
    }

    /// The same, not read yet.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> {
        self.tasks.iter().map(|task| task.loss.detach())
    }

    /// One backward pass of the sum of the losses, each times its weight. Adds to the gradient store of the forward pass.
    ///
    /// # Panics
    /// If there are not as many weights as tasks.
    pub fn backward(&self, weights: &[f64]) -> Result<()> {
        self.heads(weights)?.backward(&vec![1.0; weights.len()])
    }

    /// The backward passes of the heads, each of its loss times its weight. Adds the gradients of the heads' parameters
    /// to the gradient store.
    ///
    /// # Panics
    /// If there are not as many weights as tasks.
    pub fn heads(&self, weights: &[f64]) -> Result<StateGradients<'_>> {
        assert_eq!(weights.len(), self.tasks.len(), "a weight a task");
        let states = |(task, &weight): (&TaskLoss, &f64)| {
            let Some(leaf) = task.leaf.as_ref().filter(|_| weight != 0.0) else { return Ok(None) };
            let gradients = (&task.loss * weight)?.backward()?;
            gradients.get(leaf).map(StateGradient::new).transpose()
        };
        let tasks = self.tasks.iter().zip(weights).map(states).collect::<Result<_>>()?;
        Ok(StateGradients { losses: self, tasks })
    }
}

impl StateGradients<'_> {
    /// Inner products of the gradients of two tasks, in the batch's order. Tasks with other inputs share no state: theirs
    /// is 0.
    ///
    /// # Errors
    /// If the device fails that has them.
    pub fn gramian(&self) -> Result<Vec<Vec<f64>>> {
        let tasks = self.losses.tasks.iter().zip(&self.tasks);
        let product =
            |(a, x): (&TaskLoss, &Option<StateGradient>), (b, y): (&TaskLoss, &Option<StateGradient>)| match (x, y) {
                (Some(x), Some(y)) if a.tokens == b.tokens => x.dot(y),
                _ => Ok(0.0),
            };
        tasks.clone().map(|a| tasks.clone().map(|b| product(a, b)).collect()).collect()
    }

    /// The backward pass of the trunk, each task's gradient times its weight.
    ///
    /// Where tasks with gradient rows of their own label the same tokens, this takes as many passes as tasks do.
    ///
    /// # Panics
    /// If there are not as many weights as tasks.
    pub fn backward(&self, weights: &[f64]) -> Result<()> {
        assert_eq!(weights.len(), self.tasks.len(), "a weight a task");
        let Losses { hidden, tasks, rows } = self.losses;
        if !hidden.track_op() {
            return Ok(());
        }
        let places = places(tasks);
        let passes = if rows.is_some() { places.iter().map(|place| place.turn + 1).max().unwrap_or(1) } else { 1 };
        for pass in 0..passes {
            let mut sum = StateSum::zeros(hidden)?;
            for (((task, place), own), &weight) in tasks.iter().zip(&places).zip(&self.tasks).zip(weights) {
                if let Some(rows) = rows {
                    if place.turn != pass {
                        continue;
                    }
                    rows.direct(place.span, task.task);
                }
                if let Some(own) = own {
                    sum.add(&task.tokens, own, weight)?;
                }
            }
            ops::seed(hidden, sum.tensor(hidden)?)?.backward()?;
        }
        Ok(())
    }
}

/// The values of losses, with one copy where they are on a device.
pub fn read_losses(losses: &[Tensor]) -> Result<Vec<f32>> {
    match losses.first() {
        Some(first) if !first.device().is_cpu() => Ok(Tensor::stack(losses, 0)?.to_vec1()?),
        _ => losses.iter().map(|loss| Ok(loss.to_scalar()?)).collect(),
    }
}

/// Where a task's tokens are.
struct Place {
    /// Number of the range of tokens.
    span: usize,
    /// Tasks before it with the same tokens.
    turn: usize,
}

fn places(tasks: &[TaskLoss]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let place = match (places.last(), index.checked_sub(1).map(|before| &tasks[before].tokens)) {
            (Some(last), Some(tokens)) if *tokens == task.tokens => Place { span: last.span, turn: last.turn + 1 },
            (Some(last), _) => Place { span: last.span + 1, turn: 0 },
            (None, _) => Place { span: 0, turn: 0 },
        };
        places.push(place);
    }
    places
}
