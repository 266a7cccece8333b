//! Running traces of gradient rows.

use super::gramian::{SPAN, add, slice_products, sum_up};
use super::{Arena, Parts, Row, Rows};
use rayon::prelude::*;

/// A trace of each gradient row over the steps: `y ← a·y + b·g`, from zeros.
///
/// They are f32, whatever the gradients are: small changes of a trace would be lost in bf16. Tables have no trace, their gradients
/// touch other rows in each step: theirs count as `b / (1 - a) · g`, what a trace would be after many steps with this gradient.
#[derive(Clone, Debug)]
pub struct Traces {
    rows: Vec<Vec<f32>>,
    /// Gradient rows whose place traces have.
    parked: Vec<Option<Row>>,
}

/// A piece of a trace, and where the gradients are that it follows.
struct Span<'a> {
    y: &'a mut [f32],
    gradients: &'a Row,
    first: usize,
    factors: [f32; 2],
}

/// Moves pieces of all traces, and multiplies them while they are in the cache.
fn follow_span(spans: Vec<Span>) -> Vec<f32> {
    let moved = |Span { y, gradients, first, factors: [a, b] }| {
        gradients.blend(first..first + y.len(), [a, b], y);
        &*y
    };
    slice_products(&spans.into_iter().map(moved).collect::<Vec<_>>())
}

impl Traces {
    /// Zeros for so many rows of an arena's gradients.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self { rows: vec![vec![0.0; arena.shared_len()]; rows], parked: vec![None; rows] }
    }

    /// Moves the traces of the rows that were used, puts them in place of the gradients, and gives their inner products as
    /// [`Rows::gramians`] does: a walk over the rows is what this costs, so there is one for all of it. Factors `[a, b]` are
    /// given by part and row. The traces are back here after [`Traces::keep`].
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
            let rows = gradients.shared.iter().zip(&mut self.rows).enumerate().filter(|(row, _)| used.contains(row));
            for (row, (gradients, traces)) in rows {
                let factors = factors[*part][row].map(|factor| factor as f32);
                for (index, y) in traces[range.clone()].chunks_mut(SPAN).enumerate() {
                    spans[index].push(Span { y, gradients, first: range.start + index * SPAN, factors });
                }
            }
            let partial: Vec<Vec<f32>> = spans.into_par_iter().map(follow_span).collect();
            let products = sum_up(&partial, used.len());
            add(&mut gramians[*part], &used, |i, j| products[i][j]);
        }
        for &row in &used {
            let trace = Row::F32(std::mem::take(&mut self.rows[row]));
            self.parked[row] = Some(std::mem::replace(&mut gradients.shared[row], trace));
            for (table, part) in gradients.tables[row].iter_mut().zip(parts.tables()) {
                let [a, b] = factors[*part][row];
                table.scale(if a < 1.0 { (b / (1.0 - a)) as f32 } else { 0.0 });
            }
        }
        gradients.add_tables(parts, &mut gramians);
        gramians
    }

    /// Takes the traces back from the gradients' place, which the gradients get back.
    pub fn keep(&mut self, gradients: &mut Rows) {
        for ((trace, row), parked) in self.rows.iter_mut().zip(&mut gradients.shared).zip(&mut self.parked) {
            if let Some(parked) = parked.take()
                && let Row::F32(values) = std::mem::replace(row, parked)
            {
                *trace = values;
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
