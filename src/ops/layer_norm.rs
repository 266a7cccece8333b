//! Layer normalization over the last dimension (Ba et al. 2016).

use super::kernel::{for_rows, slice, sum_chunks, tensor, view};
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
    epsilon: f32,
    recorder: Option<Recorder>,
}

/// `(x - mean) / √(variance + ε) · weight + bias` of each row of `x` `[rows, width]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn layer_norm(
    x: &Tensor,
    weight: &Parameter,
    bias: &Parameter,
    epsilon: f64,
    recorder: Option<&Recorder>,
) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    if weight.value.dims() != [width] || bias.value.dims() != [width] {
        candle_core::bail!("layer_norm: input {:?} does not fit weight {:?}", x.shape(), weight.value.shape());
    }
    let op =
        LayerNorm { weight: weight.clone(), bias: bias.clone(), epsilon: epsilon as f32, recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
}

/// Sum in 16 lanes, so that it becomes vector code and keeps digits.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0f32; 16];
    for (i, value) in values.enumerate() {
        lanes[i % 16] += value;
    }
    lanes.iter().sum()
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum(row.iter().copied()) / n;
    let variance = sum(row.iter().map(|x| (x - mean) * (x - mean))) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let (weight, bias) = (view(&self.weight.value)?, view(&self.bias.value)?);
        let (weight, bias): (&[f32], &[f32]) = (&weight, &bias);
        let width = weight.len();
        let mut out = vec![0.0; x.len()];
        for_rows(
            &mut out,
            width,
            #[inline(always)]
            |first, out| {
                for (row, out) in x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    let (mean, scale) = moments(row, self.epsilon);
                    for (((out, x), w), b) in out.iter_mut().zip(row).zip(weight).zip(bias) {
                        *out = (x - mean) * scale * w + b;
                    }
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (dy, xs, weight) = (view(&gradient)?, view(x)?, view(&self.weight.value)?);
        let (dy, xs, weight): (&[f32], &[f32], &[f32]) = (&dy, &xs, &weight);
        let width = weight.len();
        let at = |row: usize| row * width..(row + 1) * width;
        if let Some(recorder) = &self.recorder {
            if let Some(slot) = self.weight.slot {
                recorder.record(slot, |rows, dw| {
                    sum_chunks(
                        rows.len(),
                        dw,
                        #[inline(always)]
                        |chunk, dw| {
                            for row in chunk {
                                let row = at(rows.start + row);
                                let (mean, scale) = moments(&xs[row.clone()], self.epsilon);
                                for ((dw, x), dy) in dw.iter_mut().zip(&xs[row.clone()]).zip(&dy[row]) {
                                    *dw += dy * (x - mean) * scale;
                                }
                            }
                        },
                    );
                });
            }
            if let Some(slot) = self.bias.slot {
                recorder.record(slot, |rows, db| {
                    super::kernel::add_column_sums(&dy[rows.start * width..rows.end * width], db);
                });
            }
        }
        if !x.track_op() {
            return Ok(None);
        }
        let mut dx = vec![0.0; xs.len()];
        for_rows(
            &mut dx,
            width,
            #[inline(always)]
            |first, dx| {
                for (offset, dx) in dx.chunks_exact_mut(width).enumerate() {
                    let (x, dy) = (&xs[at(first + offset)], &dy[at(first + offset)]);
                    let (mean, scale) = moments(x, self.epsilon);
                    let n = width as f32;
                    let mean_g = sum(dy.iter().zip(weight).map(|(dy, w)| dy * w)) / n;
                    let mean_gx = sum((0..width).map(|i| dy[i] * weight[i] * (x[i] - mean) * scale)) / n;
                    for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
                        *dx = scale * (dy * w - mean_g - (x - mean) * scale * mean_gx);
                    }
                }
            },
        );
        tensor(dx, x.shape()).map(Some)
    }
}
