//! Inner products of long rows, each number read from memory once.

use super::row::widen;
use super::store::squares;
use super::{Parts, Row, Rows};
use half::bf16;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of a row that are multiplied at a time: with sixteen rows they stay in the nearest caches.
const CHUNK: usize = 1024;
/// Numbers of a row that one thread takes at a time. Fixed, so that sums do not depend on the number of threads.
pub(super) const SPAN: usize = 8 * CHUNK;
/// Rows whose products are summed in registers at the same time.
const TILE: usize = 4;

impl Rows {
    /// Inner products of the gradient rows in each part of the shared parameters, tables included: `[part][row][row]`. Rows
    /// that were not used give zeros.
    pub fn gramians(&self, parts: &Parts) -> Vec<Vec<Vec<f64>>> {
        let count = self.shared.len();
        let mut gramians = vec![vec![vec![0.0; count]; count]; parts.count()];
        let used = self.used();
        let rows: Vec<&Row> = used.iter().map(|&row| &self.shared[row]).collect();
        for (part, range) in parts.ranges() {
            let gramian = &mut gramians[*part];
            for products in self.known_products(range) {
                add(gramian, products.rows(), |i, j| products.of(i, j));
            }
            for range in self.unknown_products(range) {
                let products = match rows[..] {
                    [Row::F32(only)] => vec![vec![squares(&only[range])]],
                    _ => inner_products(&rows, range),
                };
                add(gramian, &used, |i, j| products[i][j]);
            }
        }
        self.add_tables(parts, &mut gramians);
        gramians
    }

    /// Adds what the tables' rows have in the inner products.
    pub(super) fn add_tables(&self, parts: &Parts, gramians: &mut [Vec<Vec<f64>>]) {
        let used = self.used();
        for (table, part) in parts.tables().iter().enumerate() {
            let of = |i: usize| &self.tables[used[i]][table];
            add(&mut gramians[*part], &used, |i, j| if i == j { squares(of(i).values()) } else { of(i).dot(of(j)) });
        }
    }
}

/// Adds a symmetric matrix over some of the rows, given for `j <= i`.
pub(super) fn add(gramian: &mut [Vec<f64>], used: &[usize], product: impl Fn(usize, usize) -> f64) {
    for (i, &row) in used.iter().enumerate() {
        for (j, &other) in used.iter().enumerate().take(i + 1) {
            gramian[row][other] += product(i, j);
            gramian[other][row] = gramian[row][other];
        }
    }
}

/// Inner products of all pairs of rows over a range of their numbers: `[i][j]` for `j <= i`.
fn inner_products(rows: &[&Row], range: Range<usize>) -> Vec<Vec<f64>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let span = |chunk: usize| range.start + chunk * SPAN..(range.start + (chunk + 1) * SPAN).min(range.end);
    let partial: Vec<Vec<f32>> =
        (0..range.len().div_ceil(SPAN)).into_par_iter().map(|chunk| span_products(rows, span(chunk))).collect();
    sum_up(&partial, rows.len())
}

