//! Losses.

use candle_core::{D, Result, Tensor};

/// Sum of `-ln softmax` of the logits, each times its share `[rows, classes]`.
pub fn cross_entropy(logits: &Tensor, shares: Vec<f32>) -> Result<Tensor> {
    if shares.is_empty() {
        return logits.sum_all();
    }
    let shares = Tensor::from_vec(shares, logits.shape(), logits.device())?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let rest = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    (shares * rest.broadcast_sub(&shifted)?)?.sum_all()
}

/// Mean of `weight · BCE(logit, target)`, a weight a number.
pub fn bce_with_logits(logits: &Tensor, targets: Vec<f32>, weights: Vec<f32>) -> Result<Tensor> {
    let targets = Tensor::from_vec(targets, logits.shape(), logits.device())?;
    let weights = Tensor::from_vec(weights, logits.shape(), logits.device())?;
    // ln(1 + eˣ) as m + ln(e⁻ᵐ + eˣ⁻ᵐ), m = max(x, 0): does not overflow, and its slope is the logistic function.
    let above = logits.detach().relu()?;
    let rest = (above.neg()?.exp()? + (logits - &above)?.exp()?)?.log()?;
    let loss = ((above + rest)? - (logits * targets)?)?;
    mean((weights * loss)?)
}

/// As [`mse`](super::super::mse).
pub fn mse(values: &Tensor, targets: Vec<f32>) -> Result<Tensor> {
    let targets = Tensor::from_vec(targets, values.shape(), values.device())?;
    mean((values - targets)?.sqr()?)
}

/// The mean of all numbers; 0 if there are none.
fn mean(x: Tensor) -> Result<Tensor> {
    x.sum_all()? / x.elem_count().max(1) as f64
}
