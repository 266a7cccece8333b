//! Products on processors with AVX-512 and AVX512-BF16: f32, or bf16 pairs with f32 sums.
//!
//! Operands are 32-bit words: a number of f32, or two bf16 of neighbouring depth. The right one lies in panels of
//! [`COLUMNS`] columns, `[panel][depth][column]`; the left one is read word by word, so its layout is free.

use super::kernels::Kernel;
use std::arch::x86_64::*;

/// Rows and columns of a tile of the result: 24 vectors of sums, three of the right operand.
pub const ROWS: usize = 8;
pub const COLUMNS: usize = 48;
/// Whether this processor has the instructions, and `MTL_ZOO_PORTABLE` is not set: what other processors do can be tried
/// out on this one.
pub fn available() -> bool {
    use std::sync::LazyLock;
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        std::env::var_os("MTL_ZOO_PORTABLE").is_none()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
    });
    *AVAILABLE
}

/// How two vectors of words multiply.
trait Product {
    /// Words of depth after which sums go back to memory, so that the panel in use stays in the own caches of a core.
    const DEPTH: usize;

    /// `sum + a · b`, lane by lane.
    ///
    /// # Safety
    /// The processor must have the instructions.
    unsafe fn add(sum: __m512, a: __m512i, b: __m512i) -> __m512;
}

struct Single;
struct Pair;

impl Product for Single {
    const DEPTH: usize = 512;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
    }
}

impl Product for Pair {
    const DEPTH: usize = 256;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn add(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: both types are 512 bits of which every pattern is valid.
        let pair = |words: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(words) };
        _mm512_dpbf16_ps(sum, pair(a), pair(b))
    }
}

/// The left operand's words: the first of row `i` is at `words + i / ROWS * panel + i % ROWS * row`, the next depth `step`
/// further; all in words.
#[derive(Clone, Copy)]
pub struct Left {
    pub words: *const u32,
    pub panel: usize,
    pub row: usize,
    pub step: usize,
}

/// The result: `width` numbers from a row to the next; added to if `keep`.
#[derive(Clone, Copy)]
pub struct Out {
    pub numbers: *mut f32,
    pub width: usize,
    pub keep: bool,
}

