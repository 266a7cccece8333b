//! The batches of a step: what this rank has of each, in pieces where a device's memory asks for it.

use super::Trainer;
use crate::data::{Batch, TaskBatch};
use std::borrow::Cow;

/// A batch, or a piece of one; empty where other ranks have more pieces.
pub(super) struct Piece<'a> {
    pub batch: Cow<'a, Batch>,
    /// Of each of its tasks, the share that its mean loss has in that of the whole batch.
    pub shares: Vec<f64>,
    /// The tasks of which any rank has something in this piece.
    pub tasks: Vec<usize>,
}

impl Trainer {
    /// Cuts batches at the number of tokens that [`Trainer::divide_batches`] has set.
    pub(super) fn pieces<'a>(&self, batches: &'a [Batch]) -> Vec<Piece<'a>> {
        batches.iter().flat_map(|batch| self.pieces_of(batch)).collect()
    }

    fn pieces_of<'a>(&self, batch: &'a Batch) -> Vec<Piece<'a>> {
        let (rank, ranks) = (self.ranks.rank(), self.ranks.ranks());
        let tokens = self.piece_tokens.unwrap_or(usize::MAX);
        let all = batch.tasks.iter().map(|task| task.task);
        if ranks == 1 && batch.packed.tokens() <= tokens {
            return vec![Piece {
                batch: Cow::Borrowed(batch),
                shares: vec![1.0; batch.tasks.len()],
                tasks: all.collect(),
            }];
        }
        // Of each rank, its pieces. All take as many passes, since they speak between them.
        let parts: Vec<Vec<Batch>> = batch.share(ranks).iter().map(|part| part.divide(tokens)).collect();
        let passes = parts.iter().map(Vec::len).max().unwrap_or(0);
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
        let piece = |pass: usize| {
            let of_ranks = || parts.iter().filter_map(|pieces| pieces.get(pass));
            let has = |task: &usize| of_ranks().any(|piece| piece.tasks.iter().any(|own| own.task == *task));
            let batch = parts[rank].get(pass).cloned().unwrap_or_default();
            Piece {
                shares: batch.tasks.iter().map(share).collect(),
                tasks: all.clone().filter(has).collect(),
                batch: Cow::Owned(batch),
            }
        };
        (0..passes).map(piece).collect()
    }

    /// Passes batches of more tokens (of this rank's part of them) through the model in pieces of at most so many, and adds up
    /// their gradients: the same step within rounding, but for other dropout masks, in less memory.
    pub fn divide_batches(&mut self, tokens: usize) {
        self.piece_tokens = Some(tokens.max(1));
    }

    /// Tokens of a piece, if batches are divided.
    pub fn divided(&self) -> Option<usize> {
        self.piece_tokens
    }
}
