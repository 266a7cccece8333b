//! Rows of a packed batch in blocks, each the work of one thread.

use crate::simd::simd;
use rayon::prelude::*;
use std::ops::Range;

/// Neighbouring rows that belong to one gradient row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The rows.
    pub rows: Range<usize>,
    /// The gradient row that they belong to.
    pub gradient_row: usize,
}

/// Blocks that cover all rows in order. They depend on the batch alone, so sums over blocks in order give the same bytes
/// whatever the number of threads.
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// Cuts each span into blocks of at most `size` rows; rows that no span covers belong to gradient row 0.
    pub fn new(spans: &[(usize, Range<usize>)], rows: usize, size: usize) -> Self {
        let mut blocks = Vec::new();
        let mut next = 0;
        let mut cover = |gradient_row: usize, rows: Range<usize>| {
            for start in rows.clone().step_by(size) {
                blocks.push(Block { rows: start..(start + size).min(rows.end), gradient_row });
            }
        };
        for (gradient_row, span) in spans {
            cover(0, next..span.start.max(next));
            cover(*gradient_row, span.start.max(next)..span.end);
            next = next.max(span.end);
        }
        cover(0, next..rows);
        Self(blocks)
    }

    /// The blocks in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Block> {
        self.0.iter()
    }

    /// The blocks, over all threads.
    pub fn par_iter(&self) -> rayon::slice::Iter<'_, Block> {
        self.0.par_iter()
    }

    /// Calls `f(first row, rows of values, sums)` for each block, over all threads, with `values` cut at the blocks (rows of
    /// `width` numbers) and `len` zeros for its sums; gives the sums, blocks in order.
    pub fn sum_over(
        &self,
        values: &mut [f32],
        width: usize,
        len: usize,
        f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
    ) -> Vec<Vec<f32>> {
        let cuts = self.cut(values, width).into_par_iter().zip(self.par_iter());
        cuts.map(|(values, block)| {
            let mut sums = vec![0.0; len];
            simd(
                #[inline(always)]
                || f(block.rows.start, values, &mut sums),
            );
            sums
        })
        .collect()
    }

    /// Cuts rows of `width` numbers at the blocks.
    pub fn cut<'a, T>(&self, mut rest: &'a mut [T], width: usize) -> Vec<&'a mut [T]> {
        let mut next = |block: &Block| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(block.rows.len() * width);
            rest = later;
            now
        };
        self.0.iter().map(&mut next).collect()
    }
}
