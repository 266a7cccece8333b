//! Trimmed mean: the most extreme numbers at each place do not count.

use super::{Element, Method, Settings, Step, Unsolved};

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

impl Method for TrimmedMean {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(vec![1.0; step.tasks.len()])
    }

    fn elements<'a>(&'a self, _: &Step) -> Option<Box<Element<'a>>> {
        Some(Box::new(|_, gradients: &[f32]| trimmed(gradients, self.trim)))
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
}
