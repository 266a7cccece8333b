//! Self-attention within each sequence of a packed batch. No score matrix is kept: scores are computed for a few queries
//! at a time, and again in the backward pass.

use super::attention_head::{Head, HeadGradients, Scores};
use super::buffers::Buffer;
use super::composed;
use super::kernel::{slice, tensor, view};
use super::matmul::{self, Matrix};
use super::number::Number;
use super::random::Dropout;
use super::relative;
use crate::gradient::{Parameter, Recorder};
use crate::simd::simd;
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
    if k.dims() != q.dims() || v.dims() != q.dims() {
        candle_core::bail!("attention: {:?}, {:?}, {:?}", q.shape(), k.shape(), v.shape());
    }
    options.check(tokens, width)?;
    if composed::needed(q)? {
        return composed::attention(q, k, v, &options);
    }
    #[cfg(feature = "cuda")]
    if q.device().is_cuda() {
        return match super::cuda::possible(q.device(), &options, width, super::Precision::F32) {
            true => super::cuda::attention(q, k, v, options),
            false => composed::attention(q, k, v, &options),
        };
    }
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, Op { width, options, log_sums: Mutex::default() })
}

impl Attention {
    /// Whether this describes `tokens` tokens of `width` numbers.
    pub(super) fn check(&self, tokens: usize, width: usize) -> Result<()> {
        let starts = &self.starts;
        if !width.is_multiple_of(self.heads) {
            candle_core::bail!("attention: width {width} is no multiple of {} heads", self.heads);
        }
        if starts.first() != Some(&0)
            || starts.last() != Some(&(tokens as u32))
            || starts.windows(2).any(|w| w[0] > w[1])
        {
            candle_core::bail!("attention: sequence starts {starts:?} do not cover {tokens} tokens");
        }
        if let Some(relative) = &self.relative {
            let longest = starts.windows(2).map(|w| (w[1] - w[0]) as usize).max().unwrap_or(0);
            if 2 * longest > relative.table.value.dim(0)? + 1 {
                candle_core::bail!(
                    "attention: a sequence of {longest} tokens is longer than its relative positions reach"
                );
            }
        }
        Ok(())
    }

    /// The sequences that have tokens.
    pub(super) fn sequences(&self) -> Vec<Sequence> {
        let mut probability = 0;
        let sequence = |w: &[u32]| {
            let len = (w[1] - w[0]) as usize;
            let this = Sequence { first: w[0] as usize, len, probability };
            probability += (self.heads * len * len) as u64;
            this
        };
        self.starts.windows(2).map(sequence).filter(|sequence| sequence.len > 0).collect()
    }

    fn table(&self) -> Result<Option<impl std::ops::Deref<Target = [f32]> + '_>> {
        self.relative.as_ref().map(|relative| view(&relative.table.value)).transpose()
    }

    fn scores<'a>(&self, sequence: &Sequence, head: usize, d: usize, table: Option<&'a [f32]>) -> Scores<'a> {
        let first = sequence.probability + (head * sequence.len * sequence.len) as u64;
        Scores {
            len: sequence.len,
            d,
            scale: 1.0 / (d as f32).sqrt(),
            dropout: self.dropout.filter(|dropout| dropout.p() > 0.0).map(|dropout| (dropout, first)),
            relative: table.zip(self.relative.as_ref().map(|relative| relative.keys)),
        }
    }

    /// Attends from queries `q` to keys `k` and values `v`, all `[tokens, width]`, into `out` `[tokens, width]`. What the backward
    /// pass needs beside them goes to `log_sums`, one number a token and head, if it has that length.
    pub(super) fn forward<S: Number>(
        &self,
        qkv: [Matrix<S>; 3],
        width: usize,
        out: &mut [S],
        log_sums: &mut [f32],
    ) -> Result<()> {
        let table = self.table()?;
        let table = table.as_deref();
        let (sequences, d) = (self.sequences(), width / self.heads);
        let keep = if log_sums.is_empty() { 0 } else { self.heads };
        let cuts = cut(out, &sequences, width).into_iter().zip(cut(log_sums, &sequences, keep)).collect::<Vec<_>>();
        sequences.par_iter().zip(cuts).for_each(|(sequence, (out, log_sums))| {
            let _ready = matmul::ready(S::PRECISION);
            let heads = |(head, log_sums): (usize, &mut [f32])| {
                let _ready = matmul::ready(S::PRECISION);
                let mut context = Buffer::stale(sequence.len * d);
                let of = Head::new(qkv, sequence.first, head * d);
                self.scores(sequence, head, d, table).forward(of, &mut context, log_sums);
                context
            };
            let mut log_sums = log_sums.chunks_exact_mut(sequence.len);
            let work = (0..self.heads).map(|head| (head, log_sums.next().unwrap_or_default())).collect();
            let contexts = each_head(work, sequence.len, heads);
            for (head, context) in contexts.iter().enumerate() {
                scatter(context, d, &mut out[head * d..], width);
            }
        });
        Ok(())
    }

    /// Gradients of queries, keys and values side by side in `dqkv` `[tokens, 3 · width]`, from the result `y` `[tokens, width]`, its
    /// gradient `dy` and what the forward pass left in `log_sums`.
    pub(super) fn backward<S: Number>(
        &self,
        qkv: [Matrix<S>; 3],
        width: usize,
        (y, dy): (Matrix<S>, Matrix<S>),
        log_sums: &[f32],
        dqkv: &mut [S],
    ) -> Result<()> {
        let table = self.table()?;
        let table = table.as_deref();
        let (sequences, d) = (self.sequences(), width / self.heads);
        let cuts = cut(dqkv, &sequences, 3 * width);
        // Gradients of the relative positions by sequence, added in order below.
        let windows: Vec<Vec<f32>> = sequences
            .par_iter()
            .zip(cuts)
            .map(|(sequence, out)| {
                let heads = |head: usize| {
                    let _ready = matmul::ready(S::PRECISION);
                    let of = Head::new(qkv, sequence.first, head * d);
                    let own = [y, dy].map(|matrix| matrix.from(sequence.first, head * d));
                    let log_sums = &log_sums[sequence.first * self.heads + head * sequence.len..][..sequence.len];
                    self.scores(sequence, head, d, table).backward(of, own, log_sums)
                };
                let mut window = Vec::new();
                for (head, gradients) in
                    each_head((0..self.heads).collect(), sequence.len, heads).into_iter().enumerate()
                {
                    let HeadGradients { q, k, v, window: own } = gradients;
                    for (part, gradient) in [q, k, v].iter().enumerate() {
                        scatter(gradient, d, &mut out[part * width + head * d..], 3 * width);
                    }
                    window.resize(own.len(), 0.0);
                    window.iter_mut().zip(own).for_each(|(sum, value): (&mut f32, _)| *sum += value);
                }
                window
            })
            .collect();
        self.record_relative(&sequences, d, &windows);
        Ok(())
    }

    fn record_relative(&self, sequences: &[Sequence], d: usize, windows: &[Vec<f32>]) {
        let (Some(recorder), Some(relative)) = (&self.recorder, &self.relative) else { return };
        let Some(slot) = relative.table.slot else { return };
        recorder.record_sums(slot, |tokens, gradient| {
            for (sequence, window) in sequences.iter().zip(windows) {
                if !tokens.contains(&sequence.first) {
                    continue;
                }
                let first = relative::first_row(gradient.len() / d, sequence.len);
                gradient[first * d..].iter_mut().zip(window).for_each(|(sum, value)| *sum += value);
            }
        });
    }
}

