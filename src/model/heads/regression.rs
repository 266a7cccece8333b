//! A number.

use super::Prediction;
use crate::ops::mse;
use candle_core::{Result, Tensor};

pub(super) fn loss(logits: &Tensor, values: &[f32]) -> Result<Tensor> {
    mse(logits, values.to_vec())
}

pub(super) fn decode(logits: &[f32]) -> Prediction {
    Prediction::Score(logits[0])
}
