//! Whose numbers are not finite.

use super::Trainer;
use super::pieces::Piece;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::GradientRows;

/// A task, what of it is not finite, and the bits of the number.
type Culprit = (String, String, u32);

impl Trainer {
    /// Runs the backward pass of one task at a time, with the same dropout, to find whose gradient is not finite. All ranks
    /// name the same.
    pub(super) fn blame(&self, done: u64, pieces: &[Piece]) -> Error {
        let found = self.culprit(done, pieces).and_then(|own| {
            let own = serde_json::to_vec(&own).expect("names and numbers are always JSON");
            let all = self.ranks.gather(&own)?;
            Ok(all.iter().find_map(|found| serde_json::from_slice::<Option<Culprit>>(found).ok().flatten()))
        });
        match found {
            Ok(Some((task, what, bits))) => not_finite(done + 1, &task, &what, f32::from_bits(bits).into()),
            Ok(None) => {
                not_finite(done + 1, &self.tasks.join("` and `"), "the norm of the joint gradient", f64::INFINITY)
            }
            Err(error) => error,
        }
    }

    fn culprit(&self, done: u64, pieces: &[Piece]) -> Result<Option<Culprit>> {
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
                if let Some((offset, value)) = attempt(index, &piece.batch, position)? {
                    let what = format!("the gradient of `{}`", self.model.arena().name_at(offset));
                    return Ok(Some((self.tasks[task.task].clone(), what, value.to_bits())));
                }
            }
        }
        Ok(None)
    }
}

pub(super) fn not_finite(step: u64, task: &str, what: &str, value: f64) -> Error {
    let value = if value.is_nan() { "NaN" } else { "infinite" };
    Error::NotFinite { step: step as usize, task: task.to_owned(), what: what.to_owned(), value }
}
