//! The forward pass.

use super::numbers::LayerNumbers;
use super::{Kept, Layer};
use crate::ops::buffers::Buffer;
use crate::ops::kernel::simd;
use crate::ops::matmul::{self, Left, Matrix};
use crate::ops::number::Number;
use crate::ops::random::Dropout;
use candle_core::Result;
use rayon::prelude::*;

/// Adds a bias to every row.
#[inline(always)]
fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    }
}

/// `rows = residual + dropout(rows + bias)`; the rows' first number is number `first` of the mask.
#[inline(always)]
fn close(rows: &mut [f32], bias: &[f32], dropout: Option<Dropout>, first: usize, residual: &[f32]) {
    add_bias(rows, bias);
    mask(rows, dropout, first);
    for (x, residual) in rows.iter_mut().zip(residual) {
        *x += residual;
    }
}

/// Multiplies by a dropout mask.
#[inline(always)]
pub(super) fn mask(rows: &mut [f32], dropout: Option<Dropout>, first: usize) {
    if let Some(dropout) = dropout.filter(|dropout| dropout.p() > 0.0) {
        dropout.apply(
            first as u64,
            rows,
            #[inline(always)]
            |x, factor| *x *= factor,
        );
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
            first_sum: Buffer::stale(rows_kept * h),
            second_sum: Buffer::stale(rows_kept * h),
            inner: Buffer::stale(rows_kept * inner),
        };
        let numbers = LayerNumbers::new(&self.parameters)?;
        self.project(&numbers, x, &mut kept.qkv);
        let mut context = Buffer::stale(tokens * h);
        self.options.attention.forward(kept.parts(h), h, &mut context)?;
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
                    add_bias(&mut sums, &bias);
                    S::round(&sums, qkv);
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
                || {
                    close(&mut states, b_context, first_dropout, first, &x[first..]);
                    S::round(&states, first_sum);
                    numbers.attention_norm.forward(&mut states);
                },
            );

            let mut wide = Buffer::<f32>::stale(rows * inner);
            Left::new(Matrix::new(&states[..], h), rows, h, S::PRECISION).times(&w_inner, &mut wide, inner, false);
            let mut active = Buffer::<S>::stale(rows * inner);
            simd(
                #[inline(always)]
                || {
                    add_bias(&mut wide, b_inner);
                    S::round(&wide, kept_inner);
                    self.parameters.activation.forward(&wide, &mut active);
                },
            );

            Left::new(Matrix::new(&active[..], inner), rows, inner, S::PRECISION).times(&w_out, out, h, false);
            simd(
                #[inline(always)]
                || {
                    close(out, b_out, second_dropout, first, &states);
                    S::round(out, second_sum);
                    numbers.output_norm.forward(out);
                },
            );
        });
    }
}
