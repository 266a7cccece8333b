//! Rotary positions.

use candle_core::{Result, Tensor};

/// As [`rotary`](super::super::rotary), from the sine and cosine of each angle, `[tokens, d / 2]`.
pub fn rotary(x: &Tensor, turns: &[[f32; 2]], d: usize) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    if tokens == 0 {
        return Ok(x.clone());
    }
    let part = |index: usize| {
        let values: Vec<f32> = turns.iter().map(|turn| turn[index]).collect();
        Tensor::from_vec(values, (tokens, 1, d / 2), x.device())
    };
    let (sin, cos) = (part(0)?, part(1)?);
    let heads = x.reshape((tokens, width / d, d))?;
    let (low, high) = (heads.narrow(2, 0, d / 2)?, heads.narrow(2, d / 2, d / 2)?);
    let turned = [
        (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?,
        (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?,
    ];
    Tensor::cat(&turned, 2)?.reshape((tokens, width))
}
