//! Gradient rows combined number by number.

use super::row::widen;
use super::{Gradient, Parts, Row, Rows};
use crate::simd::simd;
use half::bf16;
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
            match combined.part(range.clone()) {
                Gradient::F32(values) => values.par_chunks_mut(SPAN).enumerate().for_each(|(span, values)| {
                    let mut rows = vec![0.0; (others.len() + 1) * CHUNK];
                    for (chunk, out) in values.chunks_mut(CHUNK).enumerate() {
                        let first = range.start + span * SPAN + chunk * CHUNK;
                        let rows = &mut rows[..(others.len() + 1) * out.len()];
                        copy_scaled(out, weight, &mut rows[..out.len()]);
                        combine_others(&others, first, rows, f, out);
                    }
                }),
                Gradient::Bf16(values) => values.par_chunks_mut(SPAN).enumerate().for_each(|(span, values)| {
                    let (mut rows, mut out) = (vec![0.0; (others.len() + 1) * CHUNK], vec![0.0; CHUNK]);
                    for (chunk, values) in values.chunks_mut(CHUNK).enumerate() {
                        let first = range.start + span * SPAN + chunk * CHUNK;
                        let (rows, out) = (&mut rows[..(others.len() + 1) * values.len()], &mut out[..values.len()]);
                        widen(values, out);
                        copy_scaled(out, weight, &mut rows[..values.len()]);
                        combine_others(&others, first, rows, f, out);
                        values.iter_mut().zip(out).for_each(|(value, sum)| *value = bf16::from_f32(*sum));
                    }
                }),
            }
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

/// Puts the others' numbers from place `first` on behind those of the first row, and combines them.
fn combine_others(
    others: &[(&Row, f32)],
    first: usize,
    rows: &mut [f32],
    f: impl Fn(u64, &[&[f32]], &mut [f32]),
    out: &mut [f32],
) {
    let len = out.len();
    for ((row, weight), scaled) in others.iter().zip(rows.chunks_exact_mut(len).skip(1)) {
        match row.as_f32(first..first + len) {
            Some(numbers) => copy_scaled(numbers, *weight, scaled),
            None => {
                row.copy(first..first + len, scaled);
                if *weight != 1.0 {
                    scale(scaled, *weight);
                }
            }
        }
    }
    let rows: Vec<&[f32]> = rows.chunks_exact(len).collect();
    f(first as u64, &rows, out);
}

fn copy_scaled(from: &[f32], weight: f32, to: &mut [f32]) {
    to.copy_from_slice(from);
    if weight != 1.0 {
        scale(to, weight);
    }
}

fn scale(numbers: &mut [f32], weight: f32) {
    simd(
        #[inline(always)]
        || numbers.iter_mut().for_each(|number| *number *= weight),
    );
}
