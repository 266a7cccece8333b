//! Self-attention within each sequence of a packed batch. No score matrix outlives its sequence and head: the
//! backward pass computes it again.

use super::kernel::{Matrix, matmul, simd, slice, tensor, view};
use super::math::exp;
use super::random::Dropout;
use super::relative;
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Mutex;

/// What attention needs beside queries, keys and values.
#[derive(Clone)]
pub struct Attention {
    /// First token of each sequence, and the end of the last.
    pub starts: Vec<u32>,
    /// Number of heads; the width is a multiple of it.
    pub heads: usize,
    /// Dropout of the attention probabilities.
    pub dropout: Option<Dropout>,
    /// Learned scores by distance.
    pub relative: Option<RelativePositions>,
    /// Where the gradient of `relative` goes.
    pub recorder: Option<Recorder>,
}

/// Scores that depend on the distance of two tokens (Shaw et al. 2018; Huang et al. 2020).
#[derive(Clone)]
pub struct RelativePositions {
    /// `[2 · positions - 1, width / heads]`, distances ascending.
    pub table: Parameter,
    /// Whether keys take part too (`relative_key_query`), or queries alone (`relative_key`).
    pub keys: bool,
}

/// `softmax(Q Kᵀ / √d) V` in each sequence and head, full width; all `[tokens, width]`.
///
/// # Errors
/// If shapes differ, `starts` does not cover the tokens, or a sequence is longer than the relative positions reach.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: Attention) -> Result<Tensor> {
    let (tokens, width) = q.dims2()?;
    if k.dims() != q.dims() || v.dims() != q.dims() || !width.is_multiple_of(options.heads) {
        candle_core::bail!("attention: {:?}, {:?}, {:?}, {} heads", q.shape(), k.shape(), v.shape(), options.heads);
    }
    let starts = &options.starts;
    if starts.first() != Some(&0) || starts.last() != Some(&(tokens as u32)) || starts.windows(2).any(|w| w[0] > w[1]) {
        candle_core::bail!("attention: sequence starts {starts:?} do not cover {tokens} tokens");
    }
    if let Some(relative) = &options.relative {
        let longest = starts.windows(2).map(|w| (w[1] - w[0]) as usize).max().unwrap_or(0);
        if 2 * longest > relative.table.value.dim(0)? + 1 {
            candle_core::bail!("attention: a sequence of {longest} tokens is longer than its relative positions reach");
        }
    }
    let dropout = options.dropout.filter(|d| d.p() > 0.0);
    let op = Op { width, options: Attention { dropout, ..options } };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

struct Op {
    width: usize,
    options: Attention,
}

/// One sequence of a batch: its tokens, and the number of its first attention probability.
struct Sequence {
    first: usize,
    len: usize,
    probability: u64,
}

/// Queries, keys and values of one sequence and head.
#[derive(Clone, Copy)]
struct Head<'a> {
    q: Matrix<'a>,
    k: Matrix<'a>,
    v: Matrix<'a>,
}

impl Op {
    fn head_width(&self) -> usize {
        self.width / self.options.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_width() as f32).sqrt()
    }

    /// The sequences that have tokens.
    fn sequences(&self) -> Vec<Sequence> {
        let mut probability = 0;
        let sequence = |w: &[u32]| {
            let len = (w[1] - w[0]) as usize;
            let this = Sequence { first: w[0] as usize, len, probability };
            probability += (self.options.heads * len * len) as u64;
            this
        };
        self.options.starts.windows(2).map(sequence).filter(|sequence| sequence.len > 0).collect()
    }

    /// Cuts `[tokens, width]` at the sequences.
    fn cut<'a>(&self, mut rest: &'a mut [f32], sequences: &[Sequence]) -> Vec<&'a mut [f32]> {
        let mut next = |sequence: &Sequence| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(sequence.len * self.width);
            rest = later;
            now
        };
        sequences.iter().map(&mut next).collect()
    }

    fn head<'a>(&self, q: &'a [f32], k: &'a [f32], v: &'a [f32], sequence: &Sequence, head: usize) -> Head<'a> {
        let start = sequence.first * self.width + head * self.head_width();
        let matrix = |data: &'a [f32]| Matrix::new(&data[start..], self.width);
        Head { q: matrix(q), k: matrix(k), v: matrix(v) }
    }

    /// Attention probabilities before dropout, `[len, len]`.
    fn probabilities(&self, head: Head, table: Option<&[f32]>, len: usize, out: &mut [f32]) {
        let d = self.head_width();
        matmul((len, len, d), out, len, 0.0, self.scale(), head.q, head.k.t(), false);
        if let (Some(table), Some(relative)) = (table, &self.options.relative) {
            let window = relative::window(table, len, d);
            relative::add_scores(out, len, d, self.scale(), head.q, window, false);
            if relative.keys {
                relative::add_scores(out, len, d, self.scale(), head.k, window, true);
            }
        }
        simd(
            #[inline(always)]
            || {
                for row in out.chunks_exact_mut(len) {
                    softmax(row);
                }
            },
        );
    }

    /// Multiplies the probabilities of one sequence and head by their dropout mask.
    fn mask(&self, sequence: &Sequence, head: usize, values: &mut [f32]) {
        if let Some(dropout) = self.options.dropout {
            let first = sequence.probability + (head * sequence.len * sequence.len) as u64;
            simd(
                #[inline(always)]
                || {
                    dropout.apply(
                        first,
                        values,
                        #[inline(always)]
                        |value, factor| *value *= factor,
                    );
                },
            );
        }
    }

    fn table(&self) -> Result<Option<impl std::ops::Deref<Target = [f32]> + '_>> {
        self.options.relative.as_ref().map(|relative| view(&relative.table.value)).transpose()
    }
}

