//! Gated linear unit with SiLU (Shazeer 2020, "GLU variants improve transformer").

use super::composed;
use super::kernel::{for_rows, slice, tensor, view};
use super::math::logistic;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// `silu(gate) · up`, both of the same shape.
///
/// # Errors
/// If the shapes differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        candle_core::bail!("swiglu: {:?} and {:?}", gate.shape(), up.shape());
    }
    if composed::needed(gate)? {
        return composed::swiglu(gate, up);
    }
    #[cfg(feature = "cuda")]
    if gate.device().is_cuda() {
        return super::cuda::swiglu(gate, up);
    }
    gate.contiguous()?.apply_op2(&up.contiguous()?, SwiGlu)
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, mut out) = (slice(s1, l1)?, slice(s2, l2)?.to_vec());
        for_rows(
            &mut out,
            1,
            #[inline(always)]
            |first, out| {
                for (out, gate) in out.iter_mut().zip(&gate[first..]) {
                    *out *= gate * logistic(*gate).0;
                }
            },
        );
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (gates, ups) = (view(gate)?, view(up)?);
        let (gates, ups): (&[f32], &[f32]) = (&gates, &ups);
        let [mut d_gate, mut d_up] = [view(&dy)?.to_vec(), view(&dy)?.to_vec()];
        for_rows(
            &mut d_gate,
            1,
            #[inline(always)]
            |first, d_gate| {
                for ((d_gate, gate), up) in d_gate.iter_mut().zip(&gates[first..]).zip(&ups[first..]) {
                    let (share, slope) = logistic(*gate);
                    *d_gate *= up * (share + gate * slope);
                }
            },
        );
        for_rows(
            &mut d_up,
            1,
            #[inline(always)]
            |first, d_up| {
                for (d_up, gate) in d_up.iter_mut().zip(&gates[first..]) {
                    *d_up *= gate * logistic(*gate).0;
                }
            },
        );
        Ok((Some(tensor(d_gate, gate.shape())?), Some(tensor(d_up, up.shape())?)))
    }
}
