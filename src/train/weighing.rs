//! What a step measures, and in which form the balancing method sees it.

use super::pieces::Piece;
use crate::balance::Matrix;
use crate::data::Batch;
use crate::gradient::{Squares, Traces};
use crate::model::GradientRows;

/// What has to be measured in a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub weighing: Weighing,
    pub rows: GradientRows,
    /// Whether to tell how the tasks' gradients stand to each other.
    pub conflicts: bool,
    /// Whether to tell what a step of each task alone would do to all losses.
    pub affinity: bool,
    /// Whether gradients of validation losses are wanted.
    pub validation: bool,
    /// Whether losses are wanted once more after the update.
    pub again: bool,
}

/// When the balancing weights are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weighing {
    /// Before the backward pass, which then computes the weighted sum.
    Before,
    /// After that of the heads.
    States,
    /// After the whole backward pass, which keeps the tasks' gradients apart.
    After,
}

/// What is kept of the gradients of all steps.
pub(super) enum History {
    None,
    Traces(Traces),
    Squares(Squares),
}

impl History {
    /// The numbers, by gradient row.
    pub fn rows(&self) -> &[Vec<f32>] {
        match self {
            Self::None => &[],
            Self::Traces(traces) => traces.rows(),
            Self::Squares(squares) => squares.rows(),
        }
    }

    /// Goes on from saved numbers, as many as there are.
    pub fn restore(&mut self, numbers: &[f32]) {
        let rows = match self {
            Self::None => &mut [],
            Self::Traces(traces) => traces.rows_mut(),
            Self::Squares(squares) => squares.rows_mut(),
        };
        let mut rest = numbers;
        for row in rows {
            let (now, later) = rest.split_at(row.len());
            row.copy_from_slice(now);
            rest = later;
        }
    }
}

/// The mean loss of a task in a piece of a batch, on all ranks together, and its share in that of the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct PieceLoss {
    pub task: usize,
    pub loss: f64,
    pub share: f64,
}

/// Mean losses of the tasks over the batches of a step.
pub(super) struct MeanLosses {
    /// Of each task, losses times their shares, and the shares.
    sums: Vec<(f64, f64)>,
    last: Vec<Option<f64>>,
}

impl MeanLosses {
    pub fn new(tasks: usize) -> Self {
        Self { sums: vec![(0.0, 0.0); tasks], last: Vec::new() }
    }

    pub fn add(&mut self, piece: &[PieceLoss]) {
        self.last = vec![None; self.sums.len()];
        for &PieceLoss { task, loss, share } in piece {
            let (sum, count) = &mut self.sums[task];
            (*sum, *count) = (*sum + share * loss, *count + share);
            self.last[task] = Some(loss);
        }
    }

    /// Takes note of the tasks of a batch whose losses are not known yet.
    pub fn expect(&mut self, piece: &Piece) {
        self.last = vec![None; self.sums.len()];
        piece.tasks.iter().for_each(|&task| self.last[task] = Some(1.0));
    }

    /// Losses of the last batch, times the tasks' weights; a task without weight is absent.
    pub fn of_last(&self, weights: &[f64]) -> Vec<Option<f64>> {
        self.last.iter().zip(weights).map(|(loss, w)| loss.filter(|_| *w != 0.0).map(|loss| w * loss)).collect()
    }

    /// The sums over the batches, times the tasks' weights.
    pub fn sums(&self, weights: &[f64]) -> impl Iterator<Item = f64> {
        self.sums.iter().zip(weights).map(|((sum, _), w)| w * sum)
    }

    fn mean(&self) -> impl Iterator<Item = Option<f64>> {
        self.sums.iter().map(|&(sum, count)| (count > 0.0).then(|| sum / count))
    }

    /// The means.
    pub fn means(&self) -> Vec<Option<f32>> {
        self.mean().map(|mean| mean.map(|mean| mean as f32)).collect()
    }

    /// The means, times the tasks' weights; a task without weight is absent.
    pub fn weighted(&self, weights: &[f64]) -> Vec<Option<f64>> {
        self.mean().zip(weights).map(|(mean, w)| mean.filter(|_| *w != 0.0).map(|mean| w * mean)).collect()
    }
}

