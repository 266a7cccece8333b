//! Running traces of gradient rows.

use super::gramian::{SPAN, add, slice_products, sum_up};
use super::{Arena, Parts, Row, Rows};
use crate::simd::simd;
use rayon::prelude::*;

/// A trace of each gradient row over the steps: `y ← a·y + b·g`, from zeros.
///
/// Tables have no trace, their gradients touch other rows in each step: theirs count as `b / (1 - a) · g`, what a trace
/// would be after many steps with this gradient.
#[derive(Clone, Debug)]
pub struct Traces {
    rows: Vec<Vec<f32>>,
}

/// A piece of a row's gradients and of its trace.
struct Span<'a> {
    g: &'a mut [f32],
    y: &'a [f32],
    factors: [f32; 2],
}

/// Puts the new traces of all rows in place of the gradients, and multiplies them while they are in the cache.
fn follow_span(rows: Vec<Span>) -> Vec<f32> {
    let moved = |Span { g, y, factors: [a, b] }| {
        simd(
            #[inline(always)]
            || g.iter_mut().zip(y).for_each(|(g, y)| *g = a * y + b * *g),
        );
        &*g
    };
    slice_products(&rows.into_iter().map(moved).collect::<Vec<_>>())
}

impl Traces {
    /// Zeros for so many rows of an arena's gradients.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self { rows: vec![vec![0.0; arena.shared_len()]; rows] }
    }

    /// Moves the traces of the rows that were used, puts them in place of the gradients, and gives their inner products as
    /// [`Rows::gramians`] does: a walk over the rows is what this costs, so there is one for all of it. Factors `[a, b]` are
    /// given by part and row. The traces are back here after [`Traces::keep`].
    ///
    /// # Panics
    /// If the gradients are not f32.
    pub fn follow(&mut self, gradients: &mut Rows, parts: &Parts, factors: &[Vec<[f64; 2]>]) -> Vec<Vec<Vec<f64>>> {
        gradients.forget_products();
        let (used, count) = (gradients.used(), gradients.shared.len());
        let mut gramians = vec![vec![vec![0.0; count]; count]; parts.count()];
        if used.is_empty() {
            return gramians;
        }
        for (part, range) in parts.ranges() {
            let mut spans: Vec<Vec<Span>> = Vec::new();
            spans.resize_with(range.len().div_ceil(SPAN), || Vec::with_capacity(used.len()));
            let rows = gradients.shared.iter_mut().zip(&self.rows).enumerate().filter(|(row, _)| used.contains(row));
            for (row, (gradients, traces)) in rows {
                let Row::F32(gradients) = gradients else { panic!("traces are of rows in f32") };
                let factors = factors[*part][row].map(|factor| factor as f32);
                let pieces = gradients[range.clone()].chunks_mut(SPAN).zip(traces[range.clone()].chunks(SPAN));
                spans.iter_mut().zip(pieces).for_each(|(span, (g, y))| span.push(Span { g, y, factors }));
            }
            let partial: Vec<Vec<f32>> = spans.into_par_iter().map(follow_span).collect();
            let products = sum_up(&partial, used.len());
            add(&mut gramians[*part], &used, |i, j| products[i][j]);
        }
        for &row in &used {
            for (table, part) in gradients.tables[row].iter_mut().zip(parts.tables()) {
                let [a, b] = factors[*part][row];
                table.scale(if a < 1.0 { (b / (1.0 - a)) as f32 } else { 0.0 });
            }
        }
        gradients.add_tables(parts, &mut gramians);
        gramians
    }

    /// Takes the traces back from the gradients' place, which is to be overwritten.
    pub fn keep(&mut self, gradients: &mut Rows) {
        for row in gradients.used() {
            if let Row::F32(values) = &mut gradients.shared[row] {
                std::mem::swap(values, &mut self.rows[row]);
            }
        }
    }

    /// The numbers, by row.
    pub fn rows(&self) -> &[Vec<f32>] {
        &self.rows
    }

    /// The numbers, to go on from saved ones.
    pub fn rows_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.rows
    }
}
