//! Gradients against the sum of their squares.

use super::row::in_f32;
use super::{Arena, Parts, Row, Rows};
use crate::simd::simd;
use rayon::prelude::*;

/// Running sums of the squared gradients, of each row.
///
/// Tables are left out: of their numbers a step touches few.
#[derive(Clone, Debug)]
pub struct Squares {
    sums: Vec<Vec<f32>>,
}

/// Numbers that one thread handles at a time. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 1 << 13;
/// Added to the root of a sum of squares.
const EPSILON: f32 = 1e-8;

impl Squares {
    /// Zeros for so many rows of an arena's gradients.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self { sums: vec![vec![0.0; arena.shared_len()]; rows] }
    }

    /// Adds the gradients' squares, times `scale²`, to the sums `h`, and gives `Σ g² / (√h + 1e-8)` by part and row, of the
    /// scaled gradients; rows that were not used have 0.
    pub fn add(&mut self, gradients: &Rows, parts: &Parts, scale: f32) -> Vec<Vec<f64>> {
        let mut excess = vec![vec![0.0; self.sums.len()]; parts.count()];
        for row in gradients.used() {
            let values = &gradients.shared[row];
            for (part, range) in parts.ranges() {
                let sums = self.sums[row][range.clone()].par_chunks_mut(CHUNK).enumerate();
                let partial: Vec<f64> = sums
                    .map(|(chunk, h)| {
                        let first = range.start + chunk * CHUNK;
                        match values {
                            Row::F32(g) => add(h, &g[first..], scale, |g| g),
                            Row::Bf16(g) => add(h, &g[first..], scale, in_f32),
                        }
                    })
                    .collect();
                excess[*part][row] += partial.iter().sum::<f64>();
            }
        }
        excess
    }

    /// The sums, by row.
    pub fn rows(&self) -> &[Vec<f32>] {
        &self.sums
    }

    /// The numbers, to go on from saved ones.
    pub fn rows_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.sums
    }
}

/// Adds squares to the sums `h`, and gives `Σ g² / (√h + 1e-8)`; `g` is at least as long.
fn add<T: Copy>(h: &mut [f32], g: &[T], scale: f32, widen: impl Fn(T) -> f32) -> f64 {
    let square = scale * scale;
    simd(
        #[inline(always)]
        || {
            let mut lanes = [0.0f32; 16];
            for (h, g) in h.chunks_mut(16).zip(g.chunks(16)) {
                for ((lane, h), &g) in lanes.iter_mut().zip(h).zip(g) {
                    let g = widen(g);
                    let square = square * g * g;
                    *h += square;
                    *lane += square * inverse_root(*h);
                }
            }
            lanes.iter().map(|&lane| f64::from(lane)).sum()
        },
    )
}

/// `1 / (√x + ε)` of a number that is not negative, without the processor's roots and quotients, which take several times as long
/// and would be what a pass over all numbers waits for: a guess at `1/√x` from the exponent, Newton's steps, and ε by its share.
/// Where the root is below ε it is zero, as next to nothing is divided by it.
#[inline(always)]
fn inverse_root(x: f32) -> f32 {
    let mut y = f32::from_bits(0x5F37_59DF_u32.wrapping_sub(x.to_bits() >> 1));
    for _ in 0..3 {
        y *= 1.5 - 0.5 * x * y * y;
    }
    let share = (EPSILON * y).min(1.0);
    // 1 / (1 + share), to its fourth power.
    y * (1.0 - share) * (1.0 + share * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_roots_are_those_of_the_processor() {
        for x in (0..100).map(|i| 10f32.powf(i as f32 * 0.45 - 12.0)).filter(|x| x.is_normal()) {
            let (found, expected) = (inverse_root(x), 1.0 / (x.sqrt() + EPSILON));
            assert!((found / expected - 1.0).abs() < 1e-6, "{x}: {found}, not {expected}");
        }
        // Beside ε nothing counts, and nothing becomes infinite.
        for x in [0.0, 1e-44, 1e-38, 1e-30, 1e-20, 1e-17, 1e-16, 1e-15, 1e-14] {
            let (found, expected) = (x * inverse_root(x), x / (x.sqrt() + EPSILON));
            assert!((found - expected).abs() < 1e-8, "{x}: {found}, not {expected}");
        }
    }

    #[test]
    fn excess_is_that_of_f64() {
        let (mut h, mut sums) = (vec![0.0f32; 1003], vec![0.0f64; 1003]);
        for step in 0..4 {
            let g: Vec<f32> = (0..1003).map(|i| ((i * 37 + step * 11) % 101) as f32 * 1e-4 - 5e-3).collect();
            let expected: f64 = (sums.iter_mut().zip(&g))
                .map(|(h, &g)| {
                    let square = (3.0 * f64::from(g)).powi(2);
                    *h += square;
                    square / (h.sqrt() + f64::from(EPSILON))
                })
                .sum();
            let found = add(&mut h, &g, 3.0, |g| g);
            assert!((found / expected - 1.0).abs() < 1e-5, "step {step}: {found}, not {expected}");
        }
    }
}
