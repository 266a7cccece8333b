//! How activations are kept between the passes and multiplied: in f32, or in bf16 with sums in f32.

use super::buffers::Pooled;
use half::bf16;

/// The type of products: sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Both factors in f32.
    #[default]
    F32,
    /// Both factors rounded to bf16.
    Bf16,
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

    /// The same numbers, if they are f32.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
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

    fn as_f32(values: &[Self]) -> Option<&[f32]> {
        Some(values)
    }
}

impl Number for bf16 {
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_bits(value.bf16_bits())
    }

    #[inline(always)]
    fn bf16_bits(self) -> u16 {
        self.to_bits()
    }

    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
}

/// Copies numbers from one type to another.
#[inline(always)]
pub fn convert<A: Number, B: Number>(from: &[A], to: &mut [B]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = B::from_f32(from.to_f32());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
