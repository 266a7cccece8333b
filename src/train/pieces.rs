//! The batches of a step, in pieces where a device's memory asks for it.

use super::Trainer;
use crate::data::{Batch, TaskBatch};
use std::borrow::Cow;

/// A batch, or a piece of one.
pub(super) struct Piece<'a> {
    pub batch: Cow<'a, Batch>,
    /// Of each of its tasks, the share that its mean loss has in that of the whole batch.
    pub shares: Vec<f64>,
}

impl Trainer {
    /// Cuts batches at the number of tokens that [`Trainer::divide_batches`] has set.
    pub(super) fn pieces<'a>(&self, batches: &'a [Batch]) -> Vec<Piece<'a>> {
        batches.iter().flat_map(|batch| self.pieces_of(batch)).collect()
    }

    fn pieces_of<'a>(&self, batch: &'a Batch) -> Vec<Piece<'a>> {
        let Some(tokens) = self.piece_tokens.filter(|tokens| batch.packed.tokens() > *tokens) else {
            return vec![Piece { batch: Cow::Borrowed(batch), shares: vec![1.0; batch.tasks.len()] }];
        };
        let count = |task: &TaskBatch| {
            let weights = self.model.heads()[task.task].options().class_weights.as_deref();
            // Where nothing counts the loss is 0, whatever the shares are.
            [task.targets.count(weights), task.sequences.len() as f64]
        };
        let share = |task: &TaskBatch| {
            let whole =
                batch.tasks.iter().find(|other| other.task == task.task).expect("a piece has the batch's tasks");
            let ([own, sequences], [all, all_sequences]) = (count(task), count(whole));
            if all > 0.0 { own / all } else { sequences / all_sequences }
        };
        let piece = |batch: Batch| Piece { shares: batch.tasks.iter().map(share).collect(), batch: Cow::Owned(batch) };
        batch.divide(tokens).into_iter().map(piece).collect()
    }

    /// Passes batches of more tokens through the model in pieces of at most so many, and adds up their gradients: the same
    /// step within rounding, but for other dropout masks, in less memory.
    pub fn divide_batches(&mut self, tokens: usize) {
        self.piece_tokens = Some(tokens.max(1));
    }

    /// Tokens of a piece, if batches are divided.
    pub fn divided(&self) -> Option<usize> {
        self.piece_tokens
    }
}
