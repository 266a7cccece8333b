//! Where candle's gradient tape begins and where it is read from.

use super::composed;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// `x`, but tracked: candle runs the backward pass of an op only if something before it is tracked, and parameters
/// in the arena are not. `root` is any variable; it gets no gradient.
pub fn anchor(x: &Tensor, root: &candle_core::Var) -> Result<Tensor> {
    if composed::needed(x)? || !x.device().is_cpu() {
        return composed::anchor(x, root);
    }
    x.contiguous()?.apply_op2(root.as_tensor(), Anchor)
}

struct Anchor;

impl CustomOp2 for Anchor {
    fn name(&self) -> &'static str {
        "anchor"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(super::kernel::slice(s1, l1)?.to_vec()), l1.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((x.track_op().then(|| gradient.clone()), None))
    }
}

/// A scalar whose backward pass gives `x` the gradient `gradient`, of the same shape.
///
/// # Errors
/// If the shapes differ.
pub fn seed(x: &Tensor, gradient: Tensor) -> Result<Tensor> {
    if x.shape() != gradient.shape() {
        candle_core::bail!("seed: a gradient {:?} for {:?}", gradient.shape(), x.shape());
    }
    if composed::needed(x)? {
        return composed::seed(x, &gradient);
    }
    x.apply_op1(Seed(gradient))
}

struct Seed(Tensor);

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &candle_core::CudaStorage, _: &Layout) -> Result<(candle_core::CudaStorage, Shape)> {
        super::cuda::zero(x)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}
