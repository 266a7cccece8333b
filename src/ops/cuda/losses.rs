//! Losses on the device.

use super::launch::{alloc, device, device_of, launch, over, slice, stored, tensor, upload, view, warps};
use crate::ops::CrossEntropy;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

struct CrossEntropyOp {
    options: CrossEntropy,
}

/// As [`cross_entropy`](super::super::cross_entropy), which has checked the targets.
pub fn cross_entropy(logits: &Tensor, options: CrossEntropy) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(CrossEntropyOp { options })
}

impl CrossEntropyOp {
    /// 1 / the weight of all rows that count; 0 if none does.
    fn factor(&self) -> f64 {
        let sum = self.options.denominator();
        if sum > 0.0 { 1.0 / sum } else { 0.0 }
    }

    fn weights(&self, device: &CudaDevice) -> Result<Option<CudaSlice<f32>>> {
        self.options.class_weights.as_ref().map(|weights| upload(device, weights)).transpose()
    }
}

impl CustomOp1 for CrossEntropyOp {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = device(storage);
        let (rows, classes) = layout.shape().dims2()?;
        let loss = device.alloc_zeros::<f32>(1)?;
        let factor = self.factor();
        if rows * classes > 0 && factor > 0.0 {
            let (logits, smoothing) = (slice(storage, layout)?, f64::from(self.options.label_smoothing));
            let (targets, weights) = (upload(&device, &self.options.targets)?, self.weights(&device)?);
            let losses = alloc::<f64>(&device, rows)?;
            launch!(
                &device,
                "losses",
                "cross_entropy_rows",
                warps(rows),
                logits,
                targets,
                weights,
                losses,
                rows,
                classes,
                smoothing,
            );
            launch!(&device, "losses", "scaled_sum", crate::cuda::grid(1, 1, 256), losses, rows, factor, loss);
        }
        Ok(stored(loss, &device, ()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let device = device_of(logits)?;
        let (rows, classes) = logits.dims2()?;
        let dlogits = alloc::<f32>(&device, rows * classes)?;
        if rows * classes > 0 {
            let gradient = gradient.contiguous()?;
            let (xs, dloss) = (view(logits)?, view(&gradient)?);
            let (targets, weights) = (upload(&device, &self.options.targets)?, self.weights(&device)?);
            let (smoothing, factor) = (f64::from(self.options.label_smoothing), self.factor());
            let total: f64 = (0..classes).map(|class| self.options.weight(class)).sum();
            launch!(
                &device,
                "losses",
                "cross_entropy_backward",
                warps(rows),
                xs,
                targets,
                weights,
                dloss,
                dlogits,
                rows,
                classes,
                smoothing,
                factor,
                total,
            );
        }
        Ok(Some(tensor(dlogits, &device, logits.shape())))
    }
}

/// Mean of `weight · loss(x, target)`.
struct Pointwise {
    targets: Vec<f32>,
    /// Repeated over the numbers.
    weights: Vec<f32>,
    /// As in losses.cu.
    loss: i32,
}

/// As [`mse`](super::super::mse), which has checked the count.
pub fn mse(values: &Tensor, targets: Vec<f32>) -> Result<Tensor> {
    values.contiguous()?.apply_op1(Pointwise { targets, weights: vec![1.0], loss: 0 })
}

/// As [`bce_with_logits`](super::super::bce_with_logits), which has checked the counts.
pub fn bce_with_logits(logits: &Tensor, targets: Vec<f32>, weights: Vec<f32>) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(Pointwise { targets, weights, loss: 1 })
}

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise-loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, count) = (device(storage), layout.shape().elem_count());
        let loss = device.alloc_zeros::<f32>(1)?;
        if count > 0 {
            let (x, targets, weights) =
                (slice(storage, layout)?, upload(&device, &self.targets)?, upload(&device, &self.weights)?);
            let (labels, factor, which) = (self.weights.len(), 1.0 / count as f64, self.loss);
            let block = crate::cuda::grid(1, 1, 256);
            launch!(
                &device,
                "losses",
                "pointwise_forward",
                block,
                x,
                targets,
                weights,
                labels,
                count,
                factor,
                which,
                loss,
            );
        }
        Ok(stored(loss, &device, ()))
    }

    fn bwd(&self, values: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, count) = (device_of(values)?, values.elem_count());
        let dx = alloc::<f32>(&device, count)?;
        if count > 0 {
            let gradient = gradient.contiguous()?;
            let (xs, dloss) = (view(values)?, view(&gradient)?);
            let (targets, weights) = (upload(&device, &self.targets)?, upload(&device, &self.weights)?);
            let (labels, factor, which) = (self.weights.len(), 1.0 / count as f64, self.loss);
            launch!(
                &device,
                "losses",
                "pointwise_backward",
                over(count),
                xs,
                targets,
                weights,
                labels,
                count,
                factor,
                which,
                dloss,
                dx,
            );
        }
        Ok(Some(tensor(dx, &device, values.shape())))
    }
}
