//! Which kernel multiplies: by the type of products and by what the processor has.

use crate::ops::number::Precision;

/// A way to multiply, with operands laid out as it wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The `gemm` crate, in f32.
    Portable,
    /// AVX-512 on words of one f32.
    Singles,
    /// AVX512-BF16 on words of two bf16.
    Pairs,
    /// AMX tiles of words of two bf16.
    Tiles,
}

impl Kernel {
    /// The best kernel for products of this precision.
    pub fn of(precision: Precision) -> Self {
        match precision {
            _ if !vectors() => Self::Portable,
            Precision::F32 => Self::Singles,
            _ if tiles() => Self::Tiles,
            _ => Self::Pairs,
        }
    }

    /// All kernels for products of this precision that the processor has.
    #[cfg(test)]
    pub fn all(precision: Precision) -> Vec<Self> {
        let fits = |kernel: &Self| match (kernel, precision) {
            (Self::Portable, _) => true,
            (Self::Singles, Precision::F32) | (Self::Pairs, Precision::Bf16) => vectors(),
            (Self::Tiles, Precision::Bf16) => tiles(),
            _ => false,
        };
        [Self::Portable, Self::Singles, Self::Pairs, Self::Tiles].into_iter().filter(fits).collect()
    }

    /// Numbers of neighbouring depth in a 32-bit word, the lowest in the lower half.
    pub fn per_word(self) -> usize {
        if matches!(self, Self::Pairs | Self::Tiles) { 2 } else { 1 }
    }

    /// Rows of the left operand that lie together.
    pub fn group(self) -> usize {
        if self == Self::Tiles { 16 } else { 8 }
    }

    /// Words of depth that operands have, zeros at their end included.
    pub fn words(self, depth: usize) -> usize {
        let words = depth.div_ceil(self.per_word());
        if self == Self::Tiles { words.next_multiple_of(16) } else { words }
    }
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> bool {
    super::avx512::available()
}

#[cfg(target_arch = "x86_64")]
fn tiles() -> bool {
    super::amx::available()
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn tiles() -> bool {
    false
}
