//! One of several classes.

use super::{HeadOptions, Prediction, argmax, softmax};
use crate::ops::{CrossEntropy, cross_entropy};
use candle_core::{Result, Tensor};

pub(super) fn loss(logits: &Tensor, classes: &[u32], options: &HeadOptions) -> Result<Tensor> {
    let options = CrossEntropy {
        targets: classes.to_vec(),
        class_weights: options.class_weights.clone(),
        label_smoothing: options.label_smoothing,
    };
    cross_entropy(logits, options)
}

pub(super) fn decode(logits: &[f32]) -> Prediction {
    Prediction::Class { class: argmax(logits), probabilities: softmax(logits) }
}
