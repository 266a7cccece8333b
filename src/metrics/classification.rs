//! Metrics of single-label classification, with scikit-learn's definitions.
//!
//! All functions take one class id for each example; both slices must have the same length, which debug builds assert.
//! Where a metric averages over classes, these are the classes that occur in `expected` or `predicted`: classes that
//! the task knows but the data never shows do not count.

use std::collections::BTreeMap;

use super::f1::{Counts, macro_average, micro_average, weighted_average};

/// The share of examples whose class was predicted, in [0, 1]. `None` without examples.
pub fn accuracy(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    debug_assert_eq!(expected.len(), predicted.len());
    let hits = expected.iter().zip(predicted).filter(|(e, p)| e == p).count();
    (!expected.is_empty()).then(|| hits as f64 / expected.len() as f64)
}

/// The mean recall over the classes that occur in `expected`, in [0, 1]. `None` without examples.
///
/// scikit-learn's `balanced_accuracy_score` without adjustment for chance.
pub fn balanced_accuracy(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    let counts = counts(expected, predicted);
    let recalls =
        counts.iter().filter(|class| class.expected > 0).map(|class| class.hits as f64 / class.expected as f64);
    let classes = recalls.clone().count();
    (classes > 0).then(|| recalls.sum::<f64>() / classes as f64)
}

/// The mean of each class's F1, in [0, 1]. `None` without examples.
pub fn macro_f1(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    macro_average(&counts(expected, predicted))
}

/// The F1 of the counts summed over classes, in [0, 1]; with one class for each example it equals the accuracy. `None`
/// without examples.
pub fn micro_f1(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    micro_average(&counts(expected, predicted))
}

/// The mean of each class's F1, weighted by how often the class is expected, in [0, 1]. `None` without examples.
pub fn weighted_f1(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    weighted_average(&counts(expected, predicted))
}

/// The Matthews correlation coefficient, in [-1, 1]. `None` without examples.
///
/// For more than two classes the R_K statistic (Gorodkin 2004, <https://doi.org/10.1016/j.compbiolchem.2004.09.006>).
/// 0, as in scikit-learn, where either side holds a single class, even if all predictions are right.
pub fn matthews(expected: &[u32], predicted: &[u32]) -> Option<f64> {
    let counts = counts(expected, predicted);
    // Integers keep the differences exact where almost all examples are of one class.
    let total = |count: fn(&Counts) -> i128| counts.iter().map(count).sum::<i128>();
    let examples = total(|class| class.expected.into());
    if examples == 0 {
        return None;
    }
    let hits = total(|class| class.hits.into());
    let both = hits * examples - total(|class| i128::from(class.expected) * i128::from(class.predicted));
    let of_expected = examples * examples - total(|class| i128::from(class.expected).pow(2));
    let of_predicted = examples * examples - total(|class| i128::from(class.predicted).pow(2));
    if of_expected == 0 || of_predicted == 0 {
        return Some(0.0);
    }
    Some((both as f64 / (of_expected as f64 * of_predicted as f64).sqrt()).clamp(-1.0, 1.0))
}

/// The counts of each class that occurs on either side, by ascending class id.
fn counts(expected: &[u32], predicted: &[u32]) -> Vec<Counts> {
    debug_assert_eq!(expected.len(), predicted.len());
    let mut counts = BTreeMap::<u32, Counts>::new();
    for (&expected, &predicted) in expected.iter().zip(predicted) {
        let class = counts.entry(expected).or_default();
        class.expected += 1;
        class.hits += u64::from(expected == predicted);
        counts.entry(predicted).or_default().predicted += 1;
    }
    counts.into_values().collect()
}
