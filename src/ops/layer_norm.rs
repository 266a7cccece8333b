//! Layer normalization over the last dimension (Ba et al. 2016).

use super::blocks::Blocks;
use super::composed;
use super::kernel::{for_rows, rows_per_chunk, slice, tensor, view};
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
    if composed::needed(x)? {
        return composed::layer_norm(x, weight, bias, epsilon, recorder);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::layer_norm(x, weight, bias, epsilon, recorder);
    }
    let op =
        LayerNorm { weight: weight.clone(), bias: bias.clone(), epsilon: epsilon as f32, recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
}

/// Mean and reciprocal standard deviation of a row. Sums in 16 lanes, so that they become vector code and keep digits.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let (blocks, rest) = row.as_chunks::<16>();
    let mut lanes = [0.0f32; 16];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += x;
        }
    }
    let mean = (lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()) / n;
    let mut lanes = [0.0f32; 16];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += (x - mean) * (x - mean);
        }
    }
    let rest: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
    let variance = (lanes.iter().sum::<f32>() + rest) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Normalizes one row in place.
#[inline(always)]
pub(super) fn normalize(row: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let (mean, scale) = moments(row, epsilon);
    for ((x, w), b) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * w + b;
    }
}

/// Adds the gradients of weight and bias of one row to `dw` and `db`, and replaces `dy` by the gradient of the row `x`.
#[inline(always)]
pub(super) fn backward(x: &[f32], dy: &mut [f32], weight: &[f32], epsilon: f32, dw: &mut [f32], db: &mut [f32]) {
    let (mean, scale) = moments(x, epsilon);
    let n = x.len() as f32;
    let [mut g_lanes, mut gx_lanes] = [[0.0f32; 16]; 2];
    let ((dys, dy_rest), (ws, w_rest), (xs, x_rest)) =
        (dy.as_chunks::<16>(), weight.as_chunks::<16>(), x.as_chunks::<16>());
    for ((dy, w), x) in dys.iter().zip(ws).zip(xs) {
        for i in 0..16 {
            let g = dy[i] * w[i];
            g_lanes[i] += g;
            gx_lanes[i] += g * ((x[i] - mean) * scale);
        }
    }
    for ((dy, w), x) in dy_rest.iter().zip(w_rest).zip(x_rest) {
        g_lanes[0] += dy * w;
        gx_lanes[0] += dy * w * ((x - mean) * scale);
    }
    let (mean_g, mean_gx) = (g_lanes.iter().sum::<f32>() / n, gx_lanes.iter().sum::<f32>() / n);
    for ((((dy, x), w), dw), db) in dy.iter_mut().zip(x).zip(weight).zip(dw).zip(db) {
        let normal = (x - mean) * scale;
        *dw += *dy * normal;
        *db += *dy;
        *dy = scale * (*dy * w - mean_g - normal * mean_gx);
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = slice(storage, layout)?.to_vec();
        let (weight, bias) = (view(&self.weight.value)?, view(&self.bias.value)?);
        let (weight, bias): (&[f32], &[f32]) = (&weight, &bias);
        for_rows(
            &mut out,
            weight.len(),
            #[inline(always)]
            |_, out| {
                for row in out.chunks_exact_mut(weight.len()) {
                    normalize(row, weight, bias, self.epsilon);
                }
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (xs, weight) = (view(x)?, view(&self.weight.value)?);
        let (xs, weight): (&[f32], &[f32]) = (&xs, &weight);
        let width = weight.len();
        let mut dx = view(&gradient.contiguous()?)?.to_vec();
        let spans = self.recorder.as_ref().map_or(Vec::new(), Recorder::spans);
        // Gradients of weight and bias side by side.
        let blocks = Blocks::new(&spans, xs.len() / width, rows_per_chunk(width));
        let sums = blocks.sum_over(
            &mut dx,
            width,
            2 * width,
            #[inline(always)]
            |first, dx, sums| {
                let (dw, db) = sums.split_at_mut(width);
                for (dx, x) in dx.chunks_exact_mut(width).zip(xs[first * width..].chunks_exact(width)) {
                    backward(x, dx, weight, self.epsilon, dw, db);
                }
            },
        );
        if let Some(recorder) = &self.recorder {
            for (block, sums) in blocks.iter().zip(&sums) {
                recorder.add(self.weight.slot, block.gradient_row, &sums[..width]);
                recorder.add(self.bias.slot, block.gradient_row, &sums[width..]);
            }
        }
        match x.track_op() {
            true => tensor(dx, x.shape()).map(Some),
            false => Ok(None),
        }
    }
}
