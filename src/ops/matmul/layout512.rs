//! Operands laid out by vectors of AVX-512: pairs of bf16 in panels for the right operand, in groups of rows or in tiles for the
//! left one.

use crate::ops::number::{Number, Precision};
use std::arch::x86_64::*;

/// The bf16 nearest to each of the first numbers at `from`, one in the lower half of each word; `mask` says how many.
///
/// # Safety
/// The processor must have the instructions; the numbers of the mask must be readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load<S: Number>(from: *const S, mask: u16) -> __m512i {
    // SAFETY: `S` is f32 or bf16, as its precision says.
    unsafe {
        let halves = match S::PRECISION == Precision::F32 {
            true => {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from.cast())))
            }
            false => _mm256_maskz_loadu_epi16(mask, from.cast()),
        };
        _mm512_cvtepu16_epi32(halves)
    }
}

/// Pairs of the numbers at `low` and, if there is one, at `high`, as [`load`] gives them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_pairs<S: Number>(low: *const S, high: Option<*const S>, mask: u16) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe {
        let words = load(low, mask);
        match high {
            Some(high) => _mm512_or_si512(words, _mm512_slli_epi32::<16>(load(high, mask))),
            None => words,
        }
    }
}

/// Asks for 128 bytes, without waiting for them.
#[inline]
#[target_feature(enable = "avx512f")]
fn ask<S>(numbers: *const S) {
    // It changes nothing but caches, wherever the address is.
    _mm_prefetch::<_MM_HINT_T0>(numbers.cast());
    _mm_prefetch::<_MM_HINT_T0>(numbers.cast::<i8>().wrapping_add(64));
}

/// Pairs that go to all panels before the next ones do: their lines of each panel are written whole, one after the other. Panels
/// are often a power of two long, so that line by line all of them would want the same few places in the caches.
const PAIRS: usize = 16;

/// Panels of pairs of `depth` rows of `columns` numbers, `row` apart: `[panel][pair][column]`, panels `WIDTH` wide and `words`
/// long. Columns beyond the last are zeros as far as a vector reaches; pairs beyond the depth are left as they are.
///
/// # Safety
/// The processor must have the instructions; all rows must be readable, and `out` have room for whole panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn pair_panels<S: Number, const WIDTH: usize>(
    from: *const S,
    row: usize,
    (depth, columns): (usize, usize),
    words: usize,
    out: *mut u32,
) {
    let pairs = depth.div_ceil(2);
    // Sixteen columns of a pair.
    let put = |pair: usize, column: usize, vector: __m512i| {
        // SAFETY: panels are whole.
        unsafe {
            let at = |column: usize| out.add((column / WIDTH * words + pair) * WIDTH + column % WIDTH);
            if WIDTH >= 16 {
                _mm512_storeu_si512(at(column).cast(), vector);
            } else {
                _mm256_storeu_si256(at(column).cast(), _mm512_castsi512_si256(vector));
                if columns > column + 8 {
                    _mm256_storeu_si256(at(column + 8).cast(), _mm512_extracti64x4_epi64::<1>(vector));
                }
            }
        }
    };
    // Words 16 and on of both rows, in turn.
    let numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let low_half = _mm512_or_si512(numbers, _mm512_slli_epi32::<16>(_mm512_add_epi32(numbers, _mm512_set1_epi32(32))));
    let high_half = _mm512_add_epi32(low_half, _mm512_set1_epi32(0x10_0010));
    for first in (0..pairs).step_by(PAIRS) {
        let block = first..pairs.min(first + PAIRS);
        let mut column = 0;
        // Rows of bf16 two vectors at a time.
        if S::PRECISION == Precision::Bf16 && 2 * block.end <= depth {
            while column + 32 <= columns {
                for pair in block.clone() {
                    // SAFETY: rows and columns lie inside the shape.
                    let [low, high] = unsafe {
                        let low = from.add(2 * pair * row + column);
                        ask(low.wrapping_add(64));
                        ask(low.wrapping_add(row + 64));
                        [low, low.add(row)].map(|from| _mm512_loadu_si512(from.cast()))
                    };
                    put(pair, column, _mm512_permutex2var_epi16(low, low_half, high));
                    put(pair, column + 16, _mm512_permutex2var_epi16(low, high_half, high));
                }
                column += 32;
            }
        }
        while column < columns {
            let mask = ((1u32 << (columns - column).min(16)) - 1) as u16;
            for pair in block.clone() {
                // SAFETY: rows and columns lie inside the shape.
                unsafe {
                    let low = from.add(2 * pair * row + column);
                    let high = (2 * pair + 1 < depth).then(|| low.add(row));
                    put(pair, column, load_pairs(low, high, mask));
                }
            }
            column += 16;
        }
    }
}

/// Up to 16 pairs of `used` neighbouring numbers, at most 32; zeros beyond them.
///
/// # Safety
/// The processor must have the instructions; the numbers must be readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_run<S: Number>(from: *const S, used: usize) -> __m512i {
    let mask = (u32::MAX as u64 >> (32 - used.min(32))) as u32;
    // SAFETY: `S` is f32 or bf16, as its precision says; masked numbers are not read.
    unsafe {
        match S::PRECISION == Precision::F32 {
            true => {
                let low = _mm512_maskz_loadu_ps(mask as u16, from.cast());
                let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, from.cast::<f32>().wrapping_add(16));
                std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
            }
            false => _mm512_maskz_loadu_epi16(mask, from.cast()),
        }
    }
}