/// Takes over the weights of the tasks of a piece.
pub(super) fn keep_present(weights: &mut Vec<Vec<f64>>, of_batch: Vec<Vec<f64>>, piece: &Piece) {
    if weights.is_empty() {
        *weights = of_batch;
        return;
    }
    for (weights, own) in weights.iter_mut().zip(of_batch) {
        piece.tasks.iter().for_each(|&task| weights[task] = own[task]);
    }
}

/// A matrix over the tasks of a batch as one over all tasks.
pub(super) fn spread(matrix: &[Vec<f64>], order: &[usize], tasks: usize) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.0; tasks]; tasks];
    for (row, &a) in matrix.iter().zip(order) {
        row.iter().zip(order).for_each(|(value, &b)| all[a][b] = *value);
    }
    all
}

/// The sum of matrices.
pub(super) fn sum(matrices: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let mut sum = matrices[0].clone();
    for matrix in &matrices[1..] {
        sum.iter_mut().flatten().zip(matrix.iter().flatten()).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// The rows from `first` on against the tasks' own.
pub(super) fn block(gramian: &[Vec<f64>], first: usize, tasks: usize) -> Vec<Vec<f64>> {
    gramian[first..first + tasks].iter().map(|row| row[..tasks].to_vec()).collect()
}

/// The share of each task's sequences that is in the first halves of its batches.
pub(super) fn half_shares(batches: &[Batch], tasks: usize) -> Vec<f64> {
    let mut counts = vec![(0, 0); tasks];
    for task in batches.iter().flat_map(|batch| &batch.tasks) {
        let (first, all) = &mut counts[task.task];
        (*first, *all) = (*first + task.first_half, *all + task.sequences.len());
    }
    counts.into_iter().map(|(first, all)| f64::from(first as u32) / f64::from(all.max(1) as u32)).collect()
}

/// `J₁ J₂ᵀ` of the mean losses of the halves, from the Gramian of rows that add up to the whole's, and the share of the first
/// half. A task with one example has no first half: the second stands for both.
pub(super) fn halves(gramian: &[Vec<f64>], shares: &[f64]) -> Vec<Vec<f64>> {
    let tasks = shares.len();
    let first = |task: usize| if shares[task] > 0.0 { (task, 1.0 / shares[task]) } else { (tasks + task, 1.0) };
    let product = |a: usize, b: usize| {
        let (row, factor) = first(a);
        factor / (1.0 - shares[b]) * gramian[row][tasks + b]
    };
    (0..tasks).map(|a| (0..tasks).map(|b| product(a, b)).collect()).collect()
}

/// The Gramian of the tasks' gradients, from that of a step's rows.
pub(super) fn tasks_only(gramian: &[Vec<f64>], tasks: usize, rows: GradientRows) -> Vec<Vec<f64>> {
    let GradientRows::Halves { .. } = rows else { return block(gramian, 0, tasks) };
    let of = |a: usize, b: usize| {
        gramian[a][b] + gramian[tasks + a][b] + gramian[a][tasks + b] + gramian[tasks + a][tasks + b]
    };
    (0..tasks).map(|a| (0..tasks).map(|b| of(a, b)).collect()).collect()
}

/// The part of a matrix over all tasks that belongs to those with a loss, of gradients that are `scale` times too long.
pub(super) fn present(matrix: &[Vec<f64>], losses: &[Option<f64>], scale: f64) -> Matrix {
    let tasks: Vec<usize> = (0..losses.len()).filter(|&task| losses[task].is_some()).collect();
    Matrix::from_fn(tasks.len(), tasks.len(), |a, b| matrix[tasks[a]][tasks[b]] / (scale * scale))
}

/// `wᵀ G w`.
pub(super) fn quadratic(gramian: &[Vec<f64>], weights: &[f32]) -> f64 {
    let row = |(row, w): (&Vec<f64>, &f32)| {
        f64::from(*w) * row.iter().zip(weights).map(|(value, w)| value * f64::from(*w)).sum::<f64>()
    };
    gramian.iter().zip(weights).map(row).sum()
}
