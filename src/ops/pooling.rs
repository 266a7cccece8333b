//! From token states to one state a sequence.

use super::composed;
use super::kernel::{slice, tensor, view};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// How the states of a sequence become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The first token's.
    First,
    /// Their mean.
    Mean,
    /// The largest, a dimension at a time; the first of equals gets the gradient.
    Max,
}

/// Pools `x` `[tokens, width]`; `starts` are the sequences' first tokens and the end of the last.
/// Result `[sequences, width]`.
///
/// # Errors
/// If a sequence is empty or `starts` does not end with the number of tokens.
pub fn pool(x: &Tensor, starts: &[u32], kind: PoolKind) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    if starts.first() != Some(&0) || starts.last() != Some(&(tokens as u32)) || starts.windows(2).any(|w| w[0] >= w[1])
    {
        candle_core::bail!("pool: sequence starts {starts:?} do not cover {tokens} tokens");
    }
    if composed::needed(x)? {
        return composed::pool(x, starts, kind);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::pool(x, starts, kind);
    }
    x.contiguous()?.apply_op1(Pool { starts: starts.to_vec(), width, kind })
}

struct Pool {
    starts: Vec<u32>,
    width: usize,
    kind: PoolKind,
}

impl Pool {
    fn sequence(&self, index: usize) -> std::ops::Range<usize> {
        self.starts[index] as usize * self.width..self.starts[index + 1] as usize * self.width
    }
}

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let (width, sequences) = (self.width, self.starts.len() - 1);
        let mut out = vec![0.0; sequences * width];
        out.par_chunks_mut(width).enumerate().for_each(|(index, out)| {
            let states = &x[self.sequence(index)];
            out.copy_from_slice(&states[..width]);
            let rest = states[width..].chunks_exact(width);
            match self.kind {
                PoolKind::First => {}
                PoolKind::Max => rest.for_each(|row| {
                    // NaN must come through, so that it is noticed.
                    out.iter_mut().zip(row).for_each(|(out, x)| {
                        if *x > *out || x.is_nan() {
                            *out = *x;
                        }
                    });
                }),
                PoolKind::Mean => {
                    let scale = width as f32 / states.len() as f32;
                    rest.for_each(|row| out.iter_mut().zip(row).for_each(|(out, x)| *out += x));
                    out.iter_mut().for_each(|out| *out *= scale);
                }
            }
        });
        Ok((CpuStorage::F32(out), (sequences, width).into()))
    }

    fn bwd(&self, x: &Tensor, res: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (dy, xs, pooled) = (view(&gradient)?, view(x)?, view(res)?);
        let width = self.width;
        let mut dx = vec![0.0; xs.len()];
        for index in 0..self.starts.len() - 1 {
            let at = self.sequence(index);
            let (dx, xs) = (&mut dx[at.clone()], &xs[at]);
            let (dy, pooled) = (&dy[index * width..][..width], &pooled[index * width..][..width]);
            match self.kind {
                PoolKind::First => dx[..width].copy_from_slice(dy),
                PoolKind::Mean => {
                    let scale = width as f32 / xs.len() as f32;
                    for row in dx.chunks_exact_mut(width) {
                        row.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * scale);
                    }
                }
                PoolKind::Max => {
                    for column in 0..width {
                        let rows = xs.len() / width;
                        let winner = (0..rows).find(|row| xs[row * width + column] == pooled[column]);
                        if let Some(row) = winner {
                            dx[row * width + column] = dy[column];
                        }
                    }
                }
            }
        }
        tensor(dx, x.shape()).map(Some)
    }
}
