//! Attention of one head within one sequence, by blocks of queries; one thread.

use super::buffers::Buffer;
use super::math::exp;
use super::matmul::{Left, Matrix, Right};
use super::number::Number;
use super::random::Dropout;
use super::relative;
use crate::simd::simd;

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
    pub fn new(qkv: [Matrix<'a, S>; 3], first: usize, column: usize) -> Self {
        let [q, k, v] = qkv.map(|matrix| matrix.from(first, column));
        Self { q, k, v }
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

    /// Scores of a block of queries, `rows` times the [stride](Self::stride), and the factor that is still to come.
    fn products<S: Number>(&self, head: Head<S>, keys: &Right, (first, rows): (usize, usize), out: &mut [f32]) -> f32 {
        let (len, d, stride) = (self.len, self.d, self.stride());
        Left::new(head.q.rows_from(first), rows, d, S::PRECISION).times(keys, out, stride, false);
        let Some((table, with_keys)) = self.relative else { return self.scale };
        out.iter_mut().for_each(|score| *score *= self.scale);
        let window = relative::window(table, len, d);
        relative::add_scores(out, stride, len, d, self.scale, head.q, window, false);
        if with_keys {
            relative::add_scores(out, stride, len, d, self.scale, head.k, window, true);
        }
        1.0
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

    /// The head's context `[len, d]`. If there is room, `log_sums` gets of each query the logarithm of the sum of its scores'
    /// exponentials.
    pub fn forward<S: Number>(&self, head: Head<S>, out: &mut [f32], log_sums: &mut [f32]) {
        let (len, d, stride, precision) = (self.len, self.d, self.stride(), S::PRECISION);
        let keys = Right::new(head.k.t(), d, len, precision);
        let values = Right::new(head.v, len, d, precision);
        for block in self.blocks() {
            let (first, rows) = block;
            let (mut scores, mut p) = (Buffer::stale(rows * stride), Buffer::stale(rows * len));
            let scale = self.products(head, &keys, block, &mut scores);
            let mut factors = vec![0.0; rows];
            simd(
                #[inline(always)]
                || {
                    let rows = scores.chunks_exact(stride).zip(p.chunks_exact_mut(len)).zip(&mut factors);
                    for (row, ((scores, p), factor)) in rows.enumerate() {
                        let (max, sum) = exponentials(&scores[..len], scale, p);
                        *factor = 1.0 / sum;
                        if let Some(log_sum) = log_sums.get_mut(first + row) {
                            *log_sum = max.mul_add(scale, sum.ln());
                        }
                    }
                },
            );
            let mut dropped = Buffer::<S>::stale(rows * len);
            self.drop(first, &p, &mut dropped);
            let left = Left::new(Matrix::new(&dropped[..], len), rows, len, precision);
            let out = &mut out[first * d..][..rows * d];
            left.times(&values, out, d, false);
            // The context is shorter than the row of probabilities: it is divided by their sum in their place.
            simd(
                #[inline(always)]
                || {
                    for (context, factor) in out.chunks_exact_mut(d).zip(&factors) {
                        context.iter_mut().for_each(|x| *x *= factor);
                    }
                },
            );
        }
    }

    /// Gradients from the context `y` `[len, d]`, its gradient `dy` and what the forward pass left in `log_sums`.
    pub fn backward<S: Number>(&self, head: Head<S>, [y, dy]: [Matrix<S>; 2], log_sums: &[f32]) -> HeadGradients {
        let (len, d, stride, precision) = (self.len, self.d, self.stride(), S::PRECISION);
        let keys = Right::new(head.k.t(), d, len, precision);
        let keys_again = Right::new(head.k, len, d, precision);
        let values = Right::new(head.v.t(), d, len, precision);
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| Buffer::<f32>::stale(len * d));
        let mut window = Vec::new();
        for block in self.blocks() {
            let (first, rows) = block;
            let (mut p, mut scores) = (Buffer::stale(rows * len), Buffer::stale(rows * stride));
            let (y, dy, log_sums) = (y.rows_from(first), dy.rows_from(first), &log_sums[first..]);
            let scale = self.products(head, &keys, block, &mut scores);
            simd(
                #[inline(always)]
                || {
                    let rows = scores.chunks_exact(stride).zip(p.chunks_exact_mut(len)).zip(log_sums);
                    for ((scores, p), log_sum) in rows {
                        for (score, p) in scores.iter().zip(p) {
                            *p = exp(score.mul_add(scale, -log_sum));
                        }
                    }
                },
            );
            let [mut dropped, mut ds] = [(); 2].map(|()| Buffer::<S>::stale(rows * len));
            self.drop(first, &p, &mut dropped);
            Left::new(Matrix::new(&dropped[..], len).t(), len, rows, precision).times(
                &Right::new(dy, rows, d, precision),
                &mut dv,
                d,
                first > 0,
            );
            let dp = &mut scores;
            Left::new(dy, rows, d, precision).times(&values, dp, stride, false);
            simd(
                #[inline(always)]
                || {
                    let rows = p.chunks_exact_mut(len).zip(dropped.chunks_exact(len)).zip(dp.chunks_exact(stride));
                    for (row, ((p, dropped), dp)) in rows.enumerate() {
                        softmax_backward(p, dropped, dp, dot(y, dy, row, d), self.scale);
                    }
                    S::round(&p, &mut ds);
                },
            );
            // `p` holds the gradients of the scores now.
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

/// The exponential of each score less the largest one, times `scale`; gives the largest score and their sum. A row with NaN has a NaN
/// for a sum.
#[inline(always)]
fn exponentials(scores: &[f32], scale: f32, out: &mut [f32]) -> (f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = scores.as_chunks::<16>();
    for block in blocks {
        for (max, x) in lanes.iter_mut().zip(block) {
            // Not `f32::max`, which is three instructions; a NaN shows in the sum.
            *max = if *x > *max { *x } else { *max };
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
    (max, sum)
}

/// Inner product of a row of `a` and of `b`, `d` numbers long.
#[inline(always)]
fn dot<S: Number>(a: Matrix<S>, b: Matrix<S>, row: usize, d: usize) -> f32 {
    let (a, b) = (&a.data[row * a.row..][..d], &b.data[row * b.row..][..d]);
    let mut lanes = [0.0f32; 16];
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a.to_f32() * b.to_f32();
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a.to_f32() * b.to_f32()).sum::<f32>()
}

/// `dS = scale · (D ∘ dD - P · dy·y)` of one row, in the place of `p`, where `D = P ∘ M` are the probabilities after dropout and `dd`
/// their gradient. `P ∘ (M ∘ dD)` is `D ∘ dD`, so that no mask is needed, and its sum is that of the context times its gradient
/// (Dao et al. 2022, FlashAttention, appendix B).
#[inline(always)]
fn softmax_backward<S: Number>(p: &mut [f32], dropped: &[S], dd: &[f32], dot: f32, scale: f32) {
    for (p, (dropped, dd)) in p.iter_mut().zip(dropped.iter().zip(dd)) {
        *p = scale * (dropped.to_f32() * dd - *p * dot);
    }
}
