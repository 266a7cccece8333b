//! Root mean square normalization over the last dimension (Zhang & Sennrich 2019).

use super::blocks::Blocks;
use super::composed;
use super::kernel::{for_rows, rows_per_chunk, slice, tensor, view};
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

struct RmsNorm {
    weight: Parameter,
    epsilon: f32,
    recorder: Option<Recorder>,
}

/// `x / √(mean(x²) + ε) · weight` of each row of `x` `[rows, width]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn rms_norm(x: &Tensor, weight: &Parameter, epsilon: f64, recorder: Option<&Recorder>) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    if weight.value.dims() != [width] {
        candle_core::bail!("rms_norm: input {:?} does not fit weight {:?}", x.shape(), weight.value.shape());
    }
    if composed::needed(x)? {
        return composed::rms_norm(x, weight, epsilon, recorder);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::rms_norm(x, weight, epsilon, recorder);
    }
    let op = RmsNorm { weight: weight.clone(), epsilon: epsilon as f32, recorder: recorder.cloned() };
    x.contiguous()?.apply_op1(op)
}

/// Inner product in 16 lanes, so that it becomes vector code and keeps digits.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0f32; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

impl RmsNorm {
    /// Factor of a row before the weight.
    #[inline(always)]
    fn scale(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.epsilon).sqrt()
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = slice(storage, layout)?.to_vec();
        let weight = view(&self.weight.value)?;
        let weight: &[f32] = &weight;
        for_rows(
            &mut out,
            weight.len(),
            #[inline(always)]
            |_, out| {
                for row in out.chunks_exact_mut(weight.len()) {
                    let scale = self.scale(row);
                    for (x, w) in row.iter_mut().zip(weight) {
                        *x *= scale * w;
                    }
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
        let blocks = Blocks::new(&spans, xs.len() / width, rows_per_chunk(width));
        let sums = blocks.sum_over(
            &mut dx,
            width,
            width,
            #[inline(always)]
            |first, dx, dw| {
                for (dy, x) in dx.chunks_exact_mut(width).zip(xs[first * width..].chunks_exact(width)) {
                    let scale = self.scale(x);
                    for (((dw, dy), x), w) in dw.iter_mut().zip(dy.iter_mut()).zip(x).zip(weight) {
                        *dw += *dy * x * scale;
                        *dy *= w;
                    }
                    let mean = dot(dy, x) / width as f32;
                    for (dy, x) in dy.iter_mut().zip(x) {
                        *dy = scale * (*dy - x * scale * scale * mean);
                    }
                }
            },
        );
        if let Some(recorder) = &self.recorder {
            for (block, dw) in blocks.iter().zip(&sums) {
                recorder.add(self.weight.slot, block.gradient_row, dw);
            }
        }
        match x.track_op() {
            true => tensor(dx, x.shape()).map(Some),
            false => Ok(None),
        }
    }
}
