//! Attention scores by distance: row `i - j + positions - 1` of a table, times the query at `i` or the key at `j`.

use super::matmul::{Matrix, product};
use super::number::Number;

/// First row of a table of `rows` distances that a sequence of `len` tokens uses.
pub fn first_row(rows: usize, len: usize) -> usize {
    rows.div_ceil(2) - len
}

/// The `2 · len - 1` rows of the table that a sequence of `len` tokens uses, distance `1 - len` first.
pub fn window(table: &[f32], len: usize, d: usize) -> &[f32] {
    match len {
        0 => &[],
        _ => &table[first_row(table.len() / d, len) * d..][..(2 * len - 1) * d],
    }
}

/// Adds `scale · x · window[i - j]` to each score `(i, j)`, rows `stride` apart; `x` is the query at `i`, or with `keys` the key at `j`.
#[expect(clippy::too_many_arguments)]
pub fn add_scores<S: Number>(
    scores: &mut [f32],
    stride: usize,
    len: usize,
    d: usize,
    scale: f32,
    x: Matrix<S>,
    window: &[f32],
    keys: bool,
) {
    let distances = (2 * len).saturating_sub(1);
    let mut products = vec![0.0; len * distances];
    product((len, distances, d), x, Matrix::new(window, d).t(), &mut products, distances, false);
    for i in 0..len {
        for j in 0..len {
            let row = if keys { j } else { i };
            scores[i * stride + j] += scale * products[row * distances + i + len - 1 - j];
        }
    }
}

/// Gradients of the scores of one sequence and head.
pub struct Scores<'a> {
    /// `[len, len]`, times the factor of the scores.
    pub ds: &'a [f32],
    /// Tokens of the sequence.
    pub len: usize,
    /// Width of a head.
    pub d: usize,
    /// The whole table.
    pub table: &'a [f32],
}

impl Scores<'_> {
    /// Adds the gradient of `x` (queries or keys) to `dx` `[len, d]`, and of the window to `dw`.
    pub fn backward<S: Number>(&self, x: Matrix<S>, dx: &mut [f32], dw: &mut [f32], keys: bool) {
        let (len, d) = (self.len, self.d);
        let distances = 2 * len - 1;
        let mut products = vec![0.0; len * distances];
        for i in 0..len {
            for j in 0..len {
                let row = if keys { j } else { i };
                products[row * distances + i + len - 1 - j] += self.ds[i * len + j];
            }
        }
        let products = Matrix::new(&products[..], distances);
        let window = Matrix::new(window(self.table, len, d), d);
        product((len, d, distances), products, window, dx, d, true);
        product((distances, d, len), products.t(), x, dw, d, true);
    }
}
