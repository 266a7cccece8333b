//! The weight gradients of several tasks, kept apart, with their inner products.
//!
//! A piece of all tasks' gradients is multiplied, rounded, written past the caches and compared with that of every other task
//! while it is in the cache of one core: the inner products cost no walk through memory.

use super::{Left, Matrix, PART, Right, ready};
#[cfg(target_arch = "x86_64")]
use super::{kernels::Kernel, tile_products};
use crate::gradient::Gradient;
use crate::ops::buffers::Buffer;
use crate::ops::number::Number;
use crate::simd::simd;
use half::bf16;
use rayon::prelude::*;
use std::ops::Range;

/// Most rows of a piece: with many of them right operands are read seldom.
const ROWS: usize = 2 * PART;
/// Bytes of all tasks' pieces together, if that is possible.
const PIECES: usize = 320 << 10;
/// Pieces that tiles take together.
const WHOLE: usize = 16;

/// For every task `out[t][outputs, inputs] = a[span t]ᵀ · b[span t]`, of rows of `a` `[_, outputs]` and of `b` `[_, inputs]`, over
/// all threads. Gives the inner products of what was written, `[i][j]` for `j <= i`; with one result in bf16 those of all rounded to
/// bf16.
///
/// # Panics
/// If there are not as many results as spans, or one has not `outputs · inputs` numbers.
pub fn products_apart<S: Number>(
    shape: (usize, usize),
    spans: &[Range<usize>],
    a: Matrix<S>,
    b: Matrix<S>,
    out: Vec<Gradient>,
) -> Vec<Vec<f64>> {
    let tasks = spans.len();
    assert!(out.len() == tasks && out.iter().all(|out| out.len() == shape.0 * shape.1), "results of another shape");
    let rounded = out.iter().any(|out| matches!(out, Gradient::Bf16(_)));
    let out: Vec<Target> = out.into_iter().map(Target::new).collect();
    let sums = match rounded {
        true => by_pieces::<S, bf16>(shape, spans, a, b, &out),
        false => by_pieces::<S, f32>(shape, spans, a, b, &out),
    };
    // Pieces in order: the same bytes whatever the number of threads.
    let product = |i: usize, j: usize| sums.iter().map(|sums| f64::from(sums[i * tasks + j])).sum();
    (0..tasks).map(|i| (0..=i).map(|j| product(i, j)).collect()).collect()
}

/// The inner products over each piece, taken of numbers of type `P`.
fn by_pieces<S: Number, P: Number>(
    (outputs, inputs): (usize, usize),
    spans: &[Range<usize>],
    a: Matrix<S>,
    b: Matrix<S>,
    out: &[Target],
) -> Vec<Vec<f32>> {
    let (rows, columns) = piece_shape(inputs, spans.len(), size_of::<P>());
    let right = |span: &Range<usize>| Right::new(b.rows_from(span.start), span.len(), inputs, S::PRECISION);
    let rights: Vec<Right> = spans.par_iter().map(right).collect();
    let left = |first: usize, span: &Range<usize>| {
        Left::new(a.from(span.start, first).t(), (outputs - first).min(rows), span.len(), S::PRECISION)
    };
    let groups = (0..outputs.div_ceil(rows)).into_par_iter();
    let lefts: Vec<Vec<Left>> =
        groups.map(|group| spans.iter().map(|span| left(group * rows, span)).collect()).collect();
    let strips = inputs.div_ceil(columns);
    let piece = |index: usize| {
        let _ready = ready(S::PRECISION);
        let (group, first) = (index / strips, index / strips * rows);
        let rows = (outputs - first).min(rows);
        let columns = index % strips * columns..inputs.min((index % strips + 1) * columns);
        let (width, len) = (columns.len(), rows * columns.len());
        let mut sums = Buffer::<f32>::stale(len);
        let mut pieces = Buffer::<P>::stale(spans.len().next_multiple_of(WHOLE) * len);
        for (((left, right), piece), out) in lefts[group].iter().zip(&rights).zip(pieces.chunks_exact_mut(len)).zip(out)
        {
            left.times_part(0..rows, right, columns.clone(), &mut sums, width, false);
            // SAFETY: rows and columns lie inside the result, and in no other piece.
            unsafe { out.write(first * inputs + columns.start, inputs, width, &sums, piece) };
        }
        inner_products(&pieces, len, spans.len())
    };
    (0..lefts.len() * strips).into_par_iter().map(piece).collect()
}

