//! Gradient rows combined number by number.

use super::{Gradient, Parts, Rows};
use half::bf16;
use rayon::prelude::*;

/// Numbers of each row that one thread handles at a time.
const CHUNK: usize = 1 << 12;

impl Rows {
    /// Replaces the rows that were used by one, the first of them: `f(first place in the arena, the rows' numbers from there
    /// on, each times its row's weight, out)` combines them. Weights and functions are given by part, weights by row.
    pub fn combine<F: Fn(u64, &[&[f32]], &mut [f32]) + Sync>(&mut self, parts: &Parts, weights: &[Vec<f32>], f: &[F]) {
        self.forget_products();
        let used = self.used();
        let Some((&target, others)) = used.split_first() else { return };
        for (part, range) in parts.ranges() {
            let mut combined = vec![0.0f32; range.len()];
            combined.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
                let first = range.start + chunk * CHUNK;
                let mut rows = vec![0.0; used.len() * out.len()];
                for (&row, scaled) in used.iter().zip(rows.chunks_exact_mut(out.len())) {
                    self.shared[row].add_to(first..first + out.len(), weights[*part][row], scaled);
                }
                let rows: Vec<&[f32]> = rows.chunks_exact(out.len()).collect();
                f[*part](first as u64, &rows, out);
            });
            match self.shared[target].part(range.clone()) {
                Gradient::F32(values) => values.copy_from_slice(&combined),
                Gradient::Bf16(values) => {
                    values.iter_mut().zip(combined).for_each(|(value, sum)| *value = bf16::from_f32(sum));
                }
            }
        }
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
