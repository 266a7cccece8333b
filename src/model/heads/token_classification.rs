//! A tag for every word, read off the word's first token.

use super::{HeadOptions, Prediction, argmax, classification, softmax};
use candle_core::{Result, Tensor};

pub(super) fn loss(logits: &Tensor, tags: &[u32], options: &HeadOptions) -> Result<Tensor> {
    classification::loss(logits, tags, options)
}

pub(super) fn decode(logits: &[f32], outputs: usize) -> Prediction {
    let rows = logits.chunks_exact(outputs);
    let tags: Vec<u32> = rows.clone().map(argmax).collect();
    let probabilities = rows.zip(&tags).map(|(row, &tag)| softmax(row)[tag as usize]).collect();
    Prediction::Tags { tags, probabilities }
}
