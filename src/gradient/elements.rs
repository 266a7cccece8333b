//! Gradient rows combined number by number.

use super::row::scaled;
use super::{Parts, Row, Rows};
use rayon::prelude::*;

/// Numbers of each row that are combined at a time: of sixteen rows they stay in a core's own caches.
const CHUNK: usize = 1 << 10;
/// Numbers that one thread handles at a time.
const SPAN: usize = 16 * CHUNK;

impl Rows {
    /// Replaces the rows that were used by one, the first of them: `f(first place in the arena, the rows' numbers from there
    /// on, each times its row's weight, out)` combines them. Weights and functions are given by part, weights by row.
    pub fn combine<F: Fn(u64, &[&[f32]], &mut [f32]) + Sync>(&mut self, parts: &Parts, weights: &[Vec<f32>], f: &[F]) {
        self.forget_products();
        let used = self.used();
        let Some((&target, others)) = used.split_first() else { return };
        let mut combined = std::mem::replace(&mut self.shared[target], Row::F32(Vec::new()));
        for (part, range) in parts.ranges() {
            let others: Vec<_> = others.iter().map(|&row| (&self.shared[row], weights[*part][row])).collect();
            let (weight, f) = (weights[*part][target], &f[*part]);
            // The first row's numbers make place for those that come of all.
            let spans = combined.part(range.clone()).pieces(SPAN);
            spans.into_par_iter().enumerate().for_each(|(span, numbers)| {
                let mut rows = vec![0.0; (others.len() + 1) * CHUNK];
                numbers.change_by_pieces(CHUNK, |place, out| {
                    let (first, len) = (range.start + span * SPAN + place, out.len());
                    let rows = &mut rows[..(others.len() + 1) * len];
                    let (own, rest) = rows.split_at_mut(len);
                    scaled(out, weight, |x| x, own);
                    for ((row, weight), scaled) in others.iter().zip(rest.chunks_exact_mut(len)) {
                        row.copy_scaled(first..first + len, *weight, scaled);
                    }
                    f(first as u64, &rows.chunks_exact(len).collect::<Vec<_>>(), out);
                });
            });
        }
        self.shared[target] = combined;
        for (table, part) in parts.tables().iter().enumerate() {
            let own = &self.tables[target][table];
            let (offset, width) = (own.table().offset, own.table().width);
            let mut touched: Vec<u32> =
                used.iter().flat_map(|&row| self.tables[row][table].touched()).copied().collect();
            touched.sort_unstable();
            touched.dedup();
            let mut combined = self.tables[target][table].clone();
            combined.clear();
            for index in touched {
                let scaled = |&row: &usize| {
                    let numbers = self.tables[row][table].row(index as usize);
                    let weight = weights[*part][row];
                    numbers.map_or(vec![0.0; width], |numbers| numbers.iter().map(|g| weight * g).collect())
                };
                let rows: Vec<Vec<f32>> = used.iter().map(scaled).collect();
                let mut out = vec![0.0; width];
                let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
                f[*part]((offset + index as usize * width) as u64, &rows, &mut out);
                combined.add(index as usize, &out);
            }
            self.tables[target][table] = combined;
        }
        for &row in others {
            self.used[row] = false;
            self.tables[row].iter_mut().for_each(super::TableRows::clear);
        }
    }
}
