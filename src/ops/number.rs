//! How activations are kept between the passes and multiplied: in f32, or in bf16 or f16 with sums in f32.

use super::buffers::{Buffer, Pooled};
use crate::gradient;
use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// The type of products: sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Both factors in f32.
    #[default]
    F32,
    /// Both factors rounded to bf16.
    Bf16,
    /// Both factors rounded to f16: on CUDA devices only, no kernel of the CPU is asked for it.
    F16,
}

/// A type of stored activations.
pub trait Number: Pooled {
    /// How activations of this type are multiplied.
    const PRECISION: Precision;

    /// Exact.
    fn to_f32(self) -> f32;

    /// To the nearest, ties to even.
    fn from_f32(value: f32) -> Self;

    /// The bits of the nearest bf16.
    fn bf16_bits(self) -> u16;

    /// The nearest numbers.
    fn round(from: &[f32], to: &mut [Self]);

    /// The same for numbers that are not read again soon.
    fn round_past_caches(from: &[f32], to: &mut [Self]) {
        Self::round(from, to);
    }

    /// Adds the inner products of all pairs of rows, of equal lengths, to `out`: `[i][j]` for `j <= i`, the rest unspecified.
    fn add_inner_products(rows: &[&[Self]], out: &mut [f32]);

    /// The nearest numbers of a buffer that is no longer needed.
    fn take(buffer: Buffer<f32>) -> Buffer<Self>;

    /// The bits of the nearest bf16 of each number.
    fn bf16_run(from: &[Self], to: &mut [u16]);

    /// The same numbers, if they are f32.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;

    /// The same numbers, if they are bf16.
    fn as_bf16(values: &[Self]) -> Option<&[bf16]>;

    /// The same numbers, if they are f32.
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

impl Number for f32 {
    const PRECISION: Precision = Precision::F32;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn bf16_bits(self) -> u16 {
        // Without branches, so that loops become vector code. A NaN must not round to an infinity.
        let bits = self.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        if self.is_nan() { quiet as u16 } else { rounded as u16 }
    }

    #[inline(always)]
    fn round(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(&from[..to.len()]);
    }

    fn add_inner_products(rows: &[&[Self]], out: &mut [f32]) {
        gradient::add_products(rows, out);
    }

    fn take(buffer: Buffer<f32>) -> Buffer<Self> {
        buffer
    }

    #[inline(always)]
    fn bf16_run(from: &[Self], to: &mut [u16]) {
        if !round_by_processor(from, to) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from.bf16_bits();
            }
        }
    }

    fn as_f32(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }

    fn as_bf16(_: &[Self]) -> Option<&[bf16]> {
        None
    }

    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]> {
        Some(values)
    }
}

impl Number for bf16 {
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        gradient::in_f32(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_bits(value.bf16_bits())
    }

    #[inline(always)]
    fn bf16_bits(self) -> u16 {
        self.to_bits()
    }

    #[inline(always)]
    fn round(from: &[f32], to: &mut [Self]) {
        f32::bf16_run(&from[..to.len()], to.reinterpret_cast_mut());
    }

    fn round_past_caches(from: &[f32], to: &mut [Self]) {
        #[cfg(target_arch = "x86_64")]
        if super::matmul::own_kernels() {
            // SAFETY: own kernels need the same instructions.
            return unsafe { super::matmul::round_past_caches(&from[..to.len()], to.reinterpret_cast_mut()) };
        }
        Self::round(from, to);
    }

    fn add_inner_products(rows: &[&[Self]], out: &mut [f32]) {
        gradient::add_products_of_bf16(rows, out);
    }

    fn take(buffer: Buffer<f32>) -> Buffer<Self> {
        let mut rounded = Buffer::stale(buffer.len());
        rounded.par_chunks_mut(1 << 14).zip(buffer.par_chunks(1 << 14)).for_each(|(to, from)| Self::round(from, to));
        rounded
    }

    #[inline(always)]
    fn bf16_run(from: &[Self], to: &mut [u16]) {
        to.copy_from_slice(from[..to.len()].reinterpret_cast());
    }

    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    fn as_bf16(values: &[Self]) -> Option<&[bf16]> {
        Some(values)
    }

    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

/// Rounds to bf16 by the processor's own instruction, where there is one; whether there is.
#[inline(always)]
fn round_by_processor(from: &[f32], to: &mut [u16]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if super::matmul::own_kernels() {
        // SAFETY: own kernels need the same instructions.
        unsafe { super::matmul::round(&from[..to.len()], to) };
        return true;
    }
    let _ = (from, to);
    false
}

/// Widens numbers to f32.
#[inline(always)]
pub fn widen<S: Number>(from: &[S], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.to_f32();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_caches_or_not_numbers_are_rounded_alike() {
        let from: Vec<f32> = (0..300u32).map(|i| f32::from_bits(i.wrapping_mul(0x9E37_79B9) & 0xBFFF_FFFF)).collect();
        // At every place within a line, of any length.
        for (start, len) in (0..40).flat_map(|start| [0, 1, 5, 31, 32, 33, 64, 200].map(|len| (start, len))) {
            let mut found = vec![bf16::ZERO; 300];
            <bf16 as Number>::round_past_caches(&from[start..start + len], &mut found[start..start + len]);
            let mut expected = vec![bf16::ZERO; 300];
            <bf16 as Number>::round(&from[start..start + len], &mut expected[start..start + len]);
            let bits = |values: &[bf16]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&expected), "{start}, {len}");
        }
    }

    #[test]
    fn bf16_rounds_as_the_half_crate() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 0.0, -0.0, 1e-40];
        let many = (0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9E37_79B9)));
        for value in special.into_iter().chain(many) {
            let (ours, theirs) = (<bf16 as Number>::from_f32(value), bf16::from_f32(value));
            assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{value}: {ours} {theirs}");
        }
    }
}
