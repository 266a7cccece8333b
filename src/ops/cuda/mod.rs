//! The ops on CUDA devices. A kernel file (`.cu`) has its launches in the Rust file of its name, or of the op that it is for.
//!
//! Everything is asynchronous on candle's stream: no op waits for the device. Reductions are in f32 or wider, and in an order that
//! does not change from run to run.

mod attention;
mod embedding;
mod encoder;
mod launch;
mod layer;
mod layers;
mod losses;
mod mask;
mod norm;
mod pooling;
mod product;
mod weights;

pub use attention::{attention, possible};
pub use embedding::embedding;
pub use encoder::encoder;
pub use layers::{activation, linear, rotary, swiglu};
pub use losses::{bce_with_logits, cross_entropy, mse};
pub use mask::dropout;
pub use norm::{layer_norm, rms_norm};
pub use pooling::pool;

use candle_core::{CudaStorage, Result, Shape};

/// A scalar 0, on the device of some numbers.
pub fn zero(beside: &CudaStorage) -> Result<(CudaStorage, Shape)> {
    let device = launch::device(beside);
    Ok(launch::stored(device.alloc_zeros::<f32>(1)?, &device, ()))
}

/// An op of this room met a tensor on another device.
fn elsewhere<T>() -> Result<T> {
    candle_core::bail!("an op for CUDA devices got a tensor on the CPU")
}
