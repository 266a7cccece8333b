//! Norms on the device.

use super::launch::{Word, alloc, device_of, launch, slice, stored, tensor, view, warps};
use super::weights::Chunks;
use crate::gradient::{Parameter, Recorder};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

struct Norm {
    weight: Parameter,
    /// Absent in a root mean square norm.
    bias: Option<Parameter>,
    epsilon: f32,
    recorder: Option<Recorder>,
}

/// As [`layer_norm`](super::super::layer_norm), which has checked the shapes.
pub fn layer_norm(
    x: &Tensor,
    weight: &Parameter,
    bias: &Parameter,
    epsilon: f64,
    recorder: Option<&Recorder>,
) -> Result<Tensor> {
    norm(x, weight, Some(bias), epsilon, recorder)
}

/// As [`rms_norm`](super::super::rms_norm), which has checked the shapes.
pub fn rms_norm(x: &Tensor, weight: &Parameter, epsilon: f64, recorder: Option<&Recorder>) -> Result<Tensor> {
    norm(x, weight, None, epsilon, recorder)
}

fn norm(
    x: &Tensor,
    weight: &Parameter,
    bias: Option<&Parameter>,
    epsilon: f64,
    recorder: Option<&Recorder>,
) -> Result<Tensor> {
    let (weight, bias) = (weight.clone(), bias.cloned());
    x.contiguous()?.apply_op1(Norm { weight, bias, epsilon: epsilon as f32, recorder: recorder.cloned() })
}

impl CustomOp1 for Norm {
    fn name(&self) -> &'static str {
        if self.bias.is_some() { "layer-norm" } else { "rms-norm" }
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = super::launch::device(storage);
        let (rows, width) = layout.shape().dims2()?;
        let y = alloc::<f32>(&device, rows * width)?;
        if rows * width > 0 {
            let (x, weight) = (slice(storage, layout)?, view(&self.weight.value)?);
            let bias = self.bias.as_ref().map(|bias| view(&bias.value)).transpose()?;
            launch!(&device, "norm", "norm_forward", warps(rows), x, weight, bias, y, rows, width, self.epsilon);
        }
        Ok(stored(y, &device, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient) = (device_of(x)?, gradient.contiguous()?);
        let (rows, width) = x.dims2()?;
        let (dx, stats) = (alloc::<f32>(&device, rows * width)?, alloc::<f32>(&device, 2 * rows)?);
        if rows * width > 0 {
            let (xs, dy, weight) = (view(x)?, view(&gradient)?, view(&self.weight.value)?);
            let (none, centred) = (0u64, i32::from(self.bias.is_some()));
            launch!(
                &device,
                "norm",
                "norm_backward_f32",
                warps(rows),
                xs,
                dy,
                weight,
                none,
                dx,
                stats,
                none,
                none,
                1.0f32,
                none,
                rows,
                width,
                self.epsilon,
                centred,
            );
            if let Some(recorder) = &self.recorder {
                let parameters = (&self.weight, self.bias.as_ref());
                let numbers = [xs.word(), stats.word(), dy.word()];
                Chunks::new(&device, recorder)?.record_norm::<f32>(&device, recorder, parameters, numbers)?;
            }
        }
        Ok(x.track_op().then(|| tensor(dx, &device, x.shape())))
    }
}
