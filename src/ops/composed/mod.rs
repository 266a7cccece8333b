//! Ops as compositions of candle's own differentiable ops, for devices that have no kernels of ours.
//!
//! Parameters are constants to candle here too: a [`tap`] on an op's result sees the gradient come by, and works out the
//! parameters' gradients from it. All products are in f32, and nothing is recomputed.

mod attention;
mod embedding;
mod encoder;
mod layers;
mod losses;
mod pooling;
mod rotary;
mod tap;

pub use attention::attention;
pub use embedding::embedding;
pub use encoder::encoder;
pub use layers::{activation, dropout, layer_norm, linear, rms_norm, swiglu};
pub use losses::{bce_with_logits, cross_entropy, mse};
pub use pooling::pool;
pub use rotary::rotary;
pub use tap::{anchor, seed};

use crate::gradient::{Parameter, Recorder};
use candle_core::{DType, Result, Tensor};
use std::ops::Range;
use std::sync::LazyLock;

/// Whether an op on `x` is composed. With `MTL_ZOO_COMPOSED` set all are, to try on any machine what other devices do.
///
/// # Errors
/// If `x` is not f32.
pub fn needed(x: &Tensor) -> Result<bool> {
    static FORCED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("MTL_ZOO_COMPOSED").is_some());
    if x.dtype() != DType::F32 {
        candle_core::bail!("an op got a tensor that is not f32");
    }
    Ok(*FORCED || !(x.device().is_cpu() || cfg!(feature = "cuda") && x.device().is_cuda()))
}

/// A parameter's numbers, where `x` is.
fn value(parameter: &Parameter, x: &Tensor) -> Result<Tensor> {
    parameter.value.to_device(x.device())
}

fn host(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

/// Adds `gradient(input rows)` to the gradient of `parameter`, for each gradient row.
fn record(recorder: &Recorder, parameter: &Parameter, gradient: impl Fn(Range<usize>) -> Result<Tensor>) -> Result<()> {
    if parameter.slot.is_none() {
        return Ok(());
    }
    for (row, span) in recorder.spans().into_iter().filter(|(_, span)| !span.is_empty()) {
        recorder.add_tensor(parameter.slot, row, &gradient(span)?)?;
    }
    Ok(())
}

/// Sums of the columns of some rows, as a product: candle's sum over rows is slow on the CPU.
fn column_sums(x: &Tensor, rows: Range<usize>) -> Result<Tensor> {
    let ones = Tensor::ones((1, rows.len()), x.dtype(), x.device())?;
    ones.matmul(&x.narrow(0, rows.start, rows.len())?)
}
