//! Where gradients are watched on their way back, and where candle's tape begins and is read from.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, MetalStorage, Result, Shape, Tensor, Var};

/// What sees a gradient.
type See = Box<dyn Fn(&Tensor) -> Result<()> + Send + Sync>;

/// `y`, whose gradient is shown to `see` (contiguous) before it goes on. Nothing is to be seen of what is not tracked.
pub fn tap(y: &Tensor, see: impl Fn(&Tensor) -> Result<()> + Send + Sync + 'static) -> Result<Tensor> {
    if y.track_op() { y.contiguous()?.apply_op1(Tap(Box::new(see))) } else { Ok(y.clone()) }
}

/// `y`, tracked from here on: nothing before it gets a gradient. `root` is any variable on the same device.
pub fn root(y: &Tensor, root: &Var, see: impl Fn(&Tensor) -> Result<()> + Send + Sync + 'static) -> Result<Tensor> {
    y.contiguous()?.detach().apply_op2(root.as_tensor(), Root(Box::new(see)))
}

/// As [`anchor`](super::super::anchor).
pub fn anchor(x: &Tensor, variable: &Var) -> Result<Tensor> {
    if x.track_op() { Ok(x.clone()) } else { root(x, variable, |_| Ok(())) }
}

/// As [`seed`](super::super::seed), but for the value.
pub fn seed(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    (x * gradient)?.sum_all()
}

struct Tap(See);

struct Root(See);

/// A copy on any device.
fn copy<B: BackendStorage<Device: BackendDevice<Storage = B>>>(storage: &B, layout: &Layout) -> Result<(B, Shape)> {
    let shape = layout.shape().clone();
    let mut copy = storage.device().zeros_impl(&shape, storage.dtype())?;
    storage.copy_strided_src(&mut copy, 0, layout)?;
    Ok((copy, shape))
}

impl CustomOp1 for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        copy(storage, layout)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        copy(storage, layout)
    }

    fn metal_fwd(&self, storage: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        copy(storage, layout)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        (self.0)(&gradient.contiguous()?)?;
        Ok(Some(gradient.clone()))
    }
}

impl CustomOp2 for Root {
    fn name(&self) -> &'static str {
        "root"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        copy(s1, l1)
    }

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        copy(s1, l1)
    }

    fn metal_fwd(&self, s1: &MetalStorage, l1: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        copy(s1, l1)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        (self.0)(&gradient.contiguous()?)?;
        Ok((None, None))
    }
}
