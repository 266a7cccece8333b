//! One gradient row of the shared parameters, in f32 or bf16.

use super::Aligned;
use crate::simd::simd;
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

/// Numbers that are added at a time: one or two cache lines of each row.
const BLOCK: usize = 32;

/// Asks for the cache lines of the next block, without waiting for them.
#[inline(always)]
fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for number in numbers.iter().take(BLOCK).step_by(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: x86-64 has the instruction, and it changes nothing but caches.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(number).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

/// Rows that are added to a sum at the same time: it is read and written once for all of them.
const TOGETHER: usize = 4;

/// Adds a range of each row, times its weight, to `sum`.
pub(super) fn add_weighted(rows: &[(&Row, f32)], range: Range<usize>, sum: &mut [f32]) {
    let (mut singles, mut halves) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for &(row, weight) in rows {
        match row {
            Row::F32(values) => singles.push((&values[range.clone()], weight)),
            Row::Bf16(values) => halves.push((&values[range.clone()], weight)),
        }
    }
    simd(
        #[inline(always)]
        || {
            add_in_groups(&singles, sum, |x| x);
            add_in_groups(&halves, sum, |x| f32::from_bits(u32::from(x.to_bits()) << 16));
        },
    );
}

fn blend<T: Copy>(values: &[T], [a, b]: [f32; 2], y: &mut [f32], widen: impl Fn(T) -> f32) {
    simd(
        #[inline(always)]
        || y.iter_mut().zip(values).for_each(|(y, &g)| *y = a * *y + b * widen(g)),
    );
}

#[inline(always)]
fn add_four<T: Copy>(
    sum: &mut [f32],
    [a, b, c, d]: [&[T]; TOGETHER],
    [wa, wb, wc, wd]: [f32; TOGETHER],
    widen: &impl Fn(T) -> f32,
) {
    for ((((sum, &a), &b), &c), &d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *sum += (wa * widen(a) + wb * widen(b)) + (wc * widen(c) + wd * widen(d));
    }
}

#[inline(always)]
fn add_in_groups<T: Copy>(rows: &[(&[T], f32)], sum: &mut [f32], widen: impl Fn(T) -> f32) {
    let (groups, rest) = rows.as_chunks::<TOGETHER>();
    for (index, group) in groups.iter().enumerate() {
        let next = groups.get(index + 1).map(|next| next.map(|(row, _)| row));
        let weights = group.map(|(_, weight)| weight);
        let (sums, last_sums) = sum.as_chunks_mut::<BLOCK>();
        let cut = group.map(|(row, _)| row.as_chunks::<BLOCK>());
        let [a, b, c, d] = cut.map(|(blocks, _)| blocks);
        for (index, ((((sum, a), b), c), d)) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d).enumerate() {
            // Rows come from memory: those that are next are on their way meanwhile.
            next.iter().flatten().for_each(|row| prefetch(&row[index * BLOCK..]));
            add_four(sum, [a, b, c, d], weights, &widen);
        }
        add_four(last_sums, cut.map(|(_, last)| last), weights, &widen);
    }
    for (row, weight) in rest {
        for (sum, &value) in sum.iter_mut().zip(*row) {
            *sum += weight * widen(value);
        }
    }
}

impl Row {
    /// Copies a range of it out, widened to f32.
    pub fn copy(&self, range: Range<usize>, to: &mut [f32]) {
        match self {
            Self::F32(values) => to.copy_from_slice(&values[range]),
            Self::Bf16(values) => simd(
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

    /// `y ← a·y + b·` a range of it.
    pub(super) fn blend(&self, range: Range<usize>, [a, b]: [f32; 2], y: &mut [f32]) {
        match self {
            Self::F32(values) => blend(&values[range], [a, b], y, |x| x),
            Self::Bf16(values) => blend(&values[range], [a, b], y, |x| f32::from_bits(u32::from(x.to_bits()) << 16)),
        }
    }

    /// Adds `weight` times a range of it to `sum`.
    pub(super) fn add_to(&self, range: Range<usize>, weight: f32, sum: &mut [f32]) {
        add_weighted(&[(self, weight)], range, sum);
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