/// `out[rows, columns] (+)= left[rows, depth] · right[depth, columns]`, `depth` in words.
///
/// # Safety
/// The processor must have the instructions ([`available`]); every word and number that the shape names must be inside
/// its allocation, and nobody else may use the result meanwhile.
pub unsafe fn multiply(
    kernel: Kernel,
    (rows, columns, depth): (usize, usize, usize),
    left: Left,
    right: *const u32,
    out: Out,
) {
    // SAFETY: as the caller promises.
    unsafe {
        match kernel {
            Kernel::Singles => panels::<Single>((rows, columns, depth), left, right, out),
            _ => panels::<Pair>((rows, columns, depth), left, right, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn panels<P: Product>((rows, columns, depth): (usize, usize, usize), left: Left, right: *const u32, out: Out) {
    let mut first = 0;
    loop {
        let now = (depth - first).min(P::DEPTH);
        for (panel, column) in (0..columns).step_by(COLUMNS).enumerate() {
            let width = (columns - column).min(COLUMNS);
            // SAFETY: panel, column and depth lie inside the shape.
            unsafe {
                let left = Left { words: left.words.add(first * left.step), ..left };
                let right = right.add((panel * depth + first) * COLUMNS);
                let out = Out { numbers: out.numbers.add(column), keep: out.keep || first > 0, ..out };
                match width.div_ceil(16) {
                    1 => tiles::<P, 1>((rows, width, now), left, right, out),
                    2 => tiles::<P, 2>((rows, width, now), left, right, out),
                    _ => tiles::<P, 3>((rows, width, now), left, right, out),
                }
            }
        }
        first += now;
        if first >= depth {
            return;
        }
    }
}

/// A column of tiles, `V` vectors wide.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tiles<P: Product, const V: usize>(shape: (usize, usize, usize), left: Left, right: *const u32, out: Out) {
    let (rows, columns, depth) = shape;
    for row in (0..rows).step_by(ROWS) {
        // SAFETY: rows lie inside the shape.
        unsafe {
            let left = Left { words: left.words.add(row / ROWS * left.panel), ..left };
            let out = Out { numbers: out.numbers.add(row * out.width), ..out };
            match rows - row {
                1 => tile::<P, 1, V>(columns, depth, left, right, out),
                2 => tile::<P, 2, V>(columns, depth, left, right, out),
                3 => tile::<P, 3, V>(columns, depth, left, right, out),
                4 => tile::<P, 4, V>(columns, depth, left, right, out),
                5 => tile::<P, 5, V>(columns, depth, left, right, out),
                6 => tile::<P, 6, V>(columns, depth, left, right, out),
                7 => tile::<P, 7, V>(columns, depth, left, right, out),
                _ => tile::<P, 8, V>(columns, depth, left, right, out),
            }
        }
    }
}

/// `M` rows and `V` vectors of columns, of which `columns` numbers are written.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile<P: Product, const M: usize, const V: usize>(
    columns: usize,
    depth: usize,
    left: Left,
    right: *const u32,
    out: Out,
) {
    // SAFETY: panels of the right operand are padded to whole vectors; the rest lies inside the shape.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        for p in 0..depth {
            let mut b = [_mm512_setzero_si512(); V];
            for (v, b) in b.iter_mut().enumerate() {
                *b = _mm512_loadu_si512(right.add(p * COLUMNS + v * 16).cast());
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_epi32(left.words.add(m * left.row + p * left.step).read_unaligned() as i32);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = P::add(*sum, a, b);
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let used = columns.saturating_sub(v * 16).min(16);
                let mask = ((1u32 << used) - 1) as __mmask16;
                let at = out.numbers.add(m * out.width + v * 16);
                let sum = match out.keep {
                    true => _mm512_add_ps(_mm512_maskz_loadu_ps(mask, at), sum),
                    false => sum,
                };
                _mm512_mask_storeu_ps(at, mask, sum);
            }
        }
    }
}

/// The bf16 nearest to each number; tiny numbers below the normal range become zero.
///
/// # Safety
/// The processor must have the instructions; `to` must be as long as `from`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn round(from: &[f32], to: &mut [u16]) {
    let (blocks, rest) = from.as_chunks::<16>();
    // SAFETY: blocks are whole vectors; both slices have the same length, so the masked rest lies inside as well.
    unsafe {
        let store = |at: *mut u16, mask: u16, numbers: __m512| {
            let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers));
            _mm256_mask_storeu_epi16(at.cast(), mask, rounded);
        };
        for (index, block) in blocks.iter().enumerate() {
            store(to.as_mut_ptr().add(index * 16), u16::MAX, _mm512_loadu_ps(block.as_ptr()));
        }
        let mask = ((1u32 << rest.len()) - 1) as u16;
        store(to.as_mut_ptr().add(blocks.len() * 16), mask, _mm512_maskz_loadu_ps(mask, rest.as_ptr()));
    }
}

/// As [`round`], past the caches: for what is not read again soon, and would push out what is.
///
/// # Safety
/// The processor must have the instructions; `to` must be as long as `from`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn round_past_caches(from: &[f32], to: &mut [u16]) {
    // Only whole lines of 64 bytes are written without being read first.
    let head = to.as_ptr().align_offset(64).min(to.len());
    let ((first, from_line), (to_first, to_rest)) = (from.split_at(head), to.split_at_mut(head));
    let (lines, to_last) = to_rest.as_chunks_mut::<32>();
    let (sources, last) = from_line.as_chunks::<32>();
    // SAFETY: lines and their sources have 32 numbers each, lines begin at multiples of 64 bytes.
    unsafe {
        round(first, to_first);
        for (line, source) in lines.iter_mut().zip(sources) {
            let (low, high) = (_mm512_loadu_ps(source.as_ptr()), _mm512_loadu_ps(source.as_ptr().add(16)));
            let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_stream_si512(line.as_mut_ptr().cast(), rounded);
        }
        round(last, to_last);
    }
    _mm_sfence();
}

