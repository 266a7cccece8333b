//! Gradients against the sum of their squares.

use super::{Arena, Parts, Rows};
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
                        let mut g = vec![0.0; h.len()];
                        values.copy(first..first + h.len(), &mut g);
                        add(h, &g, scale)
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

fn add(h: &mut [f32], g: &[f32], scale: f32) -> f64 {
    simd(
        #[inline(always)]
        || {
            let mut lanes = [0.0f32; 16];
            for (h, g) in h.chunks_mut(16).zip(g.chunks(16)) {
                for ((lane, h), g) in lanes.iter_mut().zip(h).zip(g) {
                    let square = scale * scale * g * g;
                    *h += square;
                    *lane += square / (h.sqrt() + EPSILON);
                }
            }
            lanes.iter().map(|&lane| f64::from(lane)).sum()
        },
    )
}
