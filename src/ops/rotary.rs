//! Rotary position embedding (Su et al. 2021), halves of a head rotated against each other as transformers' models do.

use super::composed;
use super::kernel::{for_rows, slice, tensor, view};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Rotates each head of queries or keys `x` `[tokens, heads · d]` by its token's position: dimension `i` and `i + d/2` by
/// the angle `position · base^(-2i/d)`.
///
/// # Errors
/// If there is not one position a token, or heads have no even width.
pub fn rotary(x: &Tensor, positions: &[u32], heads: usize, base: f64) -> Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    if positions.len() != tokens || heads == 0 || !width.is_multiple_of(2 * heads) {
        candle_core::bail!("rotary: {} positions and {heads} heads for {:?}", positions.len(), x.shape());
    }
    let d = width / heads;
    let frequency = |i: usize| base.powf(-2.0 * i as f64 / d as f64);
    let angle = |(position, i): (u32, usize)| (f64::from(position) * frequency(i)).sin_cos();
    let angles = positions.iter().flat_map(|&position| (0..d / 2).map(move |i| (position, i)));
    let turns: Vec<_> = angles.map(angle).map(|(sin, cos)| [sin as f32, cos as f32]).collect();
    if composed::needed(x)? {
        return composed::rotary(x, &turns, d);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return super::cuda::rotary(x, &turns, d);
    }
    x.contiguous()?.apply_op1(Rotary { turns, width, d })
}

struct Rotary {
    /// Sine and cosine of each angle, `[tokens, d / 2]`.
    turns: Vec<[f32; 2]>,
    width: usize,
    d: usize,
}

impl Rotary {
    /// Rotates rows in place, forward or back.
    fn rotate(&self, values: &mut [f32], direction: f32) {
        let half = self.d / 2;
        for_rows(
            values,
            self.width,
            #[inline(always)]
            |first, rows| {
                for (row, values) in rows.chunks_exact_mut(self.width).enumerate() {
                    let turns = &self.turns[(first + row) * half..][..half];
                    for head in values.chunks_exact_mut(self.d) {
                        let (low, high) = head.split_at_mut(half);
                        for ((low, high), [sin, cos]) in low.iter_mut().zip(high).zip(turns) {
                            let sin = sin * direction;
                            (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
                        }
                    }
                }
            },
        );
    }
}

impl CustomOp1 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = slice(storage, layout)?.to_vec();
        self.rotate(&mut out, 1.0);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = view(&gradient.contiguous()?)?.to_vec();
        self.rotate(&mut dx, -1.0);
        tensor(dx, x.shape()).map(Some)
    }
}
