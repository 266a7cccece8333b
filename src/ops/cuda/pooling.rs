//! Pooling on the device.

use super::launch::{alloc, device, device_of, launch, slice, stored, tensor, upload, view};
use crate::ops::PoolKind;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

struct Pool {
    starts: Vec<u32>,
    /// As in pooling.cu.
    kind: i32,
}

/// As [`pool`](super::super::pool), which has checked the sequences.
pub fn pool(x: &Tensor, starts: &[u32], kind: PoolKind) -> Result<Tensor> {
    let kind = match kind {
        PoolKind::First => 0,
        PoolKind::Mean => 1,
        PoolKind::Max => 2,
    };
    x.contiguous()?.apply_op1(Pool { starts: starts.to_vec(), kind })
}

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, sequences) = (device(storage), self.starts.len() - 1);
        let (_, width) = layout.shape().dims2()?;
        let y = alloc::<f32>(&device, sequences * width)?;
        if sequences * width > 0 {
            let (x, starts, kind) = (slice(storage, layout)?, upload(&device, &self.starts)?, self.kind);
            let grid = crate::cuda::grid(sequences, width.div_ceil(128), 128);
            launch!(&device, "pooling", "pool_forward", grid, x, starts, y, width, kind);
        }
        Ok(stored(y, &device, (sequences, width)))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient, width) = (device_of(x)?, gradient.contiguous()?, x.dim(1)?);
        let dx = alloc::<f32>(&device, x.elem_count())?;
        if x.elem_count() > 0 {
            let (xs, ys, dy) = (view(x)?, view(y)?, view(&gradient)?);
            let (starts, kind) = (upload(&device, &self.starts)?, self.kind);
            let grid = crate::cuda::grid(self.starts.len() - 1, width.div_ceil(128), 128);
            launch!(&device, "pooling", "pool_backward", grid, xs, ys, dy, starts, dx, width, kind);
        }
        Ok(Some(tensor(dx, &device, x.shape())))
    }
}
