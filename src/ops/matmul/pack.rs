//! Lays operands out in words. Plain loops that become vector code.

use super::{COLUMNS, Matrix, ROWS, Word};
use crate::ops::buffers::Buffer;
use crate::ops::kernel::simd;
use crate::ops::number::Number;
use rayon::prelude::*;

/// Words from which panels are laid out by several threads.
const PARALLEL: usize = 1 << 16;

/// Words of a run of numbers along the depth.
#[inline(always)]
fn along<S: Number>(run: &[S], word: Word, out: &mut [u32]) {
    match word {
        Word::Single => {
            for (value, out) in run.iter().zip(out.iter_mut()) {
                *out = value.to_f32().to_bits();
            }
        }
        Word::Pair => {
            let (pairs, rest) = run.as_chunks::<2>();
            // SAFETY: a word is two halves, aligned more strictly than they, and every pattern is valid. Where words are
            // laid out the lower half comes first.
            let halves = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u16>(), 2 * pairs.len()) };
            S::bf16_run(pairs.as_flattened(), halves);
            if let [low] = rest {
                out[pairs.len()] = u32::from(low.bf16_bits());
            }
        }
    }
}

/// `[panel][word][column]`, zeros in the columns beyond the last.
pub fn right<S: Number>(b: Matrix<S>, depth: usize, columns: usize, word: Word) -> Buffer<u32> {
    let (words, panels) = (word.count(depth), columns.div_ceil(COLUMNS));
    let mut out = Buffer::stale(panels * words * COLUMNS);
    // Rows of several panels are neighbours in memory when columns are: one thread reads them together.
    let together = if b.column == 1 { 8 } else { 1 };
    let group = |(index, out): (usize, &mut [u32])| {
        let first = index * together * COLUMNS;
        let used = (columns - first).min(together * COLUMNS);
        simd(
            #[inline(always)]
            || match b.column {
                1 => across::<S, COLUMNS>(&b.data[first..], b.row, (depth, used), word, out),
                _ => right_panel(b, depth, first, used, word, out),
            },
        );
    };
    let size = words * COLUMNS * together;
    match out.len() {
        0 => {}
        len if len < PARALLEL => out.chunks_mut(size).enumerate().for_each(group),
        _ => out.par_chunks_mut(size).enumerate().for_each(group),
    }
    out
}

#[inline(always)]
fn right_panel<S: Number>(b: Matrix<S>, depth: usize, first: usize, used: usize, word: Word, out: &mut [u32]) {
    if used < COLUMNS {
        out.fill(0);
    }
    let numbers = if word == Word::Pair { 2 } else { 1 };
    let mut done = 0;
    if b.row == 1 {
        // Sixteen columns and sixteen words of depth at a time.
        done = used / 16 * 16;
        for column in (0..done).step_by(16) {
            for (block, out) in out.chunks_mut(16 * COLUMNS).enumerate() {
                let from = block * 16 * numbers;
                let len = (depth - from).min(16 * numbers);
                let mut rows = [[0; 16]; 16];
                for (i, row) in rows.iter_mut().enumerate() {
                    along(&b.data[(first + column + i) * b.column + from..][..len], word, row);
                }
                transpose(&rows, &mut out[column..]);
            }
        }
    }
    for column in done..used {
        let start = (first + column) * b.column;
        let run: Vec<S> = (0..depth).map(|d| b.data[start + d * b.row]).collect();
        let mut words = vec![0; word.count(depth)];
        along(&run, word, &mut words);
        for (out, word) in out[column..].iter_mut().step_by(COLUMNS).zip(words) {
            *out = word;
        }
    }
}

/// Writes word `j` of row `i` to `out[j * COLUMNS + i]`, as far as `out` reaches.
#[inline(always)]
fn transpose(rows: &[[u32; 16]; 16], out: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if out.len() >= 15 * COLUMNS + 16 && super::own_kernels() {
        // SAFETY: the instructions are there, and sixteen runs of sixteen words fit.
        unsafe { super::avx512::transpose(rows, out.as_mut_ptr(), COLUMNS) };
        return;
    }
    for (j, out) in out.chunks_mut(COLUMNS).enumerate().take(16) {
        for (out, row) in out.iter_mut().zip(rows) {
            *out = row[j];
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
                across::<S, ROWS>(a.data, a.column, (depth, rows), word, &mut out);
            } else {
                for (row, out) in out.chunks_exact_mut(words.max(1)).take(rows).enumerate() {
                    let start = row * a.row;
                    if a.column == 1 {
                        along(&a.data[start..][..depth], word, out);
                    } else {
                        let run: Vec<S> = (0..depth).map(|d| a.data[start + d * a.column]).collect();
                        along(&run, word, out);
                    }
                }
            }
        },
    );
    out
}

/// Words of `depth` rows of `columns` numbers, `row` apart: `[panel][word][column]`, panels `WIDTH` wide. Columns beyond
/// the last hold anything.
#[inline(always)]
fn across<S: Number, const WIDTH: usize>(
    from: &[S],
    row: usize,
    (depth, columns): (usize, usize),
    word: Word,
    out: &mut [u32],
) {
    let words = word.count(depth);
    if words == 0 || columns == 0 {
        return;
    }
    assert!((depth - 1) * row + columns <= from.len() && columns.next_multiple_of(WIDTH) * words <= out.len());
    match word {
        Word::Single => {
            for d in 0..depth {
                for (panel, run) in from[d * row..][..columns].chunks(WIDTH).enumerate() {
                    let out = &mut out[(panel * words + d) * WIDTH..];
                    for (out, value) in out.iter_mut().zip(run) {
                        *out = value.to_f32().to_bits();
                    }
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: words are laid out only where the instructions are; the assert above holds for both slices.
        Word::Pair => unsafe {
            super::avx512::pair_panels::<S, WIDTH>(from.as_ptr(), row, (depth, columns), out.as_mut_ptr());
        },
        #[cfg(not(target_arch = "x86_64"))]
        Word::Pair => unreachable!("words are laid out only where there are kernels for them"),
    }
}