/// Tiles of 16 rows and 16 words of pairs, `[tile of rows][tile of depth][row][word]`, of rows of `depth` numbers, `row` apart.
/// Words beyond the depth are zeros; rows beyond the last hold anything.
///
/// # Safety
/// The processor must have the instructions; all rows must be readable, and `out` have room for whole tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn row_tiles<S: Number>(from: *const S, row: usize, (rows, depth): (usize, usize), out: *mut u32) {
    let steps = depth.div_ceil(32);
    for i in 0..rows {
        for step in 0..steps {
            // SAFETY: rows and depth lie inside the shape.
            unsafe {
                let words = load_run(from.add(i * row + step * 32), depth - step * 32);
                _mm512_storeu_si512(out.add((i / 16 * steps + step) * 256 + i % 16 * 16).cast(), words);
            }
        }
    }
}

/// The same tiles of a matrix that lies transposed: `depth` runs of `rows` numbers, `row` apart.
///
/// # Safety
/// As [`row_tiles`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn column_tiles<S: Number>(from: *const S, row: usize, (depth, rows): (usize, usize), out: *mut u32) {
    let steps = depth.div_ceil(32);
    for step in 0..steps {
        for tile in 0..rows.div_ceil(16) {
            let mask = ((1u32 << (rows - tile * 16).min(16)) - 1) as u16;
            // SAFETY: rows and depth lie inside the shape.
            unsafe {
                let mut words = [_mm512_setzero_si512(); 16];
                for (pair, words) in words.iter_mut().enumerate().take((depth - step * 32).div_ceil(2)) {
                    let d = step * 32 + 2 * pair;
                    let low = from.add(d * row + tile * 16);
                    *words = load_pairs(low, (d + 1 < depth).then(|| low.add(row)), mask);
                }
                let out = out.add((tile * steps + step) * 256);
                for (i, words) in transposed(words).into_iter().enumerate() {
                    _mm512_storeu_si512(out.add(i * 16).cast(), words);
                }
            }
        }
    }
}

/// One panel of pairs `[pair][column]`, `WIDTH` wide and `words` long, of up to `WIDTH` columns that are runs of `depth` numbers,
/// `column` apart. Columns beyond the last are zeros as far as a vector reaches, and so are pairs beyond the depth.
///
/// # Safety
/// The processor must have the instructions; all columns must be readable, and `out` have room for the panel.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn column_panel<S: Number, const WIDTH: usize>(
    from: *const S,
    column: usize,
    (depth, columns): (usize, usize),
    words: usize,
    out: *mut u32,
) {
    for first in (0..columns).step_by(16) {
        for word in (0..words).step_by(16) {
            // SAFETY: columns and depth lie inside the shape.
            unsafe {
                let mut runs = [_mm512_setzero_si512(); 16];
                for (i, run) in runs.iter_mut().enumerate().take(columns - first) {
                    // The next sixteen columns come from memory.
                    ask(from.wrapping_add((first + 16 + i) * column + 2 * word));
                    *run = load_run(from.add((first + i) * column + 2 * word), depth.saturating_sub(2 * word));
                }
                for (i, words) in transposed(runs).into_iter().enumerate().take(words - word) {
                    _mm512_storeu_si512(out.add((word + i) * WIDTH + first).cast(), words);
                }
            }
        }
    }
}

/// Sixteen rows of sixteen words, transposed: word `j` of row `i` goes to `out + j * step + i`.
///
/// # Safety
/// The processor must have the instructions; `out` must have room for all sixteen runs of sixteen words.
#[target_feature(enable = "avx512f")]
pub unsafe fn transpose(rows: &[[u32; 16]; 16], out: *mut u32, step: usize) {
    // SAFETY: rows are whole vectors; `out` has room, as the caller promises.
    unsafe {
        let rows = rows.each_ref().map(|row| _mm512_loadu_si512(row.as_ptr().cast()));
        for (j, column) in transposed(rows).into_iter().enumerate() {
            _mm512_storeu_si512(out.add(j * step).cast(), column);
        }
    }
}

/// The columns of sixteen rows of words.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Groups of four rows: vector 4g + c holds, in its quarter q, column 4q + c of rows 4g to 4g + 3.
    let mut groups = [_mm512_setzero_si512(); 16];
    for g in 0..4 {
        let [a, b, c, d] = [rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]];
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        groups[4 * g] = _mm512_unpacklo_epi64(ab_low, cd_low);
        groups[4 * g + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        groups[4 * g + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        groups[4 * g + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    let mut columns = [_mm512_setzero_si512(); 16];
    for c in 0..4 {
        let [g0, g1, g2, g3] = [groups[c], groups[4 + c], groups[8 + c], groups[12 + c]];
        let even = (_mm512_shuffle_i32x4::<0x88>(g0, g1), _mm512_shuffle_i32x4::<0x88>(g2, g3));
        let odd = (_mm512_shuffle_i32x4::<0xDD>(g0, g1), _mm512_shuffle_i32x4::<0xDD>(g2, g3));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even.0, even.1);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd.0, odd.1);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xDD>(even.0, even.1);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xDD>(odd.0, odd.1);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_block_has_its_words_in_place() {
        if !super::super::avx512::available() {
            eprintln!("skipped: this processor lacks AVX-512 or AVX512-BF16");
            return;
        }
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| (100 * i + j) as u32));
        let mut out = [0u32; 48 * 16];
        // SAFETY: the instructions are there; 16 runs 48 apart fit.
        unsafe { transpose(&rows, out.as_mut_ptr(), 48) };
        for i in 0..16 {
            for j in 0..16 {
                assert_eq!(out[j * 48 + i], rows[i][j]);
            }
        }
    }
}
