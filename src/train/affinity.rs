//! What a step of one task alone would do to the losses of the others: task affinity (TAG, Fifty et al. 2021).

use super::Trainer;
use super::pieces::Piece;
use crate::error::Result;
use crate::gradient::Rows;
use crate::model::GradientRows;
use crate::ops::Precision;

/// `[target][source]`: the relative decrease `1 − L'/L` of the target's loss by a step of the source alone (equation 1
/// there); `None` for a task without examples or weight in the step.
///
/// The step is AdamW's, without momentum and on the layers only: second moments are those of joint training, so that tasks
/// keep their scale against each other; the paper steps along the plain gradient, which no adaptive optimizer takes.
/// Losses are those of the step's own batches with its dropout, in f32.
pub type Affinity = Vec<Vec<Option<f64>>>;

impl Trainer {
    pub(super) fn affinity(
        &self,
        rows: &Rows,
        kind: GradientRows,
        factor: f64,
        step: (u64, &[Piece<'_>]),
    ) -> Result<Affinity> {
        let tasks = self.tasks.len();
        let losses = || Ok::<_, crate::Error>(self.losses_again(step, Precision::F32)?.means());
        let before = losses()?;
        let used = rows.used();
        let mut affinity = vec![vec![None; tasks]; tasks];
        for source in 0..tasks {
            let own: Vec<usize> = match kind {
                GradientRows::Halves { .. } => vec![source, tasks + source],
                _ => vec![source],
            };
            let own: Vec<usize> = own.into_iter().filter(|row| used.contains(row)).collect();
            if own.is_empty() {
                continue;
            }
            let after = self.optimizer.look_ahead(self.model.arena(), rows, &own, factor, losses)??;
            for ((to, before), after) in affinity.iter_mut().zip(&before).zip(after) {
                to[source] = before.zip(after).map(|(before, after)| f64::from(1.0 - after / before));
            }
        }
        Ok(affinity)
    }
}
