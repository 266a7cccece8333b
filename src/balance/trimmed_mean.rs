//! Trimmed mean: the most extreme numbers at each place do not count.

use super::{Elements, Method, Settings, Step, Unsolved};
use crate::simd::simd;

/// At each place the `trim` largest and `trim` smallest numbers of the tasks are left out, and the mean of the others
/// is taken (Yin et al. 2018, definition 2; TorchJD's TrimmedMean).
///
/// What stands for the sum of n gradients is n times that mean, so that equal tasks give equal weighting. Where a step
/// has too few tasks for it, fewer are left out: with two tasks none, and one of at least three.
pub(super) struct TrimmedMean {
    trim: usize,
}

impl TrimmedMean {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { trim: usize::try_from(settings.whole("trim")).unwrap_or(usize::MAX) }
    }
}

/// The number of gradients times the mean of those that stay.
pub(super) fn trimmed(gradients: &[f32], trim: usize) -> f32 {
    let n = gradients.len();
    if n == 0 {
        return 0.0;
    }
    if gradients.iter().any(|g| g.is_nan()) {
        // Sorted to an end it would be left out, and nobody would hear of it.
        return f32::NAN;
    }
    let mut sorted = [0.0; 16];
    let mut long = Vec::new();
    let sorted = match sorted.get_mut(..n) {
        Some(sorted) => sorted,
        None => {
            long.resize(n, 0.0);
            &mut long[..]
        }
    };
    sorted.copy_from_slice(gradients);
    sorted.sort_unstable_by(f32::total_cmp);
    let trim = trim.min((n - 1) / 2);
    let rest = &sorted[trim..n - trim];
    n as f32 * (rest.iter().sum::<f32>() / rest.len() as f32)
}

struct Trim(usize);

/// Places that are computed side by side.
const LANES: usize = 16;

impl Elements for Trim {
    fn combine(&self, _: u64, rows: &[&[f32]], out: &mut [f32]) {
        let mut done = 0;
        if self.0 == 1 && rows.len() > 2 {
            let (blocks, _) = out.as_chunks_mut::<LANES>();
            done = LANES * blocks.len();
            simd(
                #[inline(always)]
                || without_extremes(rows, blocks),
            );
        }
        let mut column = vec![0.0; rows.len()];
        for (at, out) in out.iter_mut().enumerate().skip(done) {
            column.iter_mut().zip(rows).for_each(|(number, row)| *number = row[at]);
            *out = trimmed(&column, self.0);
        }
    }
}

/// As [`trimmed`] by one of three numbers or more, without sorting: what is neither the smallest nor the largest so far goes
/// into the sum.
#[inline(always)]
fn without_extremes(rows: &[&[f32]], out: &mut [[f32; LANES]]) {
    let scale = rows.len() as f32 / (rows.len() - 2) as f32;
    for (block, out) in out.iter_mut().enumerate() {
        let at =
            |row: usize| -> &[f32; LANES] { rows[row][block * LANES..].first_chunk().expect("rows as long as `out`") };
        let (first, second) = (at(0), at(1));
        let mut least: [f32; LANES] = std::array::from_fn(|lane| first[lane].min(second[lane]));
        let mut most: [f32; LANES] = std::array::from_fn(|lane| first[lane].max(second[lane]));
        // NaN is lost in what is smaller or larger, and has to be seen.
        let mut sums: [f32; LANES] = std::array::from_fn(|lane| 0.0 * (first[lane] + second[lane]));
        for row in 2..rows.len() {
            let row = at(row);
            for lane in 0..LANES {
                let g = row[lane];
                let rest = least[lane].max(g);
                least[lane] = least[lane].min(g);
                sums[lane] += most[lane].min(rest) + 0.0 * g;
                most[lane] = most[lane].max(rest);
            }
        }
        *out = sums.map(|sum| scale * sum);
    }
}

impl Method for TrimmedMean {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(vec![1.0; step.tasks.len()])
    }

    fn elements<'a>(&'a self, _: &Step) -> Option<Box<dyn Elements + 'a>> {
        Some(Box::new(Trim(self.trim)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_do_not_count() {
        assert_eq!(trimmed(&[1.0, 100.0, 2.0], 1), 6.0);
        assert_eq!(trimmed(&[-9.0, 1.0, 3.0, 9.0], 1), 8.0);
        assert_eq!(trimmed(&[1.0, 3.0], 1), 4.0);
        assert_eq!(trimmed(&[5.0], 3), 5.0);
        assert_eq!(trimmed(&[], 1), 0.0);
        assert!(trimmed(&[1.0, f32::NAN, 2.0], 1).is_nan());
        let many: Vec<f32> = (0..40).map(|n| n as f32).collect();
        assert_eq!(trimmed(&many, 2), 40.0 * 19.5);
    }

    #[test]
    fn many_places_at_once_are_each_place_alone() {
        let mut random = crate::data::random::Random::new(&[3]);
        for tasks in [1, 2, 3, 4, 9] {
            // With ties, and with numbers that hide others beside them.
            let mut number = || if random.below(4) == 0 { 1e8 } else { random.below(5) as f32 - 2.0 };
            let rows: Vec<Vec<f32>> = (0..tasks).map(|_| (0..37).map(|_| number()).collect()).collect();
            for trim in 0..3 {
                let mut out = vec![0.0; 37];
                Trim(trim).combine(0, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut out);
                for (at, found) in out.iter().enumerate() {
                    let column: Vec<f32> = rows.iter().map(|row| row[at]).collect();
                    let expected = trimmed(&column, trim);
                    let close = (found - expected).abs() <= 1e-6 * expected.abs();
                    assert!(close, "{tasks} tasks, {trim}: {found}, not {expected}");
                }
            }
        }
        let mut out = [0.0; 1];
        Trim(1).combine(0, &[&[1.0], &[f32::NAN], &[2.0]], &mut out);
        assert!(out[0].is_nan());
    }
}
