//! Whose numbers are not finite.

use super::Trainer;
use super::pieces::Piece;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::GradientRows;

impl Trainer {
    /// Runs the backward pass of one task at a time, with the same dropout, to find whose gradient is not finite.
    pub(super) fn blame(&self, done: u64, pieces: &[Piece]) -> Error {
        let attempt = |index: usize, batch: &Batch, task: usize| -> Result<Option<(usize, f32)>> {
            self.store.lock().clear();
            let pass = self.pass((done, index), batch, pieces.len(), GradientRows::Joint)?;
            let mut weights = vec![0.0; batch.tasks.len()];
            weights[task] = 1.0;
            self.model.losses(batch, &pass)?.backward(&weights)?;
            let mut rows = self.store.lock();
            rows.finish()?;
            rows.fetch()?;
            Ok(rows.first_non_finite())
        };
        for (index, piece) in pieces.iter().enumerate() {
            for (position, task) in piece.batch.tasks.iter().enumerate() {
                match attempt(index, &piece.batch, position) {
                    Ok(Some((offset, value))) => {
                        let what = format!("the gradient of `{}`", self.model.arena().name_at(offset));
                        return not_finite(done + 1, &self.tasks[task.task], &what, value);
                    }
                    Ok(None) => {}
                    Err(error) => return error,
                }
            }
        }
        not_finite(done + 1, &self.tasks.join("` and `"), "the norm of the joint gradient", f32::INFINITY)
    }
}

pub(super) fn not_finite(step: u64, task: &str, what: &str, value: f32) -> Error {
    let value = if value.is_nan() { "NaN" } else { "infinite" };
    Error::NotFinite { step: step as usize, task: task.to_owned(), what: what.to_owned(), value }
}
