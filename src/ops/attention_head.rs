//! Attention of one head within one sequence, by blocks of queries; one thread.

use super::buffers::Buffer;
use super::kernel::simd;
use super::math::exp;
use super::matmul::{Left, Matrix, Right};
use super::number::Number;
use super::random::Dropout;
use super::relative;

/// Queries whose scores are computed at a time.
const QUERIES: usize = 64;

/// Queries, keys and values of one sequence and head, `[len, d]` each.
#[derive(Clone, Copy)]
pub struct Head<'a, S> {
    q: Matrix<'a, S>,
    k: Matrix<'a, S>,
    v: Matrix<'a, S>,
}

impl<'a, S> Head<'a, S> {
    /// The head whose numbers begin at row `first` and column `column`.
    pub fn new([q, k, v]: [Matrix<'a, S>; 3], first: usize, column: usize) -> Self {
        let at = |matrix: Matrix<'a, S>| Matrix { data: &matrix.data[first * matrix.row + column..], ..matrix };
        Self { q: at(q), k: at(k), v: at(v) }
    }
}

/// Gradients of one head, `[len, d]` each, and of the relative positions in reach.
pub struct HeadGradients {
    pub q: Buffer<f32>,
    pub k: Buffer<f32>,
    pub v: Buffer<f32>,
    pub window: Vec<f32>,
}

/// How the scores of one sequence and head are computed.
pub struct Scores<'a> {
    /// Tokens of the sequence.
    pub len: usize,
    /// Width of the head.
    pub d: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Dropout of the probabilities, and the number of the first of them.
    pub dropout: Option<(Dropout, u64)>,
    /// Table of scores by distance, and whether keys take part.
    pub relative: Option<(&'a [f32], bool)>,
}

impl Scores<'_> {
    /// Rows of queries `first..first + rows`, block by block. Relative scores are computed for all queries at once.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let (len, size) = (self.len, if self.relative.is_some() { self.len } else { QUERIES });
        (0..len).step_by(size.max(1)).map(move |first| (first, (len - first).min(size)))
    }

    /// Numbers from a row of products to the next: rows begin at cache lines, and not all in the same few sets of the cache.
    fn stride(&self) -> usize {
        let lines = self.len.div_ceil(16);
        16 * if lines.is_multiple_of(8) { lines + 1 } else { lines }
    }

    /// Attention probabilities `[rows, len]` before dropout; `scores` is room for `rows` times the [stride](Self::stride).
    fn probabilities<S: Number>(
        &self,
        head: Head<S>,
        keys: &Right,
        (first, rows): (usize, usize),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let (len, d, stride) = (self.len, self.d, self.stride());
        Left::new(head.q.rows_from(first), rows, d, S::PRECISION).times(keys, scores, stride, false);
        let mut scale = self.scale;
        if let Some((table, with_keys)) = self.relative {
            scores.iter_mut().for_each(|score| *score *= scale);
            let window = relative::window(table, len, d);
            relative::add_scores(scores, stride, len, d, scale, head.q, window, false);
            if with_keys {
                relative::add_scores(scores, stride, len, d, scale, head.k, window, true);
            }
            scale = 1.0;
        }
        simd(
            #[inline(always)]
            || {
                for (scores, row) in scores.chunks_exact(stride).zip(out.chunks_exact_mut(len)) {
                    softmax(&scores[..len], scale, row);
                }
            },
        );
    }

    /// Probabilities of queries from `first` on after dropout.
    fn drop<S: Number>(&self, first: usize, p: &[f32], out: &mut [S]) {
        simd(
            #[inline(always)]
            || match self.dropout {
                Some((dropout, start)) => dropout.mask(start + (first * self.len) as u64, p, out),
                None => S::round(p, out),
            },
        );
    }

    /// The head's context `[len, d]`.
    pub fn forward<S: Number>(&self, head: Head<S>, out: &mut [f32]) {
        let (len, d, precision) = (self.len, self.d, S::PRECISION);
        let keys = Right::new(head.k.t(), d, len, precision);
        let values = Right::new(head.v, len, d, precision);
        for block in self.blocks() {
            let (first, rows) = block;
            let mut scores = Buffer::stale(rows * self.stride());
            let mut p = Buffer::stale(rows * len);
            self.probabilities(head, &keys, block, &mut scores, &mut p);
            let mut dropped = Buffer::<S>::stale(rows * len);
            self.drop(first, &p, &mut dropped);
            let left = Left::new(Matrix::new(&dropped[..], len), rows, len, precision);
            left.times(&values, &mut out[first * d..], d, false);
        }
    }

    /// Gradients from the gradient `dy` `[len, d]` of the context.
    pub fn backward<S: Number>(&self, head: Head<S>, dy: Matrix<S>) -> HeadGradients {
        let (len, d, stride, precision) = (self.len, self.d, self.stride(), S::PRECISION);
        let keys = Right::new(head.k.t(), d, len, precision);
        let keys_again = Right::new(head.k, len, d, precision);
        let values = Right::new(head.v.t(), d, len, precision);
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| Buffer::<f32>::stale(len * d));
        let mut window = Vec::new();
        for block in self.blocks() {
            let (first, rows) = block;
            let (mut p, mut scores) = (Buffer::stale(rows * len), Buffer::stale(rows * stride));
            let dy = dy.rows_from(first);
            self.probabilities(head, &keys, block, &mut scores, &mut p);
            let [mut dropped, mut ds] = [(); 2].map(|()| Buffer::<S>::stale(rows * len));
            self.drop(first, &p, &mut dropped);
            Left::new(Matrix::new(&dropped[..], len).t(), len, rows, precision).times(
                &Right::new(dy, rows, d, precision),
                &mut dv,
                d,
                first > 0,
            );
            // From here on `p` holds the gradients of the scores.
            let dp = &mut scores;
            Left::new(dy, rows, d, precision).times(&values, dp, stride, false);
            simd(
                #[inline(always)]
                || {
                    let rows = p.chunks_exact_mut(len).zip(dropped.chunks_exact(len));
                    for ((dp, (p, dropped)), ds) in dp.chunks_exact_mut(stride).zip(rows).zip(ds.chunks_exact_mut(len))
                    {
                        softmax_backward(p, dropped, &mut dp[..len], self.scale);
                        S::round(p, ds);
                    }
                },
            );
            let ds = Matrix::new(&ds[..], len);
            Left::new(ds, rows, len, precision).times(&keys_again, &mut dq[first * d..], d, false);
            let queries = Right::new(head.q.rows_from(first), rows, d, precision);
            Left::new(ds.t(), len, rows, precision).times(&queries, &mut dk, d, first > 0);
            if let Some((table, with_keys)) = self.relative {
                window.resize((2 * len - 1) * d, 0.0);
                let scores = relative::Scores { ds: &p, len, d, table };
                scores.backward(head.q, &mut dq, &mut window, false);
                if with_keys {
                    scores.backward(head.k, &mut dk, &mut window, true);
                }
            }
        }
        HeadGradients { q: dq, k: dk, v: dv, window }
    }
}