/// Softmax of one row; rows with NaN stay NaN.
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (max, x) in lanes.iter_mut().zip(block) {
            *max = max.max(*x);
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let mut sums = [0.0f32; 16];
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let (blocks, rest) = row.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += x;
        }
    }
    let scale = 1.0 / (sums.iter().sum::<f32>() + rest.iter().sum::<f32>());
    for x in row.iter_mut() {
        *x *= scale;
    }
}

/// `dS = P ∘ (dP - rowsum(dP ∘ P))`, into `dp`.
#[inline(always)]
fn softmax_backward(p: &[f32], dp: &mut [f32], len: usize) {
    for (p, dp) in p.chunks_exact(len).zip(dp.chunks_exact_mut(len)) {
        let mut lanes = [0.0f32; 16];
        let ((p_blocks, p_rest), (dp_blocks, dp_rest)) = (p.as_chunks::<16>(), dp.as_chunks::<16>());
        for (p, dp) in p_blocks.iter().zip(dp_blocks) {
            for ((lane, p), dp) in lanes.iter_mut().zip(p).zip(dp) {
                *lane += p * dp;
            }
        }
        let rest: f32 = p_rest.iter().zip(dp_rest).map(|(p, dp)| p * dp).sum();
        let dot = lanes.iter().sum::<f32>() + rest;
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - dot);
        }
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let table = self.table()?;
        let table = table.as_deref();
        let (sequences, d) = (self.sequences(), self.head_width());
        let mut out = vec![0.0; q.len()];
        let cuts = self.cut(&mut out, &sequences);
        sequences.par_iter().zip(cuts).for_each(|(sequence, out)| {
            let len = sequence.len;
            let mut p = vec![0.0; len * len];
            for index in 0..self.options.heads {
                let head = self.head(q, k, v, sequence, index);
                self.probabilities(head, table, len, &mut p);
                self.mask(sequence, index, &mut p);
                let out = &mut out[index * d..];
                matmul((len, d, len), out, self.width, 0.0, 1.0, Matrix::new(&p, len), head.v, false);
            }
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (qs, ks, vs, dy) = (view(q)?, view(k)?, view(v)?, view(&gradient)?);
        let (qs, ks, vs, dy): (&[f32], &[f32], &[f32], &[f32]) = (&qs, &ks, &vs, &dy);
        let table = self.table()?;
        let table = table.as_deref();
        let (sequences, d, width) = (self.sequences(), self.head_width(), self.width);
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![0.0; qs.len()]);
        let cuts = self.cut(&mut dq, &sequences).into_iter();
        let cuts: Vec<_> = cuts.zip(self.cut(&mut dk, &sequences)).zip(self.cut(&mut dv, &sequences)).collect();
        // Gradients of the relative positions by sequence, added in order below.
        let windows: Vec<_> = sequences.iter().map(|_| Mutex::new(Vec::new())).collect();
        sequences.par_iter().zip(cuts).zip(&windows).for_each(|((sequence, ((dq, dk), dv)), window)| {
            let len = sequence.len;
            let [mut p, mut dropped, mut dp] = [(); 3].map(|()| vec![0.0; len * len]);
            for index in 0..self.options.heads {
                let head = self.head(qs, ks, vs, sequence, index);
                let dy = Matrix::new(&dy[sequence.first * width + index * d..], width);
                let (dq, dk, dv) = (&mut dq[index * d..], &mut dk[index * d..], &mut dv[index * d..]);
                self.probabilities(head, table, len, &mut p);
                dropped.copy_from_slice(&p);
                self.mask(sequence, index, &mut dropped);
                matmul((len, d, len), dv, width, 0.0, 1.0, Matrix::new(&dropped, len).t(), dy, false);
                matmul((len, len, d), &mut dp, len, 0.0, 1.0, dy, head.v.t(), false);
                self.mask(sequence, index, &mut dp);
                simd(
                    #[inline(always)]
                    || softmax_backward(&p, &mut dp, len),
                );
                let ds = Matrix::new(&dp, len);
                matmul((len, d, len), dq, width, 0.0, self.scale(), ds, head.k, false);
                matmul((len, d, len), dk, width, 0.0, self.scale(), ds.t(), head.q, false);
                if let (Some(table), Some(relative)) = (table, &self.options.relative) {
                    let mut window = window.lock().expect("one thread a sequence");
                    window.resize((2 * len - 1) * d, 0.0);
                    let scores = relative::Scores { ds: &dp, len, d, scale: self.scale(), table };
                    scores.backward(head.q, dq, width, &mut window, false);
                    if relative.keys {
                        scores.backward(head.k, dk, width, &mut window, true);
                    }
                }
            }
        });
        self.record_relative(&sequences, windows);
        let shape = q.shape();
        Ok((Some(tensor(dq, shape)?), Some(tensor(dk, shape)?), Some(tensor(dv, shape)?)))
    }
}

impl Op {
    fn record_relative(&self, sequences: &[Sequence], windows: Vec<Mutex<Vec<f32>>>) {
        let (Some(recorder), Some(relative)) = (&self.options.recorder, &self.options.relative) else { return };
        let Some(slot) = relative.table.slot else { return };
        let d = self.head_width();
        recorder.record(slot, |tokens, gradient| {
            for (sequence, window) in sequences.iter().zip(&windows) {
                if !tokens.contains(&sequence.first) {
                    continue;
                }
                let first = relative::first_row(gradient.len() / d, sequence.len);
                let window = window.lock().expect("no thread is left");
                gradient[first * d..].iter_mut().zip(window.iter()).for_each(|(sum, value)| *sum += value);
            }
        });
    }
}
