//! Lays operands out in words. Plain loops that become vector code.

use super::{COLUMNS, Matrix, ROWS, Word};
use crate::ops::buffers::Buffer;
use crate::ops::kernel::simd;
use crate::ops::number::Number;
use rayon::prelude::*;

/// Words from which panels are laid out by several threads.
const PARALLEL: usize = 1 << 16;

#[inline(always)]
fn pair<S: Number>(low: S, high: S) -> u32 {
    u32::from(low.bf16_bits()) | u32::from(high.bf16_bits()) << 16
}

/// Words of two runs of numbers at neighbouring depths; `high` may be absent at an odd end.
#[inline(always)]
fn across<S: Number>(low: &[S], high: Option<&[S]>, word: Word, out: &mut [u32]) {
    match (word, high) {
        (Word::Single, _) => {
            for (out, low) in out.iter_mut().zip(low) {
                *out = low.to_f32().to_bits();
            }
        }
        (Word::Pair, Some(high)) => {
            for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
                *out = pair(*low, *high);
            }
        }
        (Word::Pair, None) => {
            for (out, low) in out.iter_mut().zip(low) {
                *out = u32::from(low.bf16_bits());
            }
        }
    }
}

/// Words of a run of numbers along the depth, `step` apart in `out`.
#[inline(always)]
fn along<S: Number>(run: &[S], word: Word, out: &mut [u32], step: usize) {
    match word {
        Word::Single => {
            for (value, out) in run.iter().zip(out.iter_mut().step_by(step)) {
                *out = value.to_f32().to_bits();
            }
        }
        Word::Pair => {
            let (pairs, rest) = run.as_chunks::<2>();
            for ([low, high], out) in pairs.iter().zip(out.iter_mut().step_by(step)) {
                *out = pair(*low, *high);
            }
            if let [low] = rest {
                out[pairs.len() * step] = u32::from(low.bf16_bits());
            }
        }
    }
}

/// `[panel][word][column]`, zeros in the columns beyond the last.
pub fn right<S: Number>(b: Matrix<S>, depth: usize, columns: usize, word: Word) -> Buffer<u32> {
    let (words, panels) = (word.count(depth), columns.div_ceil(COLUMNS));
    let mut out = Buffer::stale(panels * words * COLUMNS);
    let panel = |(index, out): (usize, &mut [u32])| {
        let first = index * COLUMNS;
        let used = (columns - first).min(COLUMNS);
        simd(
            #[inline(always)]
            || right_panel(b, depth, first, used, word, out),
        );
    };
    match out.len() {
        0 => {}
        len if len < PARALLEL => out.chunks_exact_mut(words * COLUMNS).enumerate().for_each(panel),
        _ => out.par_chunks_exact_mut(words * COLUMNS).enumerate().for_each(panel),
    }
    out
}

#[inline(always)]
fn right_panel<S: Number>(b: Matrix<S>, depth: usize, first: usize, used: usize, word: Word, out: &mut [u32]) {
    if b.column == 1 {
        let run = |d: usize| &b.data[d * b.row + first..][..used];
        let step = depth.div_ceil(word.count(depth));
        for (index, out) in out.chunks_exact_mut(COLUMNS).enumerate() {
            let d = index * step;
            across(run(d), (d + 1 < depth && step == 2).then(|| run(d + 1)), word, &mut out[..used]);
            out[used..].fill(0);
        }
        return;
    }
    if used < COLUMNS {
        out.fill(0);
    }
    for column in 0..used {
        let start = (first + column) * b.column;
        if b.row == 1 {
            along(&b.data[start..][..depth], word, &mut out[column..], COLUMNS);
        } else {
            let run: Vec<S> = (0..depth).map(|d| b.data[start + d * b.row]).collect();
            along(&run, word, &mut out[column..], COLUMNS);
        }
    }
}

/// `[group of rows][word][row]` if `a`'s rows are neighbours, `[row][word]` else.
pub fn left<S: Number>(a: Matrix<S>, rows: usize, depth: usize, word: Word) -> Buffer<u32> {
    let words = word.count(depth);
    let mut out = Buffer::stale(rows.next_multiple_of(ROWS) * words);
    simd(
        #[inline(always)]
        || {
            if a.row == 1 {
                let step = depth.div_ceil(words.max(1)).max(1);
                for (group, out) in out.chunks_exact_mut((words * ROWS).max(1)).enumerate() {
                    let first = group * ROWS;
                    let used = (rows - first).min(ROWS);
                    let run = |d: usize| &a.data[d * a.column + first..][..used];
                    for (index, out) in out.chunks_exact_mut(ROWS).enumerate() {
                        let d = index * step;
                        across(run(d), (d + 1 < depth && step == 2).then(|| run(d + 1)), word, &mut out[..used]);
                    }
                }
            } else {
                for (row, out) in out.chunks_exact_mut(words.max(1)).take(rows).enumerate() {
                    let start = row * a.row;
                    if a.column == 1 {
                        along(&a.data[start..][..depth], word, out, 1);
                    } else {
                        let run: Vec<S> = (0..depth).map(|d| a.data[start + d * a.column]).collect();
                        along(&run, word, out, 1);
                    }
                }
            }
        },
    );
    out
}
