//! The backward pass.

use super::numbers::LayerNumbers;
use super::{Dense, Kept, Layer};
use crate::gradient::{Parameter, Recorder};
use crate::ops::buffers::Buffer;
use crate::ops::linear::record_weight;
use crate::ops::matmul::{self, Left, Matrix};
use crate::ops::number::{Number, widen};
use crate::ops::random::Dropout;
use crate::simd::simd;
use candle_core::Result;
use rayon::prelude::*;

/// What the weight gradients need, `[tokens, …]`: inputs of the products and gradients of their results.
struct Transient<S: Number> {
    /// Input of the feed-forward part: the first norm's result.
    normed: Buffer<S>,
    /// Result of the activation.
    active: Buffer<S>,
    d_output: Buffer<S>,
    d_inner: Buffer<S>,
    d_attention_output: Buffer<S>,
    d_context: Buffer<S>,
    d_qkv: Buffer<S>,
}

/// Adds numbers, of whichever type, to as many sums.
#[inline(always)]
fn add<S: Number>(sums: &mut [f32], numbers: &[S]) {
    for (sum, x) in sums.iter_mut().zip(numbers) {
        *sum += x.to_f32();
    }
}

/// `masked = mask · row`; number `first` of the mask is the first.
#[inline(always)]
fn mask(row: &[f32], dropout: Option<Dropout>, first: usize, masked: &mut [f32]) {
    match dropout.filter(|dropout| dropout.p() > 0.0) {
        Some(dropout) => dropout.mask(first as u64, row, masked),
        None => masked.copy_from_slice(row),
    }
}

/// Cuts `all` into pieces of these lengths.
fn pieces<const N: usize>(mut all: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|len| {
        let (now, rest) = std::mem::take(&mut all).split_at_mut(len);
        all = rest;
        now
    })
}

impl<S: Number> Layer<S> {
    /// Replaces the gradient of the layer's result by that of its input. Records the parameters' gradients.
    pub(super) fn backward(&self, dx: &mut [f32], kept: &Kept<S>) -> Result<()> {
        let (h, inner) = (self.hidden, self.inner);
        let tokens = dx.len() / h;
        let mut t = Transient::<S> {
            normed: Buffer::stale(tokens * h),
            active: Buffer::stale(tokens * inner),
            d_output: Buffer::stale(tokens * h),
            d_inner: Buffer::stale(tokens * inner),
            d_attention_output: Buffer::stale(tokens * h),
            d_context: Buffer::stale(tokens * h),
            d_qkv: Buffer::stale(tokens * 3 * h),
        };
        let numbers = LayerNumbers::new(&self.parameters)?;
        self.feed_forward_backward(&numbers, kept, &mut t, dx);
        let context = (Matrix::new(&kept.context[..], h), Matrix::new(&t.d_context[..], h));
        self.options.attention.backward(kept.parts(h), h, context, &kept.log_sums, &mut t.d_qkv)?;
        self.project_backward(&numbers, &t.d_qkv, dx);
        if let Some(recorder) = self.recorder() {
            self.record_weights(recorder, kept, &t);
        }
        Ok(())
    }

    /// From the gradient of the layer's result, in `dx`, to those of the attention's result, and of `x` by way of the
    /// residual, in `dx`.
    fn feed_forward_backward(&self, numbers: &LayerNumbers, kept: &Kept<S>, t: &mut Transient<S>, dx: &mut [f32]) {
        let (h, inner) = (self.hidden, self.inner);
        let [w_context, w_inner, w_out] = [&numbers.attention_output, &numbers.intermediate, &numbers.output]
            .map(|dense| dense.backward(S::PRECISION));
        let [first_dropout, second_dropout] = self.options.dropout;
        let lengths = [inner, h, h, h, h, h, h];
        let blocks = self.blocks(dx.len() / h);
        let cuts = (blocks.cut(&mut t.normed, h).into_iter())
            .zip(blocks.cut(&mut t.active, inner))
            .zip(blocks.cut(&mut t.d_output, h))
            .zip(blocks.cut(&mut t.d_inner, inner))
            .zip(blocks.cut(&mut t.d_attention_output, h))
            .zip(blocks.cut(&mut t.d_context, h));
        let work: Vec<_> = blocks.iter().zip(blocks.cut(dx, h)).zip(cuts).collect();
        let backward = |((block, d), cuts): ((&crate::ops::blocks::Block, &mut [f32]), _)| {
            let (((((normed, active), d_output), d_inner), d_attention_output), d_context): Cuts<S> = cuts;
            let _ready = matmul::ready(S::PRECISION);
            let (first, rows) = (block.rows.start * h, block.rows.len());
            let mut sums = vec![0.0; lengths.iter().sum()];
            let [sum_inner, sum_out, sum_w2, sum_b2, sum_context, sum_w1, sum_b1] = pieces(&mut sums, lengths);
            // Row by row, so that a row stays in the nearest cache.
            let mut x = Buffer::<f32>::stale(h);
            simd(
                #[inline(always)]
                || {
                    for (index, d) in d.chunks_exact_mut(h).enumerate() {
                        let own = first + index * h;
                        widen(&kept.second_sum[own..][..h], &mut x);
                        numbers.output_norm.backward(&x, d, [&mut *sum_w2, &mut *sum_b2]);
                        // The residual's gradient stays in `d`; the masked one goes on.
                        mask(d, second_dropout, own, &mut x);
                        add(sum_out, &x);
                        S::round(&x, &mut d_output[index * h..][..h]);
                    }
                },
            );

            let mut wide = Buffer::<f32>::stale(rows * inner);
            Left::new(Matrix::new(&*d_output, h), rows, h, S::PRECISION).times(&w_out, &mut wide, inner, false);
            simd(
                #[inline(always)]
                || {
                    for (index, row) in wide.chunks_exact_mut(inner).enumerate() {
                        let before = &kept.inner[(block.rows.start + index) * inner..][..inner];
                        self.parameters.activation.backward(before, row, &mut active[index * inner..][..inner]);
                        add(sum_inner, row);
                        S::round(row, &mut d_inner[index * inner..][..inner]);
                    }
                },
            );

            Left::new(Matrix::new(&*d_inner, inner), rows, inner, S::PRECISION).times(&w_inner, d, h, true);
            let mut sum = Buffer::<f32>::stale(h);
            simd(
                #[inline(always)]
                || {
                    for (index, d) in d.chunks_exact_mut(h).enumerate() {
                        let (own, here) = (first + index * h, index * h..(index + 1) * h);
                        widen(&kept.first_sum[own..][..h], &mut sum);
                        x.copy_from_slice(&sum);
                        numbers.attention_norm.forward(&mut x);
                        S::round(&x, &mut normed[here.clone()]);
                        numbers.attention_norm.backward(&sum, d, [&mut *sum_w1, &mut *sum_b1]);
                        mask(d, first_dropout, own, &mut x);
                        add(sum_context, &x);
                        S::round(&x, &mut d_attention_output[here]);
                    }
                },
            );

            let mut context = Buffer::<f32>::stale(rows * h);
            let left = Left::new(Matrix::new(&*d_attention_output, h), rows, h, S::PRECISION);
            left.times(&w_context, &mut context, h, false);
            simd(
                #[inline(always)]
                || S::round(&context, d_context),
            );
            sums
        };
        let sums: Vec<Vec<f32>> = work.into_par_iter().map(backward).collect();
        let layer = &self.parameters;
        let parameters = [
            &layer.intermediate.bias,
            &layer.output.bias,
            &layer.output_norm.weight,
            &layer.output_norm.bias,
            &layer.attention_output.bias,
            &layer.attention_norm.weight,
            &layer.attention_norm.bias,
        ];
        self.record_sums(sums, &parameters);
    }

