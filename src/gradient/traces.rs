//! Running traces of gradient rows.

use super::{Arena, Parts, Row, Rows};
use rayon::prelude::*;

/// A trace of each gradient row over the steps: `y ← a·y + b·g`, from zeros.
///
/// Tables have no trace, their gradients touch other rows in each step: theirs count as `b / (1 - a) · g`, what a trace
/// would be after many steps with this gradient.
#[derive(Clone, Debug)]
pub struct Traces {
    rows: Vec<Vec<f32>>,
}

/// Numbers that one thread handles at a time.
const CHUNK: usize = 1 << 13;

impl Traces {
    /// Zeros for so many rows of an arena's gradients.
    pub fn new(arena: &Arena, rows: usize) -> Self {
        Self { rows: vec![vec![0.0; arena.shared_len()]; rows] }
    }

    /// Moves the traces of the rows that were used, and puts them in place of the gradients; factors `[a, b]` are given by
    /// part and row. The traces are back here after [`Traces::keep`].
    ///
    /// # Panics
    /// If the gradients are not f32.
    pub fn follow(&mut self, gradients: &mut Rows, parts: &Parts, factors: &[Vec<[f64; 2]>]) {
        for row in gradients.used() {
            let Row::F32(values) = &mut gradients.shared[row] else { panic!("traces are of rows in f32") };
            for (part, range) in parts.ranges() {
                let [a, b] = factors[*part][row].map(|factor| factor as f32);
                let old = self.rows[row][range.clone()].par_chunks(CHUNK);
                values[range.clone()].par_chunks_mut(CHUNK).zip(old).for_each(|(g, y)| {
                    pulp::Arch::new().dispatch(
                        #[inline(always)]
                        || g.iter_mut().zip(y).for_each(|(g, y)| *g = a * y + b * *g),
                    );
                });
            }
            for (table, part) in gradients.tables[row].iter_mut().zip(parts.tables()) {
                let [a, b] = factors[*part][row];
                table.scale(if a < 1.0 { (b / (1.0 - a)) as f32 } else { 0.0 });
            }
        }
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
