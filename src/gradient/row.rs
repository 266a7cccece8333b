//! One gradient row of the shared parameters, in f32 or bf16.

use super::Aligned;
use half::bf16;
use std::ops::Range;

/// A flat gradient as long as the shared part of the arena, tables left out.
#[derive(Clone, Debug)]
pub enum Row {
    /// As a single, joint gradient is kept.
    F32(Vec<f32>),
    /// For many tasks: half the memory, and half the time where memory is what limits.
    Bf16(Aligned),
}

/// The part of a gradient row that belongs to one parameter.
pub enum Gradient<'a> {
    /// In f32.
    F32(&'a mut [f32]),
    /// In bf16.
    Bf16(&'a mut [bf16]),
}

#[inline(always)]
pub(super) fn widen(from: &[bf16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

impl Row {
    /// Copies a range of it out, widened to f32.
    pub fn copy(&self, range: Range<usize>, to: &mut [f32]) {
        match self {
            Self::F32(values) => to.copy_from_slice(&values[range]),
            Self::Bf16(values) => pulp::Arch::new().dispatch(
                #[inline(always)]
                || widen(&values[range.clone()], to),
            ),
        }
    }

    /// A range of it, if it is in f32.
    pub fn as_f32(&self, range: Range<usize>) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(&values[range]),
            Self::Bf16(_) => None,
        }
    }

    /// All of it, if it is in bf16.
    pub fn as_bf16(&self) -> Option<&[bf16]> {
        match self {
            Self::F32(_) => None,
            Self::Bf16(values) => Some(values),
        }
    }

    /// How many numbers it has.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `weight` times a range of it to `sum`.
    pub(super) fn add_to(&self, range: Range<usize>, weight: f32, sum: &mut [f32]) {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match self {
                Self::F32(values) => {
                    for (sum, value) in sum.iter_mut().zip(&values[range.clone()]) {
                        *sum += weight * value;
                    }
                }
                Self::Bf16(values) => {
                    for (sum, value) in sum.iter_mut().zip(&values[range.clone()]) {
                        *sum += weight * f32::from_bits(u32::from(value.to_bits()) << 16);
                    }
                }
            },
        );
    }

    pub(super) fn part(&mut self, range: Range<usize>) -> Gradient<'_> {
        match self {
            Self::F32(values) => Gradient::F32(&mut values[range]),
            Self::Bf16(values) => Gradient::Bf16(&mut values[range]),
        }
    }
}

impl Gradient<'_> {
    /// Sets all of it to zero.
    pub fn clear(&mut self) {
        match self {
            Self::F32(values) => values.fill(0.0),
            Self::Bf16(values) => values.fill(bf16::ZERO),
        }
    }

    /// How many numbers it has.
    #[expect(clippy::len_without_is_empty, reason = "no parameter is empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Calls `add` with the numbers in f32, zeros unless `keep`.
    pub(super) fn update(self, keep: bool, add: impl FnOnce(&mut [f32])) {
        match self {
            Self::F32(values) => {
                if !keep {
                    values.fill(0.0);
                }
                add(values);
            }
            Self::Bf16(values) => {
                let mut sums = vec![0.0; values.len()];
                if keep {
                    widen(values, &mut sums);
                }
                add(&mut sums);
                values.iter_mut().zip(sums).for_each(|(value, sum)| *value = bf16::from_f32(sum));
            }
        }
    }
}
