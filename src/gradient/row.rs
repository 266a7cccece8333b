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

/// A number of bf16 in f32. One shift, where the `half` crate also looks at NaNs and asks the processor what it can.
#[inline(always)]
pub(crate) fn in_f32(number: bf16) -> f32 {
    f32::from_bits(u32::from(number.to_bits()) << 16)
}

#[inline(always)]
pub(super) fn widen(from: &[bf16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = in_f32(*from);
    }
}

/// Numbers that are added at a time: one or two cache lines of each row.
const BLOCK: usize = 32;

/// Asks for the cache lines of a block, without waiting for them.
#[inline(always)]
fn prefetch<T>(block: *const T) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..(BLOCK * size_of::<T>()).div_ceil(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: x86-64 has the instruction, and it changes nothing but caches, wherever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(block.cast::<i8>().wrapping_add(64 * line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = block;
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
    add_rows(&singles, sum);
    simd(
        #[inline(always)]
        || add_in_groups(&halves, sum, in_f32),
    );
}

/// Adds rows, times their weights, to `sum`.
pub(super) fn add_rows(rows: &[(&[f32], f32)], sum: &mut [f32]) {
    simd(
        #[inline(always)]
        || add_in_groups(rows, sum, |x| x),
    );
}

/// `to = weight · from`.
pub(super) fn scaled<T: Copy>(from: &[T], weight: f32, widen: impl Fn(T) -> f32, to: &mut [f32]) {
    simd(
        #[inline(always)]
        || to.iter_mut().zip(from).for_each(|(to, &from)| *to = weight * widen(from)),
    );
}

fn blend<T: Copy>(values: &[T], [a, b]: [f32; 2], y: &mut [f32], widen: impl Fn(T) -> f32) {
    simd(
        #[inline(always)]
        || y.iter_mut().zip(values).for_each(|(y, &g)| *y = a * *y + b * widen(g)),
    );
}

/// Adds rows, times their weights, to `sum`; `ahead` are the rows whose numbers are wanted next.
#[inline(always)]
fn add_group<T: Copy, const N: usize>(
    rows: [(&[T], f32); N],
    sum: &mut [f32],
    ahead: &[*const T],
    widen: &impl Fn(T) -> f32,
) {
    let weights = rows.map(|(_, weight)| weight);
    // Plain loops, which become vectors along `i`.
    let add = |sum: &mut [f32], rows: [&[T]; N]| {
        for (i, sum) in sum.iter_mut().enumerate() {
            for n in 0..N {
                *sum += weights[n] * widen(rows[n][i]);
            }
        }
    };
    let (sums, last) = sum.as_chunks_mut::<BLOCK>();
    let whole = sums.len() * BLOCK;
    for (index, sum) in sums.iter_mut().enumerate() {
        let at = index * BLOCK;
        // Rows come from memory: those that are next are on their way meanwhile.
        ahead.iter().for_each(|row| prefetch(row.wrapping_add(at)));
        add(sum, rows.map(|(row, _)| &row[at..at + BLOCK]));
    }
    add(last, rows.map(|(row, _)| &row[whole..]));
}

#[inline(always)]
fn add_in_groups<T: Copy>(rows: &[(&[T], f32)], sum: &mut [f32], widen: impl Fn(T) -> f32) {
    let (groups, rest) = rows.as_chunks::<TOGETHER>();
    for (index, group) in groups.iter().enumerate() {
        let next = rows[(index + 1) * TOGETHER..].iter().take(TOGETHER);
        let mut ahead = [std::ptr::null(); TOGETHER];
        ahead.iter_mut().zip(next.clone()).for_each(|(ahead, (row, _))| *ahead = row.as_ptr());
        add_group(*group, sum, &ahead[..next.len()], &widen);
    }
    match *rest {
        [a] => add_group([a], sum, &[], &widen),
        [a, b] => add_group([a, b], sum, &[], &widen),
        [a, b, c] => add_group([a, b, c], sum, &[], &widen),
        _ => {}
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

    /// Copies `weight` times a range of it out.
    pub(super) fn copy_scaled(&self, range: Range<usize>, weight: f32, to: &mut [f32]) {
        match self {
            Self::F32(values) => scaled(&values[range], weight, |x| x, to),
            Self::Bf16(values) => scaled(&values[range], weight, in_f32, to),
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
            Self::Bf16(values) => blend(&values[range], [a, b], y, in_f32),
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

    /// Pieces of `size` numbers, the last one shorter.
    pub(super) fn pieces(self, size: usize) -> Vec<Self> {
        match self {
            Self::F32(values) => values.chunks_mut(size).map(Gradient::F32).collect(),
            Self::Bf16(values) => values.chunks_mut(size).map(Gradient::Bf16).collect(),
        }
    }

    /// Calls `change` with the place and the numbers of each piece of `size` numbers, in f32.
    pub(super) fn change_by_pieces(self, size: usize, mut change: impl FnMut(usize, &mut [f32])) {
        match self {
            Self::F32(values) => {
                values.chunks_mut(size).enumerate().for_each(|(index, piece)| change(index * size, piece));
            }
            Self::Bf16(values) => {
                let mut numbers = vec![0.0; size.min(values.len())];
                for (index, piece) in values.chunks_mut(size).enumerate() {
                    let numbers = &mut numbers[..piece.len()];
                    widen(piece, numbers);
                    change(index * size, numbers);
                    piece.iter_mut().zip(numbers).for_each(|(value, number)| *value = bf16::from_f32(*number));
                }
            }
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
