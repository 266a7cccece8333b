//! Pooling.

use super::super::PoolKind;
use candle_core::{Result, Tensor};

/// As [`pool`](super::super::pool).
pub fn pool(x: &Tensor, starts: &[u32], kind: PoolKind) -> Result<Tensor> {
    let sequences = starts.len() - 1;
    if sequences == 0 {
        return Tensor::zeros((0, x.dim(1)?), x.dtype(), x.device());
    }
    let x = x.contiguous()?;
    match kind {
        PoolKind::First => x.index_select(&Tensor::from_slice(&starts[..sequences], sequences, x.device())?, 0),
        PoolKind::Mean => {
            let tokens = x.dim(0)?;
            let mut shares = vec![0.0f32; sequences * tokens];
            for (row, ends) in shares.chunks_exact_mut(tokens).zip(starts.windows(2)) {
                row[ends[0] as usize..ends[1] as usize].fill(1.0 / (ends[1] - ends[0]) as f32);
            }
            Tensor::from_vec(shares, (sequences, tokens), x.device())?.matmul(&x)
        }
        PoolKind::Max => {
            let largest = |ends: &[u32]| {
                let own = x.narrow(0, ends[0] as usize, (ends[1] - ends[0]) as usize)?;
                // By its place, so that of equals only the first gets a gradient.
                own.gather(&own.detach().argmax_keepdim(0)?, 0)
            };
            Tensor::cat(&starts.windows(2).map(largest).collect::<Result<Vec<_>>>()?, 0)
        }
    }
}
