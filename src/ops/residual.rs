//! Dropout, alone and added to a residual.

use super::kernel::{for_rows, slice, tensor, view};
use super::random::Dropout;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// `residual + dropout(x)`, both of the same shape; without dropout if `None`.
pub fn residual(x: &Tensor, residual: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    if x.shape() != residual.shape() {
        candle_core::bail!("residual: {:?} cannot be added to {:?}", x.shape(), residual.shape());
    }
    x.contiguous()?.apply_op2(&residual.contiguous()?, Residual(dropout.filter(|d| d.p() > 0.0)))
}

/// Zeroes a share of the numbers and scales the rest; nothing if `None`.
pub fn dropout(x: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    match dropout.filter(|d| d.p() > 0.0) {
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
        |first, out| {
            dropout.apply(
                first as u64,
                out,
                #[inline(always)]
                |x, factor| *x *= factor,
            );
        },
    );
    out
}

struct Residual(Option<Dropout>);

impl CustomOp2 for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, residual) = (slice(s1, l1)?, slice(s2, l2)?);
        let mut out = match self.0 {
            Some(dropout) => masked(x, dropout),
            None => x.to_vec(),
        };
        for_rows(
            &mut out,
            1,
            #[inline(always)]
            |first, out| {
                for (out, residual) in out.iter_mut().zip(&residual[first..]) {
                    *out += residual;
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = match self.0 {
            Some(dropout) => tensor(masked(&view(&gradient.contiguous()?)?, dropout), x.shape())?,
            None => gradient.clone(),
        };
        Ok((Some(dx), Some(gradient.clone())))
    }
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