/// Rounds rows of `width` numbers to `near`, row after row, and to rows `step` apart at `far`, past the caches as
/// [`round_past_caches`].
///
/// # Safety
/// The processor must have the instructions; `near` must be as long as `from`, and `far` have room for whole rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn round_rows_past_caches(from: &[f32], width: usize, near: &mut [u16], far: *mut u16, step: usize) {
    for (row, (from, near)) in from.chunks_exact(width).zip(near.chunks_exact_mut(width)).enumerate() {
        // SAFETY: the row has room; lines begin at multiples of 64 bytes and have 32 numbers, as their sources.
        unsafe {
            let far = std::slice::from_raw_parts_mut(far.add(row * step), width);
            let head = far.as_ptr().align_offset(64).min(width);
            let (near_first, near_rest) = near.split_at_mut(head);
            let (near_lines, near_last) = near_rest.as_chunks_mut::<32>();
            let (far_lines, far_last) = far[head..].as_chunks_mut::<32>();
            let (sources, last) = from[head..].as_chunks::<32>();
            for ((near, far), source) in near_lines.iter_mut().zip(far_lines).zip(sources) {
                let (low, high) = (_mm512_loadu_ps(source.as_ptr()), _mm512_loadu_ps(source.as_ptr().add(16)));
                let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(near.as_mut_ptr().cast(), rounded);
                _mm512_stream_si512(far.as_mut_ptr().cast(), rounded);
            }
            // Rows that are whole lines have neither.
            if !last.is_empty() {
                round(last, near_last);
                far_last.copy_from_slice(near_last);
            }
            if head > 0 {
                round(&from[..head], near_first);
                far[..head].copy_from_slice(near_first);
            }
        }
    }
    // Once: a fence waits for all lines that are under way.
    _mm_sfence();
}

/// Copies rows of `width` numbers past the caches to rows `step` apart.
///
/// # Safety
/// The processor must have the instructions; `to` must have room for whole rows.
#[target_feature(enable = "avx512f")]
pub unsafe fn copy_rows_past_caches(from: &[f32], width: usize, to: *mut f32, step: usize) {
    for (row, from) in from.chunks_exact(width).enumerate() {
        // SAFETY: the row has room; lines begin at multiples of 64 bytes and have 16 numbers, as their sources.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.add(row * step), width);
            let head = to.as_ptr().align_offset(64).min(width);
            let (to_lines, to_last) = to[head..].as_chunks_mut::<16>();
            let (lines, last) = from[head..].as_chunks::<16>();
            for (to, line) in to_lines.iter_mut().zip(lines) {
                _mm512_stream_ps(to.as_mut_ptr(), _mm512_loadu_ps(line.as_ptr()));
            }
            to_last.copy_from_slice(last);
            to[..head].copy_from_slice(&from[..head]);
        }
    }
    _mm_sfence();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_half_crate() {
        if !available() {
            eprintln!("skipped: this processor lacks AVX-512 or AVX512-BF16");
            return;
        }
        for len in [0, 1, 15, 16, 17, 1000] {
            let numbers: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin() * 3f32.powi(i % 40 - 20)).collect();
            let mut rounded = vec![0; numbers.len()];
            // SAFETY: the instructions are there, and the lengths are equal.
            unsafe { round(&numbers, &mut rounded) };
            let expected: Vec<u16> = numbers.iter().map(|&x| half::bf16::from_f32(x).to_bits()).collect();
            assert_eq!(rounded, expected);
        }
    }
}