    /// Adds to `dx` what comes through queries, keys and values.
    fn project_backward(&self, numbers: &LayerNumbers, d_qkv: &[S], dx: &mut [f32]) {
        let h = self.hidden;
        let weights = numbers.qkv.each_ref().map(|dense| dense.backward(S::PRECISION));
        let blocks = self.blocks(dx.len() / h);
        let work: Vec<_> = blocks.iter().zip(blocks.cut(dx, h)).collect();
        let backward = |(block, dx): (&crate::ops::blocks::Block, &mut [f32])| {
            let _ready = matmul::ready(S::PRECISION);
            let rows = block.rows.len();
            let gradient = &d_qkv[block.rows.start * 3 * h..][..rows * 3 * h];
            for (part, weight) in weights.iter().enumerate() {
                let matrix = Matrix { data: &gradient[part * h..], row: 3 * h, column: 1 };
                Left::new(matrix, rows, h, S::PRECISION).times(weight, dx, h, true);
            }
            let mut sums = vec![0.0; 3 * h];
            simd(
                #[inline(always)]
                || {
                    for row in gradient.chunks_exact(3 * h) {
                        add(&mut sums, row);
                    }
                },
            );
            sums
        };
        let sums: Vec<Vec<f32>> = work.into_par_iter().map(backward).collect();
        self.record_sums(sums, &self.parameters.qkv.each_ref().map(|dense| &dense.bias));
    }

    /// Adds the sums of each block, one piece a parameter, to the parameters' gradients, blocks in order.
    fn record_sums(&self, sums: Vec<Vec<f32>>, parameters: &[&Parameter]) {
        let Some(recorder) = self.recorder() else { return };
        let blocks = self.blocks(self.options.attention.starts.last().map_or(0, |&end| end as usize));
        for (block, sums) in blocks.iter().zip(&sums) {
            let mut rest = &sums[..];
            for parameter in parameters {
                let (now, later) = rest.split_at(parameter.value.elem_count());
                recorder.add(parameter.slot, block.gradient_row, now);
                rest = later;
            }
        }
    }

    /// The gradients of all weights that are matrices.
    fn record_weights(&self, recorder: &Recorder, kept: &Kept<S>, t: &Transient<S>) {
        let (h, inner, layer) = (self.hidden, self.inner, &self.parameters);
        let record = |dense: &Dense, dy: (Matrix<S>, usize), x: (&[S], usize)| {
            if let Some(slot) = dense.weight.slot {
                record_weight(recorder, slot, dy, (Matrix::new(x.0, x.1), x.1));
            }
        };
        record(&layer.output, (Matrix::new(&t.d_output, h), h), (&t.active, inner));
        record(&layer.intermediate, (Matrix::new(&t.d_inner, inner), inner), (&t.normed, h));
        record(&layer.attention_output, (Matrix::new(&t.d_attention_output, h), h), (&kept.context, h));
        for (part, dense) in layer.qkv.iter().enumerate() {
            let dy = Matrix { data: t.d_qkv.get(part * h..).unwrap_or(&[]), row: 3 * h, column: 1 };
            record(dense, (dy, h), (&kept.input, h));
        }
    }
}

/// One block's pieces of the transient arrays, in their order.
type Cuts<'a, S> = (((((&'a mut [S], &'a mut [S]), &'a mut [S]), &'a mut [S]), &'a mut [S]), &'a mut [S]);
