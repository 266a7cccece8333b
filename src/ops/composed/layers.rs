//! The ops between and around products: linear, norms, activations, gates, dropout.

use super::super::{Activation, Dropout};
use super::tap::tap;
use super::{column_sums, record, value};
use crate::gradient::{Parameter, Recorder};
use candle_core::{Result, Tensor};

/// As [`linear`](super::super::linear).
pub fn linear(x: &Tensor, weight: &Parameter, bias: Option<&Parameter>, recorder: Option<&Recorder>) -> Result<Tensor> {
    if x.dim(0)? == 0 {
        return Tensor::zeros((0, weight.value.dim(0)?), x.dtype(), x.device());
    }
    let x = x.contiguous()?;
    let mut y = x.matmul(&value(weight, &x)?.t()?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(&value(bias, &x)?)?;
    }
    let Some(recorder) = recorder.cloned() else { return Ok(y) };
    let (x, weight, bias) = (x.detach(), weight.clone(), bias.cloned());
    tap(&y, move |dy| {
        record(&recorder, &weight, |rows| {
            dy.narrow(0, rows.start, rows.len())?.t()?.matmul(&x.narrow(0, rows.start, rows.len())?)
        })?;
        bias.as_ref().map_or(Ok(()), |bias| record(&recorder, bias, |rows| column_sums(dy, rows)))
    })
}

/// As [`layer_norm`](super::super::layer_norm).
pub fn layer_norm(
    x: &Tensor,
    weight: &Parameter,
    bias: &Parameter,
    epsilon: f64,
    recorder: Option<&Recorder>,
) -> Result<Tensor> {
    let centered = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let deviation = (centered.sqr()?.mean_keepdim(1)? + epsilon)?.sqrt()?;
    scaled(centered.broadcast_div(&deviation)?, weight, Some(bias), recorder)
}

/// As [`rms_norm`](super::super::rms_norm).
pub fn rms_norm(x: &Tensor, weight: &Parameter, epsilon: f64, recorder: Option<&Recorder>) -> Result<Tensor> {
    let root = (x.sqr()?.mean_keepdim(1)? + epsilon)?.sqrt()?;
    scaled(x.broadcast_div(&root)?, weight, None, recorder)
}

/// Normalized rows times a weight a column, plus a bias.
fn scaled(normal: Tensor, weight: &Parameter, bias: Option<&Parameter>, recorder: Option<&Recorder>) -> Result<Tensor> {
    let mut y = normal.broadcast_mul(&value(weight, &normal)?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(&value(bias, &normal)?)?;
    }
    let Some(recorder) = recorder.cloned() else { return Ok(y) };
    let (normal, weight, bias) = (normal.detach(), weight.clone(), bias.cloned());
    tap(&y, move |dy| {
        let products = (dy * &normal)?;
        record(&recorder, &weight, |rows| column_sums(&products, rows))?;
        bias.as_ref().map_or(Ok(()), |bias| record(&recorder, bias, |rows| column_sums(dy, rows)))
    })
}

/// As [`activation`](super::super::activation).
pub fn activation(x: &Tensor, function: Activation) -> Result<Tensor> {
    match function {
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        // The slope of candle's own is 1 at 0, PyTorch's is 0.
        Activation::Relu => x.le(0.0)?.where_cond(&x.zeros_like()?, x),
        Activation::Silu => silu(x),
        Activation::Tanh => x.tanh(),
    }
}

/// As [`swiglu`](super::super::swiglu).
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    silu(gate)? * up
}

/// By tanh, which overflows nowhere; the slope of candle's own differs in the sixth digit.
fn silu(x: &Tensor) -> Result<Tensor> {
    x * (x.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5))?
}

/// As [`dropout`](super::super::dropout): the same mask, elements numbered from `first`.
pub fn dropout(x: &Tensor, dropout: Dropout, first: u64) -> Result<Tensor> {
    let mut mask = vec![1.0f32; x.elem_count()];
    dropout.apply(first, &mut mask);
    x * Tensor::from_vec(mask, x.shape(), x.device())?
}
