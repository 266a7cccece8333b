//! Layers of the encoder.

use super::super::encoder::{Dense, EncoderLayer, LayerOptions, Norm};
use super::super::{activation, attention, dropout, layer_norm, linear};
use candle_core::{Result, Tensor};

/// A layer as [`encoder`](super::super::encoder) applies it.
pub fn encoder(x: &Tensor, layer: &EncoderLayer, options: LayerOptions) -> Result<Tensor> {
    let recorder = options.attention.recorder.clone();
    let dense = |x: &Tensor, dense: &Dense| linear(x, &dense.weight, Some(&dense.bias), recorder.as_ref());
    let norm = |x: &Tensor, norm: &Norm| layer_norm(x, &norm.weight, &norm.bias, norm.epsilon, recorder.as_ref());
    let [first, second] = options.dropout;
    let [q, k, v] = [&layer.qkv[0], &layer.qkv[1], &layer.qkv[2]].map(|part| dense(x, part));
    let context = attention(&q?, &k?, &v?, options.attention)?;
    let attended = norm(&(dropout(&dense(&context, &layer.attention_output)?, first)? + x)?, &layer.attention_norm)?;
    let inner = activation(&dense(&attended, &layer.intermediate)?, layer.activation)?;
    norm(&(dropout(&dense(&inner, &layer.output)?, second)? + attended)?, &layer.output_norm)
}
