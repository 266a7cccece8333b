//! Dropout.

use super::composed;
use super::kernel::{for_rows, slice, tensor, view};
use super::random::Dropout;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Zeroes a share of the numbers and scales the rest; nothing if `None`.
pub fn dropout(x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    match dropout.filter(|d| d.p() > 0.0) {
        Some(dropout) if composed::needed(x)? => composed::dropout(x, dropout, 0),
        #[cfg(feature = "cuda")]
        Some(dropout) if x.device().is_cuda() => super::cuda::dropout(x, dropout),
        Some(dropout) => x.contiguous()?.apply_op1(Masked(dropout)),
        None => Ok(x.clone()),
    }
}

fn masked(x: &[f32], dropout: Dropout) -> Vec<f32> {
    let mut out = x.to_vec();
    for_rows(
        &mut out,
        1,
        #[inline(always)]
        |first, out| dropout.apply(first as u64, out),
    );
    out
}

struct Masked(Dropout);

impl CustomOp1 for Masked {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(masked(slice(storage, layout)?, self.0)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        tensor(masked(&view(&gradient.contiguous()?)?, self.0), x.shape()).map(Some)
    }
}
