//! What the ranks of a run tell each other, beside gradients.

use super::pieces::Piece;
use super::weighing::PieceLoss;
use super::{Run, Scores, Trainer};
use crate::collective::Collective;
use crate::data::Batch;
use crate::error::{Problem, Result};
use crate::model::GradientRows;
use indexmap::IndexMap;
use serde_json::json;

impl Trainer {
    /// Prepares the gradient store for what any rank writes to it in passes over batches. Nothing to do for a rank alone:
    /// its passes write what there is.
    pub(super) fn expect(&self, batches: &[Batch], rows: GradientRows) {
        if self.ranks.ranks() == 1 {
            return;
        }
        let mut store = self.store.lock();
        for batch in batches {
            for (row, tokens) in rows.spans_of(batch, &batch.tasks) {
                store.expect(row, &batch.packed.ids[tokens]);
            }
        }
    }

    /// The losses of pieces on all ranks together, from those that this rank has found, one after the other.
    pub(super) fn of_all_ranks(&self, pieces: &[Piece], values: &[f32]) -> Result<Vec<Vec<PieceLoss>>> {
        let mut values = values.iter();
        let mut own = |piece: &Piece| -> Vec<PieceLoss> {
            let tasks = piece.batch.tasks.iter().zip(&piece.shares).zip(values.by_ref());
            tasks.map(|((task, &share), &loss)| PieceLoss { task: task.task, loss: loss.into(), share }).collect()
        };
        let own: Vec<Vec<PieceLoss>> = pieces.iter().map(&mut own).collect();
        if self.ranks.ranks() == 1 {
            return Ok(own);
        }
        // Of each piece and task, the losses times their shares, and the shares.
        let tasks = self.tasks.len();
        let mut sums = vec![0.0; 2 * tasks * pieces.len()];
        for (sums, own) in sums.chunks_exact_mut(2 * tasks).zip(&own) {
            for PieceLoss { task, loss, share } in own {
                sums[2 * task] += share * loss;
                sums[2 * task + 1] += share;
            }
        }
        self.ranks.total(&mut sums)?;
        let mean = |(piece, sums): (&Piece, &[f64])| {
            let of = |&task: &usize| {
                let (sum, share) = (sums[2 * task], sums[2 * task + 1]);
                // Where nothing counts the loss is 0.
                PieceLoss { task, loss: if share > 0.0 { sum / share } else { sum }, share }
            };
            piece.tasks.iter().map(of).collect()
        };
        Ok(pieces.iter().zip(sums.chunks_exact(2 * tasks)).map(mean).collect())
    }

    /// The sum of a matrix over the ranks.
    pub(super) fn matrix_of_all_ranks(&self, matrix: Vec<Vec<f64>>) -> Result<Vec<Vec<f64>>> {
        let mut numbers = matrix.concat();
        self.ranks.total(&mut numbers)?;
        Ok(numbers.chunks(matrix.len().max(1)).map(<[f64]>::to_vec).collect())
    }
}

impl Run {
    /// Sees that all ranks begin with the same, and pass batches in pieces of the same size.
    ///
    /// # Errors
    /// If one has other data, another recipe, program or state.
    pub(super) fn agree(&mut self) -> Result<()> {
        let ranks = self.prepared.ranks.clone();
        if ranks.ranks() == 1 {
            return Ok(());
        }
        let own = (&self.position.fingerprint, self.position.step, env!("CARGO_PKG_VERSION"));
        let pieces = self.trainer.divided();
        let all = ranks.gather(json!([own, pieces]).to_string().as_bytes())?;
        let all: Vec<(serde_json::Value, Option<usize>)> =
            all.iter().map(|said| serde_json::from_slice(said).unwrap_or_default()).collect();
        if let Some(other) = all.iter().position(|said| said.0 != all[0].0) {
            let help = "give all ranks the same recipe, data, backbone, program and, with `--resume`, folder";
            let found = format!("rank {other} with other data, settings, program or state than rank 0");
            return Err(Problem::new(found, "ranks that begin with the same", help).parallel());
        }
        if let Some(tokens) = all.iter().filter_map(|said| said.1).min() {
            self.trainer.divide_batches(tokens);
        }
        Ok(())
    }

    /// Sees that parameters and moments have the same bits on all ranks.
    ///
    /// # Errors
    /// If not: a device or memory computes wrongly, or there is a bug.
    pub(super) fn compare_ranks(&mut self) -> Result<()> {
        let ranks = self.prepared.ranks.clone();
        if ranks.ranks() == 1 {
            return Ok(());
        }
        let own = self.trainer.read(|parameters, [first, second]| [parameters, first, second].map(checksum))?;
        let all = ranks.gather(json!(own).to_string().as_bytes())?;
        match all.iter().position(|said| *said != all[0]) {
            None => Ok(()),
            Some(other) => {
                let help = "go on from a state before this step with `--resume`; if it happens again, look at the machine (memory, \
                            cards, processors that differ), or report a bug";
                let found =
                    format!("other parameters on rank {other} than on rank 0 after step {}", self.position.step);
                Err(Problem::new(found, "the same bits on all ranks", help).parallel())
            }
        }
    }
}

/// A number that a change of any one bit changes.
fn checksum(numbers: &[f32]) -> u64 {
    // Odd, so that to multiply loses nothing.
    let add =
        |sum: u64, number: &f32| (sum.rotate_left(7) ^ u64::from(number.to_bits())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    numbers.iter().fold(numbers.len() as u64, add)
}

/// Scores of tasks by their number, from those that this rank has found: every rank finds some.
pub(super) fn scores_of_all_ranks(ranks: &dyn Collective, own: Vec<(usize, Scores)>) -> Result<Vec<(usize, Scores)>> {
    if ranks.ranks() == 1 {
        return Ok(own);
    }
    // As bits: JSON has no NaN.
    type Bits = (usize, u64, IndexMap<String, Option<u64>>);
    let bits = |(task, scores): (usize, Scores)| -> Bits {
        let metrics = scores.metrics.into_iter().map(|(name, value)| (name, value.map(f64::to_bits)));
        (task, scores.loss.to_bits(), metrics.collect())
    };
    let own: Vec<Bits> = own.into_iter().map(bits).collect();
    let mut all = Vec::new();
    for said in ranks.gather(json!(own).to_string().as_bytes())? {
        for (task, loss, metrics) in serde_json::from_slice::<Vec<Bits>>(&said).unwrap_or_default() {
            let metrics = metrics.into_iter().map(|(name, value)| (name, value.map(f64::from_bits))).collect();
            all.push((task, Scores { loss: f64::from_bits(loss), metrics }));
        }
    }
    all.sort_by_key(|(task, _)| *task);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let numbers: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
        let sum = checksum(&numbers);
        for (place, bit) in [(0, 0), (0, 31), (1, 5), (500, 13), (999, 0), (999, 31)] {
            let mut other = numbers.clone();
            other[place] = f32::from_bits(other[place].to_bits() ^ (1 << bit));
            assert_ne!(checksum(&other), sum, "{place} {bit}");
        }
        assert_ne!(checksum(&[0.0]), checksum(&[0.0, 0.0]));
        assert_ne!(checksum(&[0.0]), checksum(&[-0.0]));
    }
}
