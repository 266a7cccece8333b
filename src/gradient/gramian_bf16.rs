//! Inner products of rows in bf16 by the processor's own instruction, without widening them first.

use half::bf16;
use std::arch::x86_64::*;
use std::sync::LazyLock;

/// Rows whose products are summed in registers at the same time.
const TILE: usize = 4;
/// Numbers of a vector.
const LANES: usize = 32;

/// Whether this processor has the instructions, and `MTL_ZOO_PORTABLE` is not set.
pub(super) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        has && is_x86_feature_detected!("avx512bf16") && std::env::var_os("MTL_ZOO_PORTABLE").is_none()
    });
    *AVAILABLE
}

/// Adds the inner products of all pairs of rows, of equal lengths, to `out`: `[i][j]` for `j <= i`, the rest unspecified.
///
/// # Safety
/// The processor must have the instructions ([`available`]).
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn add_products(rows: &[&[bf16]], out: &mut [f32]) {
    let count = rows.len();
    for i in (0..count).step_by(TILE) {
        for j in (0..=i).step_by(TILE) {
            // Beyond the last row a tile repeats it; what comes of that is not stored.
            let row = |first: usize, k: usize| rows[(first + k).min(count - 1)];
            let (left, right): ([_; TILE], [_; TILE]) =
                (std::array::from_fn(|k| row(i, k)), std::array::from_fn(|k| row(j, k)));
            // SAFETY: the caller has checked the processor.
            let sums = unsafe { tile(left, right) };
            for (p, sums) in sums.chunks_exact(TILE).enumerate().take(count - i) {
                for (q, sum) in sums.iter().enumerate().take(count - j) {
                    out[(i + p) * count + j + q] += sum;
                }
            }
        }
    }
}

/// Row-major. Loops and no `map`: what is called by way of the standard library is compiled without the instructions, and a
/// load becomes a call.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile(left: [&[bf16]; TILE], right: [&[bf16]; TILE]) -> [f32; TILE * TILE] {
    let mut sums = [_mm512_setzero_ps(); TILE * TILE];
    let len = left[0].len();
    for at in (0..len).step_by(LANES) {
        let mask = u32::MAX >> (LANES - (len - at).min(LANES));
        // SAFETY: all rows have `len` numbers, with which the mask ends.
        let load = |row: &[bf16]| unsafe { words(_mm512_maskz_loadu_epi16(mask, row.as_ptr().add(at).cast())) };
        let a = [load(left[0]), load(left[1]), load(left[2]), load(left[3])];
        let b = [load(right[0]), load(right[1]), load(right[2]), load(right[3])];
        for p in 0..TILE {
            for q in 0..TILE {
                sums[p * TILE + q] = _mm512_dpbf16_ps(sums[p * TILE + q], a[p], b[q]);
            }
        }
    }
    let mut out = [0.0; TILE * TILE];
    // SAFETY: there is room for sixteen.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), lane_sums(sums)) };
    out
}

/// The same bits as pairs of bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(bits: __m512i) -> __m512bh {
    // SAFETY: both are vectors of 64 bytes, of which every pattern is valid.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(bits) }
}

/// The sums over the lanes of each of sixteen vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn lane_sums(vectors: [__m512; 16]) -> __m512 {
    // Half as many vectors after each step; a quarter of a vector then holds, of the two or four that went in, sums of as many
    // lanes less.
    let mut pairs = [_mm512_setzero_ps(); 8];
    for (i, pair) in pairs.iter_mut().enumerate() {
        let (a, b) = (vectors[2 * i], vectors[2 * i + 1]);
        *pair = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    let mut fours = [_mm512_setzero_ps(); 4];
    for (i, four) in fours.iter_mut().enumerate() {
        let (a, b) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        *four = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    }
    let quarters = |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
    quarters(quarters(fours[0], fours[1]), quarters(fours[2], fours[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_in_f64() {
        if !available() {
            println!("skipped: this processor has no AVX512-BF16");
            return;
        }
        for (count, len) in [(1, 0), (1, 3), (2, 17), (3, 5000), (4, 32), (5, 33), (9, 2048), (16, 300)] {
            let number = |i: usize, k: usize| ((i * 7919 + k * 104_729 + i * k) % 2003) as f32 / 1000.0 - 1.0;
            let row = |i: usize| (0..len).map(|k| bf16::from_f32(number(i, k))).collect();
            let rows: Vec<Vec<bf16>> = (0..count).map(row).collect();
            let mut found = vec![0.5; count * count];
            // SAFETY: available.
            unsafe { add_products(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut found) };
            for (i, j) in (0..count).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                let expected: f64 = rows[i].iter().zip(&rows[j]).map(|(a, b)| a.to_f64() * b.to_f64()).sum();
                let found = f64::from(found[i * count + j]) - 0.5;
                assert!((found - expected).abs() <= 1e-6 * (len as f64 + 1.0), "{count} × {len}, ({i}, {j}): {found}");
            }
        }
    }
}
