//! Lays operands out in words. Plain loops that become vector code.

use super::kernels::Kernel;
use super::{Matrix, Words};
use crate::ops::buffers::Buffer;
use crate::ops::number::Number;
use crate::simd::simd;
use rayon::prelude::*;

/// Words from which panels are laid out by several threads.
const PARALLEL: usize = 1 << 16;

/// Words of a run of numbers along the depth.
#[inline(always)]
fn along<S: Number>(run: &[S], kernel: Kernel, out: &mut [u32]) {
    match kernel.per_word() {
        1 => {
            for (value, out) in run.iter().zip(out.iter_mut()) {
                *out = value.to_f32().to_bits();
            }
        }
        _ => {
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

/// `[panel][word][column]`, zeros in the columns and words beyond the last.
pub fn right<S: Number>(b: Matrix<S>, depth: usize, columns: usize, kernel: Kernel) -> Buffer<u32> {
    match kernel {
        Kernel::Tiles => right_panels::<S, 32>(b, depth, columns, kernel),
        _ => right_panels::<S, 48>(b, depth, columns, kernel),
    }
}

fn right_panels<S: Number, const COLUMNS: usize>(
    b: Matrix<S>,
    depth: usize,
    columns: usize,
    kernel: Kernel,
) -> Buffer<u32> {
    let (words, panels) = (kernel.words(depth), columns.div_ceil(COLUMNS));
    let mut out = Buffer::stale(panels * words * COLUMNS);
    // Rows of several panels are neighbours in memory when columns are: one thread reads them together, if all have some.
    let share = panels.div_ceil(rayon::current_num_threads()).max(1);
    let together = if b.column == 1 { share.min(8) } else { 1 };
    let group = |(index, out): (usize, &mut [u32])| {
        let first = index * together * COLUMNS;
        let used = (columns - first).min(together * COLUMNS);
        for panel in out.chunks_mut(words * COLUMNS) {
            panel[depth.div_ceil(kernel.per_word()) * COLUMNS..].fill(0);
        }
        simd(
            #[inline(always)]
            || match b.column {
                1 => across::<S, COLUMNS>(&b.data[first..], b.row, (depth, used), words, kernel, out),
                _ => right_panel::<S, COLUMNS>(b, depth, first, used, kernel, out),
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
fn right_panel<S: Number, const COLUMNS: usize>(
    b: Matrix<S>,
    depth: usize,
    first: usize,
    used: usize,
    kernel: Kernel,
    out: &mut [u32],
) {
    if used < COLUMNS {
        out.fill(0);
    }
    let numbers = kernel.per_word();
    #[cfg(target_arch = "x86_64")]
    if numbers == 2 && b.row == 1 {
        let words = kernel.words(depth);
        assert!(used == 0 || depth == 0 || (first + used - 1) * b.column + depth <= b.data.len());
        assert!(out.len() >= words * COLUMNS);
        // SAFETY: pairs are laid out only where the instructions are; the asserts hold for both slices.
        unsafe {
            let from = b.data.as_ptr().wrapping_add(first * b.column);
            super::layout512::column_panel::<S, COLUMNS>(from, b.column, (depth, used), words, out.as_mut_ptr());
        }
        return;
    }
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
                    along(&b.data[(first + column + i) * b.column + from..][..len], kernel, row);
                }
                transpose(&rows, &mut out[column..], COLUMNS);
            }
        }
    }
    for column in done..used {
        let start = (first + column) * b.column;
        let run: Vec<S> = (0..depth).map(|d| b.data[start + d * b.row]).collect();
        let mut words = vec![0; depth.div_ceil(numbers)];
        along(&run, kernel, &mut words);
        for (out, word) in out[column..].iter_mut().step_by(COLUMNS).zip(words) {
            *out = word;
        }
    }
}

/// Writes word `j` of row `i` to `out[j * columns + i]`, as far as `out` reaches.
#[inline(always)]
fn transpose(rows: &[[u32; 16]; 16], out: &mut [u32], columns: usize) {
    #[cfg(target_arch = "x86_64")]
    if out.len() >= 15 * columns + 16 && super::own_kernels() {
        // SAFETY: the instructions are there, and sixteen runs of sixteen words fit.
        unsafe { super::layout512::transpose(rows, out.as_mut_ptr(), columns) };
        return;
    }
    for (j, out) in out.chunks_mut(columns).enumerate().take(16) {
        for (out, row) in out.iter_mut().zip(rows) {
            *out = row[j];
        }
    }
}

/// A left operand's words in a buffer.
pub fn left<'a, S: Number>(a: Matrix<S>, rows: usize, depth: usize, kernel: Kernel) -> Words<'a> {
    let (words, group) = (kernel.words(depth), kernel.group());
    if a.row != 1 && a.column != 1 {
        let numbers = (0..rows).flat_map(|i| (0..depth).map(move |d| a.data[i * a.row + d * a.column]));
        return left(Matrix::new(&numbers.collect::<Vec<S>>(), depth), rows, depth, kernel);
    }
    let mut out = Buffer::stale(rows.next_multiple_of(group) * words);
    let by_row = a.column == 1;
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Tiles => {
            assert!(a.holds(rows, depth));
            let (from, to) = (a.data.as_ptr(), out.as_mut_ptr());
            // SAFETY: operands are laid out in tiles only where the instructions are; the assert holds for `a`, and there are
            // whole tiles of words.
            unsafe {
                match by_row {
                    true => super::layout512::row_tiles(from, a.row, (rows, depth), to),
                    false => super::layout512::column_tiles(from, a.column, (depth, rows), to),
                }
            }
            Words::owned(out, [group * words, 16, 256])
        }
        _ if by_row => {
            simd(
                #[inline(always)]
                || {
                    for (row, out) in out.chunks_exact_mut(words.max(1)).take(rows).enumerate() {
                        along(&a.data[row * a.row..][..depth], kernel, out);
                    }
                },
            );
            Words::owned(out, [group * words, words, 1])
        }
        _ => {
            simd(
                #[inline(always)]
                || across::<S, 8>(a.data, a.column, (depth, rows), words, kernel, &mut out),
            );
            Words::owned(out, [group * words, 1, group])
        }
    }
}

/// Words of `depth` rows of `columns` numbers, `row` apart: `[panel][word][column]`, panels `WIDTH` wide and `words` long. Columns
/// beyond the last hold anything.
#[inline(always)]
fn across<S: Number, const WIDTH: usize>(
    from: &[S],
    row: usize,
    (depth, columns): (usize, usize),
    words: usize,
    kernel: Kernel,
    out: &mut [u32],
) {
    if depth == 0 || columns == 0 {
        return;
    }
    assert!((depth - 1) * row + columns <= from.len() && columns.next_multiple_of(WIDTH) * words <= out.len());
    match kernel.per_word() {
        1 => {
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
        _ => unsafe {
            super::layout512::pair_panels::<S, WIDTH>(from.as_ptr(), row, (depth, columns), words, out.as_mut_ptr());
        },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("words are laid out only where there are kernels for them"),
    }
}
