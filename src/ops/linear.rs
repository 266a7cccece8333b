//! `y = x Wᵀ + b`.

use super::kernel::{Matrix, add_column_sums, matmul, slice, tensor, view};
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

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
    let op = Linear { weight: weight.clone(), bias: bias.cloned(), inputs, outputs, recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
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
            Some(bias) => (view(&bias.value)?.repeat(rows), 1.0),
            None => (vec![0.0; rows * self.outputs], 0.0),
        };
        let (x, w) = (Matrix::new(x, self.inputs), Matrix::new(&weight, self.inputs));
        matmul((rows, self.outputs, self.inputs), &mut out, self.outputs, keep, 1.0, x, w.t(), true);
        Ok((CpuStorage::F32(out), (rows, self.outputs).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (dy, xs) = (view(&gradient)?, view(x)?);
        if let Some(recorder) = &self.recorder {
            if let Some(slot) = self.weight.slot {
                recorder.record(slot, |rows, dw| {
                    let dy = Matrix::new(&dy[rows.start * self.outputs..], self.outputs);
                    let xs = Matrix::new(&xs[rows.start * self.inputs..], self.inputs);
                    let shape = (self.outputs, self.inputs, rows.len());
                    matmul(shape, dw, self.inputs, 1.0, 1.0, dy.t(), xs, true);
                });
            }
            if let Some(slot) = self.bias.as_ref().and_then(|bias| bias.slot) {
                recorder.record(slot, |rows, db| {
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
        let (dy, w) = (Matrix::new(&dy, self.outputs), Matrix::new(&weight, self.inputs));
        matmul((rows, self.inputs, self.outputs), &mut dx, self.inputs, 0.0, 1.0, dy, w, true);
        tensor(dx, (rows, self.inputs)).map(Some)
    }
}
