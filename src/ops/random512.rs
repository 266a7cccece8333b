//! Dropout masks by vectors of AVX-512: the same draws as `random.rs`, as bits.

use super::number::{Number, Precision};
use super::random::{DRAWS, Dropout, LANES, ROUNDS};
use std::arch::x86_64::*;

/// `to = mask · from`, rounded; the first of `len` numbers is element `first`. `from` and `to` may be the same.
///
/// # Safety
/// The processor must have AVX-512 and AVX512-BF16; both must have room for `len` numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn mask<S: Number>(dropout: Dropout, first: u64, from: *const f32, to: *mut S, len: usize) {
    let factor = _mm512_set1_ps(dropout.factor());
    // SAFETY: `inside` ends with the numbers; `S` is f32 or bf16, as its precision says.
    let put = |at: usize, inside: u16, kept: u16| unsafe {
        let masked = _mm512_maskz_mul_ps(kept, _mm512_maskz_loadu_ps(inside, from.add(at)), factor);
        if S::PRECISION == Precision::F32 {
            _mm512_mask_storeu_ps(to.add(at).cast(), inside, masked);
        } else {
            let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(masked));
            _mm256_mask_storeu_epi16(to.add(at).cast(), inside, rounded);
        }
    };
    let mut done = 0;
    while done < len {
        let element = first + done as u64;
        let (skip, rest) = ((element % DRAWS as u64) as usize, len - done);
        let kept = kept(dropout, element / DRAWS as u64);
        if skip == 0 && rest >= DRAWS {
            for (word, kept) in kept.into_iter().enumerate() {
                put(done + word * LANES, u16::MAX, kept);
            }
            done += DRAWS;
            continue;
        }
        let bits = kept.into_iter().rev().fold(0, |bits: u128, kept| bits << LANES | u128::from(kept)) >> skip;
        let now = rest.min(DRAWS - skip);
        for at in (0..now).step_by(LANES) {
            put(done + at, ((1u32 << (now - at).min(LANES)) - 1) as u16, (bits >> at) as u16);
        }
        done += now;
    }
}

/// A bit for each of the elements `group * DRAWS` and after, sixteen a word: whether it is kept.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn kept(dropout: Dropout, group: u64) -> [u16; DRAWS / LANES] {
    let first = group * LANES as u64;
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let splat = |word: u32| _mm512_set1_epi32(word as i32);
    // The group of lanes does not cross a multiple of 2³².
    let mut c0 = _mm512_or_si512(splat(first as u32), lanes);
    let (mut c1, mut c2, mut c3) = (splat((first >> 32) as u32), splat(dropout.stream), splat(0));
    let [mut k0, mut k1] = dropout.key;
    for _ in 0..ROUNDS {
        let ([low0, high0], [low1, high1]) = (products(c0, 0xD251_1F53), products(c2, 0xCD9E_8D57));
        // 0x96: the exclusive or of all three.
        (c0, c1) = (_mm512_ternarylogic_epi32::<0x96>(high1, c1, splat(k0)), low1);
        (c2, c3) = (_mm512_ternarylogic_epi32::<0x96>(high0, c3, splat(k1)), low0);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    let threshold = splat(dropout.threshold());
    let low = |draws| _mm512_cmpge_epu32_mask(_mm512_and_si512(draws, splat(0xFFFF)), threshold);
    let high = |draws| _mm512_cmpge_epu32_mask(_mm512_srli_epi32::<16>(draws), threshold);
    [low(c0), low(c1), low(c2), low(c3), high(c0), high(c1), high(c2), high(c3)]
}

/// Lower and upper halves of the products of 32-bit words with a factor.
#[inline]
#[target_feature(enable = "avx512f")]
fn products(words: __m512i, factor: u32) -> [__m512i; 2] {
    const ODD: __mmask16 = 0xAAAA;
    let factor = _mm512_set1_epi64(i64::from(factor));
    let even = _mm512_mul_epu32(words, factor);
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(words), factor);
    let low = _mm512_mask_blend_epi32(ODD, even, _mm512_slli_epi64::<32>(odd));
    let high = _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd);
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::super::random::Noise;
    use super::*;
    use half::bf16;

    #[test]
    fn bits_and_products_are_those_of_the_draws() {
        if !super::super::matmul::own_kernels() {
            eprintln!("skipped: this processor lacks AVX-512 or AVX512-BF16");
            return;
        }
        let dropout = Noise::new(3, 8).dropout(0.1);
        // At the beginning, and beyond 2³² counters.
        for (first, len) in [(0, 1000), ((1u64 << 36) + 61, 517), (130, 1), (127, 2), (5, 0)] {
            let kept = |element: u64| {
                let draw = dropout.draws(element / DRAWS as u64)[(element % DRAWS as u64) as usize];
                u32::from(draw) >= dropout.threshold()
            };
            let from: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
            let expected: Vec<f32> = (from.iter().enumerate())
                .map(|(i, x)| if kept(first + i as u64) { x * dropout.factor() } else { 0.0 })
                .collect();
            let mut found = vec![-1.0; len];
            dropout.mask(first, &from, &mut found);
            assert_eq!(found, expected);
            let mut rounded = vec![bf16::ONE; len];
            dropout.mask(first, &from, &mut rounded);
            assert_eq!(rounded, expected.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>());
        }
    }
}