/// Products of `count` rows from those over their spans.
pub(super) fn sum_up(partial: &[Vec<f32>], count: usize) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> = (1..=count).map(|len| vec![0.0; len]).collect();
    for part in partial {
        for (sums, part) in sums.iter_mut().zip(part.chunks_exact(count)) {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    sums
}

/// The products of rows over a span of at most [`SPAN`] numbers, given as slices.
pub(super) fn slice_products(rows: &[&[f32]]) -> Vec<f32> {
    let mut out = vec![0.0; rows.len() * rows.len()];
    add_products(rows, &mut out);
    out
}

/// Calls `f` with neighbouring pieces of all rows, as many numbers of each as stay in the nearest caches.
fn pieces<'a, T>(rows: &[&'a [T]], mut f: impl FnMut(&[&'a [T]])) {
    let len = rows.first().map_or(0, |row| row.len());
    for start in (0..len).step_by(CHUNK) {
        f(&rows.iter().map(|row| &row[start..(start + CHUNK).min(len)]).collect::<Vec<_>>());
    }
}

/// Adds the inner products of all pairs of rows, of equal lengths, to `out`: `[i][j]` for `j <= i`, the rest unspecified.
pub(crate) fn add_products(rows: &[&[f32]], out: &mut [f32]) {
    pieces(rows, |rows| pulp::Arch::new().dispatch(Products { rows, out: &mut *out }));
}

/// As [`add_products`].
pub(crate) fn add_products_of_bf16(rows: &[&[bf16]], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::gramian_bf16::available() {
        // SAFETY: available.
        return pieces(rows, |rows| unsafe { super::gramian_bf16::add_products(rows, out) });
    }
    let mut widened = vec![0.0; rows.len() * CHUNK];
    pieces(rows, |rows| {
        let cut = rows.iter().zip(widened.chunks_exact_mut(CHUNK)).map(|(row, copy)| {
            widen(row, &mut copy[..row.len()]);
            &copy[..row.len()]
        });
        add_products(&cut.collect::<Vec<_>>(), out);
    });
}

/// The products over the numbers that one thread takes at a time.
fn span_products(rows: &[&Row], span: Range<usize>) -> Vec<f32> {
    let mut out = vec![0.0; rows.len() * rows.len()];
    if let Some(rows) = rows.iter().map(|row| row.as_bf16()).collect::<Option<Vec<_>>>() {
        let cut: Vec<&[bf16]> = rows.iter().map(|row| &row[span.clone()]).collect();
        add_products_of_bf16(&cut, &mut out);
        return out;
    }
    // Of rows in both types those in bf16 are widened a chunk at a time.
    let mut widened = vec![0.0; rows.len() * CHUNK];
    for start in span.clone().step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(span.end);
        let cut = rows.iter().zip(widened.chunks_exact_mut(CHUNK)).map(|(row, copy)| {
            row.as_f32(chunk.clone()).unwrap_or_else(|| {
                row.copy(chunk.clone(), &mut copy[..chunk.len()]);
                &copy[..chunk.len()]
            })
        });
        add_products(&cut.collect::<Vec<_>>(), &mut out);
    }
    out
}

/// Inner product of two rows of some thousand numbers at most.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut out = [0.0; 4];
    pulp::Arch::new().dispatch(Products { rows: &[a, b], out: &mut out });
    f64::from(out[2])
}

/// Adds products of all pairs of rows, `[i][j]` for `j <= i`, to `out`, the rest of which is unspecified.
struct Products<'a> {
    rows: &'a [&'a [f32]],
    out: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let count = self.rows.len();
        for i in (0..count).step_by(TILE) {
            for j in (0..=i).step_by(TILE) {
                // Beyond the last row a tile repeats it; what comes of that is not stored.
                let row = |first: usize, k: usize| S::as_simd_f32s(self.rows[(first + k).min(count - 1)]);
                let (left, right): ([_; TILE], [_; TILE]) =
                    (std::array::from_fn(|k| row(i, k)), std::array::from_fn(|k| row(j, k)));
                let mut sums = [[simd.splat_f32s(0.0); TILE]; TILE];
                for at in 0..left[0].0.len() {
                    let b: [S::f32s; TILE] = std::array::from_fn(|k| right[k].0[at]);
                    for (a, sums) in left.iter().zip(&mut sums) {
                        let a = a.0[at];
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = simd.mul_add_f32s(a, b, *sum);
                        }
                    }
                }
                for (p, sums) in sums.into_iter().enumerate().take(count - i) {
                    for (q, sum) in sums.into_iter().enumerate().take(count - j) {
                        let rest = left[p].1.iter().zip(right[q].1).map(|(a, b)| a * b).sum::<f32>();
                        self.out[(i + p) * count + j + q] += simd.reduce_sum_f32s(sum) + rest;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_in_f64() {
        for (count, len) in [(0, 5), (1, 0), (1, 3), (2, 17), (3, 5000), (5, 2048), (9, 4097), (16, 300)] {
            let number = |i: usize, k: usize| ((i * 7919 + k * 104_729 + i * k) % 2003) as f32 / 1000.0 - 1.0;
            let rows: Vec<Vec<f32>> = (0..count).map(|i| (0..len).map(|k| number(i, k)).collect()).collect();
            let held: Vec<Row> = rows.iter().map(|row| Row::F32(row.clone())).collect();
            let found = inner_products(&held.iter().collect::<Vec<_>>(), 0..len);
            for (i, j) in (0..count).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let expected: f64 = rows[i].iter().zip(&rows[j]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let tolerance = 1e-6 * len as f64;
                assert!((found[i][j] - expected).abs() <= tolerance, "{count} × {len}, ({i}, {j}): {}", found[i][j]);
            }
        }
    }
}
