//! Products on processors with AVX-512 and AVX512-BF16: f32, or bf16 pairs with f32 sums.
//!
//! Operands are 32-bit words: a number of f32, or two bf16 of neighbouring depth. The right one lies in panels of
//! [`COLUMNS`] columns, `[panel][depth][column]`; the left one is read word by word, so its layout is free.

use super::Word;
use std::arch::x86_64::*;

/// Rows and columns of a tile of the result: 24 vectors of sums, three of the right operand.
const ROWS: usize = super::ROWS;
const COLUMNS: usize = super::COLUMNS;
/// Words of depth after which sums go back to memory, so that the panel in use stays in the nearest caches.
const DEPTH: usize = 256;

/// Whether this processor has the instructions.
pub fn available() -> bool {
    use std::sync::LazyLock;
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
    });
    *AVAILABLE
}

/// How two vectors of words multiply.
trait Product {
    /// `sum + a · b`, lane by lane.
    ///
    /// # Safety
    /// The processor must have the instructions.
    unsafe fn add(sum: __m512, a: __m512i, b: __m512i) -> __m512;
}

struct Single;
struct Pair;

impl Product for Single {
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
    }
}

impl Product for Pair {
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
    word: Word,
    (rows, columns, depth): (usize, usize, usize),
    left: Left,
    right: *const u32,
    out: Out,
) {
    // SAFETY: as the caller promises.
    unsafe {
        match word {
            Word::Single => panels::<Single>((rows, columns, depth), left, right, out),
            Word::Pair => panels::<Pair>((rows, columns, depth), left, right, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn panels<P: Product>(
    (rows, columns, depth): (usize, usize, usize),
    left: Left,
    right: *const u32,
    out: Out,
) {
    let mut first = 0;
    loop {
        let now = (depth - first).min(DEPTH);
        for (panel, column) in (0..columns).step_by(COLUMNS).enumerate() {
            let width = (columns - column).min(COLUMNS);
            // SAFETY: panel, column and depth lie inside the shape.
            unsafe {
                let left = Left { words: left.words.add(first * left.step), ..left };
                let right = right.add((panel * depth + first) * COLUMNS);
                let out =
                    Out { numbers: out.numbers.add(column), keep: out.keep || first > 0, ..out };
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
