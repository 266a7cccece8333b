//! Gradient rows combined number by number.

use super::{Gradient, Parts, Rows};
use half::bf16;
use rayon::prelude::*;

/// Numbers of each row that one thread handles at a time.
const CHUNK: usize = 1 << 12;

impl Rows {
    /// Replaces the rows that were used by one, the first of them: each number is `f(place in the arena, the rows' numbers
    /// there, each times its row's weight)`. Weights and functions are given by part, weights by row.
    pub fn combine<F: Fn(u64, &[f32]) -> f32 + Sync>(&mut self, parts: &Parts, weights: &[Vec<f32>], f: &[F]) {
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
                let mut numbers = vec![0.0; used.len()];
                for (at, out) in out.iter_mut().enumerate() {
                    let columns = rows.chunks_exact(rows.len() / used.len());
                    numbers.iter_mut().zip(columns).for_each(|(number, row)| *number = row[at]);
                    *out = f[*part]((first + at) as u64, &numbers);
                }
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
                let rows: Vec<_> = used.iter().map(|&row| self.tables[row][table].row(index as usize)).collect();
                let number = |column: usize| {
                    let scaled = rows
                        .iter()
                        .zip(&used)
                        .map(|(row, &of)| row.map_or(0.0, |row| weights[*part][of] * row[column]));
                    f[*part]((offset + index as usize * width + column) as u64, &scaled.collect::<Vec<_>>())
                };
                combined.add(index as usize, &(0..width).map(number).collect::<Vec<_>>());
            }
            self.tables[target][table] = combined;
        }
        for &row in others {
            self.used[row] = false;
            self.tables[row].iter_mut().for_each(super::TableRows::clear);
        }
    }
}