/// Softmax of one row of scores times `scale`; rows with NaN stay NaN.
#[inline(always)]
fn softmax(scores: &[f32], scale: f32, out: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = scores.as_chunks::<16>();
    for block in blocks {
        for (max, x) in lanes.iter_mut().zip(block) {
            *max = max.max(*x);
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let mut sums = [0.0f32; 16];
    let (outs, out_rest) = out.as_chunks_mut::<16>();
    for (block, out) in blocks.iter().zip(outs) {
        for ((sum, x), out) in sums.iter_mut().zip(block).zip(out) {
            *out = exp((*x - max) * scale);
            *sum += *out;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for (x, out) in rest.iter().zip(out_rest) {
        *out = exp((*x - max) * scale);
        sum += *out;
    }
    let factor = 1.0 / sum;
    for x in out.iter_mut() {
        *x *= factor;
    }
}

/// `dS = scale · (D ∘ dD - P · rowsum(D ∘ dD))` of one row, in the place of `p`, where `D = P ∘ M` are the probabilities after
/// dropout and `dd` their gradient: `P ∘ (M ∘ dD)` is `D ∘ dD`, so that no mask is needed.
#[inline(always)]
fn softmax_backward<S: Number>(p: &mut [f32], dropped: &[S], dd: &mut [f32], scale: f32) {
    let mut lanes = [0.0f32; 16];
    let ((blocks, rest), (dd_blocks, dd_rest)) = (dropped.as_chunks::<16>(), dd.as_chunks_mut::<16>());
    for (block, dd) in blocks.iter().zip(dd_blocks) {
        for ((lane, x), dd) in lanes.iter_mut().zip(block).zip(dd) {
            *dd *= x.to_f32();
            *lane += *dd;
        }
    }
    let mut dot = lanes.iter().sum::<f32>();
    for (x, dd) in rest.iter().zip(dd_rest) {
        *dd *= x.to_f32();
        dot += *dd;
    }
    for (p, dd) in p.iter_mut().zip(dd) {
        *p = scale * (*dd - *p * dot);
    }
}
