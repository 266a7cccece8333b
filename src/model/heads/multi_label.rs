//! Any number of several labels, each decided on its own.

use super::{HeadOptions, Prediction};
use crate::ops::bce_with_logits;
use candle_core::{Result, Tensor};

pub(super) fn loss(logits: &Tensor, marks: &[f32], options: &HeadOptions) -> Result<Tensor> {
    bce_with_logits(logits, marks.to_vec(), options.class_weights.clone())
}

pub(super) fn decode(logits: &[f32]) -> Prediction {
    let labels = (0..logits.len() as u32).filter(|&label| logits[label as usize] > 0.0).collect();
    let probability = |&x: &f32| (1.0 / (1.0 + f64::from(-x).exp())) as f32;
    Prediction::Labels { labels, probabilities: logits.iter().map(probability).collect() }
}