/// One sequence of a batch: its tokens, and the number of its first attention probability.
pub(super) struct Sequence {
    pub first: usize,
    pub len: usize,
    pub probability: u64,
}

/// Cuts `[tokens, width]` at the sequences.
fn cut<'a, S>(mut rest: &'a mut [S], sequences: &[Sequence], width: usize) -> Vec<&'a mut [S]> {
    let mut next = |sequence: &Sequence| {
        let (now, later) = std::mem::take(&mut rest).split_at_mut(sequence.len * width);
        rest = later;
        now
    };
    sequences.iter().map(&mut next).collect()
}

/// Tokens from which the heads of one sequence are worth several threads.
const LONG: usize = 256;

fn each_head<T: Send, R: Send>(heads: Vec<T>, len: usize, f: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    match len {
        ..LONG => heads.into_iter().map(f).collect(),
        _ => heads.into_par_iter().map(f).collect(),
    }
}

/// Writes rows of `d` numbers `width` apart.
fn scatter<S: Number>(rows: &[f32], d: usize, out: &mut [S], width: usize) {
    simd(
        #[inline(always)]
        || {
            for (row, out) in rows.chunks_exact(d).zip(out.chunks_mut(width)) {
                S::round(row, &mut out[..d]);
            }
        },
    );
}

struct Op {
    width: usize,
    options: Attention,
    /// Left by the forward pass for the backward one.
    log_sums: Mutex<Vec<f32>>,
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
        let qkv = [slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?].map(|x| Matrix::new(x, self.width));
        let mut out = vec![0.0f32; l1.shape().elem_count()];
        let mut log_sums = vec![0.0; out.len() / self.width.max(1) * self.options.heads];
        self.options.forward(qkv, self.width, &mut out, &mut log_sums)?;
        *self.log_sums.lock().expect("kernels do not panic") = log_sums;
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (qs, ks, vs, y, dy) = (view(q)?, view(k)?, view(v)?, view(result)?, view(&gradient)?);
        let qkv = [&qs[..], &ks, &vs].map(|x| Matrix::new(x, self.width));
        let (tokens, width) = q.dims2()?;
        let mut all = vec![0.0f32; 3 * tokens * width];
        let log_sums = self.log_sums.lock().expect("kernels do not panic");
        self.options.backward(qkv, width, (Matrix::new(&y, width), Matrix::new(&dy, width)), &log_sums, &mut all)?;
        let all = tensor(all, (tokens, 3 * width))?;
        let part = |index: usize| all.narrow(1, index * width, width)?.contiguous();
        Ok((Some(part(0)?), Some(part(1)?), Some(part(2)?)))
    }
}
