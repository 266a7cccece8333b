//! Metrics of multi-label classification, with scikit-learn's definitions.
//!
//! `expected` and `predicted` are `[examples * labels]`, row-major, and of the same length, which debug builds assert.
//! Averages run over all `labels`, also over those that never occur: their F1 is 0.
//!
//! A single label stays a multi-label problem with one label, where scikit-learn takes one column for binary classes.

use super::f1::{Counts, macro_average, micro_average, weighted_average};

/// The share of examples whose labels all match, in [0, 1]. `None` without examples or labels.
///
/// scikit-learn's `accuracy_score` on indicator matrices.
pub fn subset_accuracy(expected: &[bool], predicted: &[bool], labels: usize) -> Option<f64> {
    debug_assert_eq!(expected.len(), predicted.len());
    let examples = expected.len().checked_div(labels)?;
    let rows = expected.chunks_exact(labels).zip(predicted.chunks_exact(labels));
    let hits = rows.filter(|(e, p)| e == p).count();
    (examples > 0).then(|| hits as f64 / examples as f64)
}

/// The mean of each label's F1, in [0, 1]. `None` without examples or labels.
pub fn macro_f1(expected: &[bool], predicted: &[bool], labels: usize) -> Option<f64> {
    macro_average(&counts(expected, predicted, labels))
}

/// The F1 of the counts summed over labels, in [0, 1]. `None` without examples or labels.
pub fn micro_f1(expected: &[bool], predicted: &[bool], labels: usize) -> Option<f64> {
    micro_average(&counts(expected, predicted, labels))
}

/// The mean of each label's F1, weighted by how often the label is expected, in [0, 1]; 0 where no label is ever
/// expected. `None` without examples or labels.
pub fn weighted_f1(expected: &[bool], predicted: &[bool], labels: usize) -> Option<f64> {
    weighted_average(&counts(expected, predicted, labels))
}

/// The counts of each label; none at all without examples.
fn counts(expected: &[bool], predicted: &[bool], labels: usize) -> Vec<Counts> {
    debug_assert_eq!(expected.len(), predicted.len());
    if expected.is_empty() || labels == 0 {
        return Vec::new();
    }
    let mut counts = vec![Counts::default(); labels];
    for (expected, predicted) in expected.chunks_exact(labels).zip(predicted.chunks_exact(labels)) {
        for (label, (&expected, &predicted)) in counts.iter_mut().zip(expected.iter().zip(predicted)) {
            label.expected += u64::from(expected);
            label.predicted += u64::from(predicted);
            label.hits += u64::from(expected && predicted);
        }
    }
    counts
}
