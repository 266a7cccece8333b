//! The forward pass.

use super::numbers::{LayerNumbers, NormNumbers};
use super::{Kept, Layer};
use crate::ops::buffers::Buffer;
use crate::ops::matmul::{self, Left, Matrix};
use crate::ops::number::Number;
use crate::ops::random::Dropout;
use crate::simd::simd;
use candle_core::Result;
use rayon::prelude::*;

/// Adds numbers to as many others.
#[inline(always)]
fn add(sums: &mut [f32], numbers: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(numbers) {
        *sum += x;
    }
}

/// What closes a half of the layer.
struct Close<'a> {
    bias: &'a [f32],
    dropout: Option<Dropout>,
    norm: &'a NormNumbers<'a>,
}

impl Close<'_> {
    /// `rows = norm(residual + dropout(rows + bias))`, a row at a time; `sums`, if it is not empty, gets the input of the norm. The
    /// rows' first number is number `first` of the mask.
    #[inline(always)]
    fn apply<S: Number>(&self, rows: &mut [f32], first: usize, residual: &[f32], sums: &mut [S]) {
        let width = self.bias.len();
        for (index, row) in rows.chunks_exact_mut(width).enumerate() {
            let own = index * width..(index + 1) * width;
            add(row, self.bias);
            mask(row, self.dropout, first + own.start);
            add(row, &residual[own.clone()]);
            if let Some(sums) = sums.get_mut(own) {
                S::round(row, sums);
            }
            self.norm.forward(row);
        }
    }
}

/// Multiplies by a dropout mask.
#[inline(always)]
fn mask(row: &mut [f32], dropout: Option<Dropout>, first: usize) {
    if let Some(dropout) = dropout.filter(|dropout| dropout.p() > 0.0) {
        dropout.apply(first as u64, row);
    }
}

impl<S: Number> Layer<S> {
    /// Writes the layer's result for `x` to `out`. The input is not kept here; without `keep` nothing is that only a backward
    /// pass needs.
    pub(super) fn forward(&self, x: &[f32], out: &mut [f32], keep: bool) -> Result<Kept<S>> {
        let (h, inner) = (self.hidden, self.inner);
        let tokens = x.len() / h;
        let rows_kept = if keep { tokens } else { 0 };
        let mut kept = Kept {
            input: Buffer::stale(0),
            qkv: Buffer::stale(tokens * 3 * h),
            context: Buffer::stale(0),
            log_sums: Buffer::stale(rows_kept * self.options.attention.heads),
            first_sum: Buffer::stale(rows_kept * h),
            second_sum: Buffer::stale(rows_kept * h),
            inner: Buffer::stale(rows_kept * inner),
        };
        let numbers = LayerNumbers::new(&self.parameters)?;
        self.project(&numbers, x, &mut kept.qkv);
        let mut context = Buffer::stale(tokens * h);
        let mut log_sums = std::mem::replace(&mut kept.log_sums, Buffer::stale(0));
        self.options.attention.forward(kept.parts(h), h, &mut context, &mut log_sums)?;
        kept.log_sums = log_sums;
        kept.context = context;
        self.feed_forward(&numbers, x, &mut kept, out, keep);
        Ok(kept)
    }

    /// Queries, keys and values.
    fn project(&self, numbers: &LayerNumbers, x: &[f32], qkv: &mut [S]) {
        let h = self.hidden;
        let ready = |index| self.options.operands.as_ref()?.get(index, S::PRECISION);
        let [q, k, v] = &numbers.qkv;
        let weights = [(0, q), (1, k), (2, v)].map(|(index, dense)| dense.forward(ready(index), S::PRECISION));
        let bias: Vec<f32> = numbers.qkv.iter().flat_map(|dense| dense.bias.iter().copied()).collect();
        let blocks = self.blocks(x.len() / h);
        let cuts = blocks.cut(qkv, 3 * h);
        blocks.par_iter().zip(cuts).for_each(|(block, qkv)| {
            let _ready = matmul::ready(S::PRECISION);
            let rows = block.rows.len();
            let left = Left::new(Matrix::new(&x[block.rows.start * h..], h), rows, h, S::PRECISION);
            let mut sums = Buffer::<f32>::stale(rows * 3 * h);
            for (part, weight) in weights.iter().enumerate() {
                left.times(weight, &mut sums[part * h..], 3 * h, false);
            }
            simd(
                #[inline(always)]
                || {
                    for (sums, qkv) in sums.chunks_exact_mut(3 * h).zip(qkv.chunks_exact_mut(3 * h)) {
                        add(sums, &bias);
                        S::round(sums, qkv);
                    }
                },
            );
        });
    }

    /// From the attention's result to the layer's.
    fn feed_forward(&self, numbers: &LayerNumbers, x: &[f32], kept: &mut Kept<S>, out: &mut [f32], keep: bool) {
        let (h, inner) = (self.hidden, self.inner);
        let ready = |index| self.options.operands.as_ref()?.get(index, S::PRECISION);
        let [w_context, w_inner, w_out] =
            [(3, &numbers.attention_output), (4, &numbers.intermediate), (5, &numbers.output)]
                .map(|(index, dense)| dense.forward(ready(index), S::PRECISION));
        let [b_context, b_inner, b_out]: [&[f32]; 3] =
            [&numbers.attention_output.bias, &numbers.intermediate.bias, &numbers.output.bias];
        let [first_dropout, second_dropout] = self.options.dropout;
        let close_attention = Close { bias: b_context, dropout: first_dropout, norm: &numbers.attention_norm };
        let close_output = Close { bias: b_out, dropout: second_dropout, norm: &numbers.output_norm };
        let blocks = self.blocks(x.len() / h);
        let width = |width: usize| if keep { width } else { 0 };
        let cuts = blocks.cut(out, h).into_iter();
        let kept_cuts = (blocks.cut(&mut kept.first_sum, width(h)).into_iter())
            .zip(blocks.cut(&mut kept.second_sum, width(h)))
            .zip(blocks.cut(&mut kept.inner, width(inner)));
        let work: Vec<_> = blocks.iter().zip(cuts).zip(kept_cuts).collect();
        let context: &[S] = &kept.context;
        work.into_par_iter().for_each(|((block, out), ((first_sum, second_sum), kept_inner))| {
            let _ready = matmul::ready(S::PRECISION);
            let (first, rows) = (block.rows.start * h, block.rows.len());
            let mut states = Buffer::<f32>::stale(rows * h);
            let left = Left::new(Matrix::new(&context[first..], h), rows, h, S::PRECISION);
            left.times(&w_context, &mut states, h, false);
            simd(
                #[inline(always)]
                || close_attention.apply(&mut states, first, &x[first..], first_sum),
            );

            let mut wide = Buffer::<f32>::stale(rows * inner);
            Left::new(Matrix::new(&states[..], h), rows, h, S::PRECISION).times(&w_inner, &mut wide, inner, false);
            let mut active = Buffer::<S>::stale(rows * inner);
            simd(
                #[inline(always)]
                || {
                    let rows = wide.chunks_exact_mut(inner).zip(active.chunks_exact_mut(inner));
                    for (index, (row, active)) in rows.enumerate() {
                        add(row, b_inner);
                        if let Some(kept) = kept_inner.get_mut(index * inner..(index + 1) * inner) {
                            S::round(row, kept);
                        }
                        self.parameters.activation.forward(row, active);
                    }
                },
            );

            Left::new(Matrix::new(&active[..], inner), rows, inner, S::PRECISION).times(&w_out, out, h, false);
            simd(
                #[inline(always)]
                || close_output.apply(out, first, &states, second_sum),
            );
        });
    }
}