/// Inner products of all pairs of `count` pieces of `len` numbers: `[i][j]` for `j <= i`, the rest unspecified. There is room for
/// whole tiles of pieces.
fn inner_products<P: Number>(pieces: &[P], len: usize, count: usize) -> Vec<f32> {
    let mut products = vec![0.0; count * count];
    #[cfg(target_arch = "x86_64")]
    if let Some(pieces) = P::as_bf16(pieces)
        && Kernel::of(P::PRECISION) == Kernel::Tiles
        && count >= tile_products::MANY
        && len.is_multiple_of(tile_products::DEPTH)
    {
        assert!(count.next_multiple_of(WHOLE) * len <= pieces.len(), "no room for whole tiles");
        // SAFETY: the kernel is chosen only where the instructions are; the rest was asked for above.
        unsafe { tile_products::add_inner_products(pieces.as_ptr().cast(), len, count, &mut products) };
        return products;
    }
    let pieces: Vec<&[P]> = pieces.chunks_exact(len).take(count).collect();
    P::add_inner_products(&pieces, &mut products);
    products
}

/// Rows and columns of a piece, given the bytes of a number.
fn piece_shape(inputs: usize, tasks: usize, number: usize) -> (usize, usize) {
    let most = |rows: usize| PIECES / (tasks * rows * number) / PART * PART;
    let rows = if most(ROWS) > 0 { ROWS } else { PART };
    let columns = most(rows).max(PART);
    // Equal shares, if it comes out.
    (rows, inputs.div_ceil(inputs.div_ceil(columns).max(1)).next_multiple_of(PART).max(PART))
}

/// Where the gradient of one task goes, for threads that write pieces of it.
enum Target {
    F32(*mut f32),
    Bf16(*mut bf16),
}

// SAFETY: who writes promises that no two threads write the same numbers.
unsafe impl Send for Target {}
// SAFETY: the same.
unsafe impl Sync for Target {}

impl Target {
    fn new(gradient: Gradient) -> Self {
        match gradient {
            Gradient::F32(numbers) => Self::F32(numbers.as_mut_ptr()),
            Gradient::Bf16(numbers) => Self::Bf16(numbers.as_mut_ptr()),
        }
    }

    /// Writes rows of `width` numbers, `step` apart, from place `at` on, past the caches, and what they are as numbers of type `P`
    /// to `piece`. That is bf16 for a result in bf16.
    ///
    /// # Safety
    /// The gradient must still be borrowed and reach so far, and nobody else use these numbers.
    unsafe fn write<P: Number>(&self, at: usize, step: usize, width: usize, sums: &[f32], piece: &mut [P]) {
        // SAFETY: as the caller promises.
        unsafe {
            match self {
                Self::F32(out) => {
                    round(sums, piece);
                    copy_rows(sums, width, out.add(at), step);
                }
                Self::Bf16(out) => round_rows(sums, width, piece, out.add(at), step),
            }
        }
    }
}

fn round<P: Number>(sums: &[f32], piece: &mut [P]) {
    simd(
        #[inline(always)]
        || P::round(sums, piece),
    );
}

/// Copies rows of `width` numbers to rows `step` apart, which are not read again soon.
///
/// # Safety
/// There must be room for whole rows at `to`, which nobody else may use.
unsafe fn copy_rows(from: &[f32], width: usize, to: *mut f32, step: usize) {
    // SAFETY: own kernels need the same instructions; the rest is as the caller promises.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if super::own_kernels() {
            return super::avx512::copy_rows_past_caches(from, width, to, step);
        }
        for (row, from) in from.chunks_exact(width).enumerate() {
            std::slice::from_raw_parts_mut(to.add(row * step), width).copy_from_slice(from);
        }
    }
}

/// Rounds rows of `width` numbers to `near`, and to rows `step` apart, which are not read again soon.
///
/// # Safety
/// As [`copy_rows`].
///
/// # Panics
/// If `P` is not bf16.
unsafe fn round_rows<P: Number>(from: &[f32], width: usize, near: &mut [P], far: *mut bf16, step: usize) {
    // SAFETY: own kernels need the same instructions, and numbers in bf16 are 16 bits; the rest is as the caller promises.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if super::own_kernels() && P::as_bf16(near).is_some() {
            let near = std::slice::from_raw_parts_mut(near.as_mut_ptr().cast(), near.len());
            return super::avx512::round_rows_past_caches(from, width, near, far.cast(), step);
        }
        round(from, near);
        let near = P::as_bf16(near).expect("pieces are bf16 if a result is");
        for (row, near) in near.chunks_exact(width).enumerate() {
            std::slice::from_raw_parts_mut(far.add(row * step), width).copy_from_slice(near);
        }
    }
}
