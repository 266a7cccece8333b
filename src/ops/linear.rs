//! `y = x Wᵀ + b`.

use super::composed;
use super::kernel::{add_column_sums, slice, tensor, view};
use super::matmul::{Matrix, parallel_product, products_apart};
use super::number::{Number, Precision};
use crate::gradient::{Gradient, Parameter, Recorder, Slot};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::ops::Range;

struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    inputs: usize,
    outputs: usize,
    recorder: Option<Recorder>,
}

/// Applies a weight `[outputs, inputs]` and a bias `[outputs]` to `x` `[rows, inputs]`; result `[rows, outputs]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Parameter, bias: Option<&Parameter>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let (outputs, inputs) = weight.value.dims2()?;
    let (_, width) = x.dims2()?;
    if width != inputs || bias.is_some_and(|b| b.value.dims() != [outputs]) {
        candle_core::bail!("linear: input {:?} does not fit weight {:?}", x.shape(), weight.value.shape());
    }
    if composed::needed(x)? {
        return composed::linear(x, weight, bias, recorder);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::linear(x, weight, bias, recorder);
    }
    let op = Linear { weight: weight.clone(), bias: bias.cloned(), inputs, outputs, recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
}

/// Rows of which weight gradients are summed at a time: bounds the copy of the input that products need.
const DEPTH: usize = 1 << 13;

/// Records the gradient `dyᵀ · x` of a weight `[outputs, inputs]`, by gradient row, from `dy` `[_, outputs]` and `x` `[_, inputs]`,
/// on all threads.
pub(super) fn record_weight<S: Number>(recorder: &Recorder, slot: Slot, dy: (Matrix<S>, usize), x: (Matrix<S>, usize)) {
    let few = recorder.spans().iter().map(|(_, span)| span.len()).sum::<usize>() <= DEPTH;
    let together = few && recorder.record_together(slot, |spans, dw| products_apart((dy.1, x.1), spans, dy.0, x.0, dw));
    if !together {
        recorder.record(slot, |rows, dw, keep| add_weight_gradient(rows, dy, x, dw, keep));
    }
}

/// `dw[outputs, inputs] = dyᵀ · x`, or `+=` if `keep`, over some rows of `dy` and `x`.
fn add_weight_gradient<S: Number>(
    rows: Range<usize>,
    dy: (Matrix<S>, usize),
    x: (Matrix<S>, usize),
    dw: Gradient,
    keep: bool,
) {
    match dw {
        Gradient::F32(dw) => add_to(rows, dy, x, dw, keep),
        Gradient::Bf16(dw) => add_to(rows, dy, x, dw, keep),
    }
}

fn add_to<S: Number, O: Number>(
    rows: Range<usize>,
    (dy, outputs): (Matrix<S>, usize),
    (x, inputs): (Matrix<S>, usize),
    dw: &mut [O],
    keep: bool,
) {
    for first in rows.clone().step_by(DEPTH) {
        let depth = (rows.end - first).min(DEPTH);
        let (dy, x) = (dy.rows_from(first), x.rows_from(first));
        parallel_product((outputs, inputs, depth), dy.t(), x, S::PRECISION, dw, keep || first > rows.start);
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let rows = x.len() / self.inputs;
        let weight = view(&self.weight.value)?;
        let (mut out, keep) = match &self.bias {
            Some(bias) => (view(&bias.value)?.repeat(rows), true),
            None => (vec![0.0; rows * self.outputs], false),
        };
        let (x, w) = (Matrix::new(x, self.inputs), Matrix::new(&weight, self.inputs));
        parallel_product((rows, self.outputs, self.inputs), x, w.t(), Precision::F32, &mut out, keep);
        Ok((CpuStorage::F32(out), (rows, self.outputs).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (dy, xs) = (view(&gradient)?, view(x)?);
        let (dy_matrix, x_matrix) = (Matrix::new(&dy[..], self.outputs), Matrix::new(&xs[..], self.inputs));
        if let Some(recorder) = &self.recorder {
            if let Some(slot) = self.weight.slot {
                record_weight(recorder, slot, (dy_matrix, self.outputs), (x_matrix, self.inputs));
            }
            if let Some(slot) = self.bias.as_ref().and_then(|bias| bias.slot) {
                recorder.record_sums(slot, |rows, db| {
                    add_column_sums(&dy[rows.start * self.outputs..rows.end * self.outputs], db);
                });
            }
        }
        if !x.track_op() {
            return Ok(None);
        }
        let rows = xs.len() / self.inputs;
        let weight = view(&self.weight.value)?;
        let mut dx = vec![0.0; xs.len()];
        let w = Matrix::new(&weight[..], self.inputs);
        parallel_product((rows, self.inputs, self.outputs), dy_matrix, w, Precision::F32, &mut dx, false);
        tensor(dx, (rows, self.inputs)).map(Some)
    }
}
