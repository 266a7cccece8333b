//! Dropout masks on the device: one bit a number, drawn where it is needed, forward and backward.

use super::launch::{Word, alloc, launch, over, stored, tensor, view};
use crate::ops::random::Dropout;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Which numbers stay, and their factor.
pub struct Mask {
    bits: Option<CudaSlice<u32>>,
    /// The factor of what stays.
    pub scale: f32,
}

/// Numbers that are drawn together.
const GROUP: usize = 128;

impl Mask {
    /// Of the first `count` numbers; without dropout all stay as they are.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: &CudaDevice, dropout: Option<Dropout>, count: usize) -> Result<Self> {
        let Some(dropout) = dropout.filter(|dropout| dropout.p() > 0.0 && count > 0) else {
            return Ok(Self { bits: None, scale: 1.0 });
        };
        let groups = count.div_ceil(GROUP);
        let bits = alloc::<u32>(device, groups * GROUP / 32)?;
        let (threshold, [key0, key1], stream) = dropout.draw();
        // A warp draws two groups; a block has eight.
        let grid = crate::cuda::grid(groups.div_ceil(16).clamp(1, 8192), 1, 256);
        launch!(device, "dropout", "dropout_mask", grid, bits, groups, threshold, key0, key1, stream);
        Ok(Self { bits: Some(bits), scale: 1.0 / (1.0 - dropout.p()) })
    }
}

impl Word for Mask {
    fn word(&self) -> u64 {
        self.bits.as_ref().map_or(0, Word::word)
    }
}

struct Masked(Dropout);

/// As [`dropout`](super::super::dropout).
pub fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Masked(dropout))
}

impl Masked {
    fn apply(&self, device: &CudaDevice, x: u64, count: usize) -> Result<CudaSlice<f32>> {
        let y = alloc::<f32>(device, count)?;
        let mask = Mask::new(device, Some(self.0), count)?;
        if count > 0 {
            launch!(device, "dropout", "dropout_apply", over(count), x, mask, y, count, mask.scale);
        }
        Ok(y)
    }
}

impl CustomOp1 for Masked {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::elsewhere()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = super::launch::device(x);
        let y = self.apply(&device, super::launch::slice(x, layout)?, layout.shape().elem_count())?;
        Ok(stored(y, &device, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (device, gradient) = (super::launch::device_of(x)?, gradient.contiguous()?);
        let dx = self.apply(&device, view(&gradient)?.word(), x.elem_count())?;
        Ok(Some(tensor(dx, &device, x.shape())))
    }
}
