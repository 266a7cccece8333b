//! Area under the ROC curve.
//!
//! Only the order of the scores matters, so they need not be probabilities nor sum to one (scikit-learn asks for both),
//! and infinities order like other numbers. A score that is NaN has no place in an order: the area is `None` then.

/// The probability that a positive example scores above a negative one, ties counted half, in [0, 1].
///
/// `None` unless both positives and negatives are present, and where a score is NaN. Equals the Mann-Whitney U
/// statistic over the number of pairs; counted in integers, so exact up to one rounding.
pub fn auroc(examples: impl IntoIterator<Item = (bool, f32)>) -> Option<f64> {
    let mut examples: Vec<(bool, f32)> = examples.into_iter().collect();
    if examples.iter().any(|(_, score)| score.is_nan()) {
        return None;
    }
    // Not `total_cmp`: 0.0 and -0.0 are a tie.
    examples.sort_unstable_by(|(_, a), (_, b)| a.partial_cmp(b).expect("no score is NaN"));
    let (mut positives, mut negatives, mut twice_wins) = (0u128, 0u128, 0u128);
    for ties in examples.chunk_by(|(_, a), (_, b)| a == b) {
        let positive = ties.iter().filter(|(positive, _)| *positive).count() as u128;
        let negative = ties.len() as u128 - positive;
        twice_wins += positive * (2 * negatives + negative);
        positives += positive;
        negatives += negative;
    }
    let pairs = positives * negatives;
    (pairs > 0).then(|| twice_wins as f64 / (2 * pairs) as f64)
}

/// AUROC of single-label classification from `probabilities`, `[examples * classes]`, row-major. In [0, 1].
///
/// Two classes: the area of class 1. More: the mean of each class's area against the rest, as scikit-learn's
/// `roc_auc_score(multi_class="ovr", average="macro")`. `None` if a class has no examples, with fewer than two classes,
/// or without probabilities.
pub fn multi_class_auroc(expected: &[u32], probabilities: &[f32], classes: usize) -> Option<f64> {
    debug_assert!(probabilities.is_empty() || probabilities.len() == expected.len() * classes);
    let of_class = |class: usize| {
        let scores = probabilities.iter().skip(class).step_by(classes);
        auroc(expected.iter().zip(scores).map(|(&expected, &score)| (expected as usize == class, score)))
    };
    match classes {
        0 | 1 => None,
        2 => of_class(1),
        _ => mean((0..classes).map(of_class)),
    }
}

/// AUROC of multi-label classification: the mean of each label's area, in [0, 1].
///
/// `expected` and `probabilities` are `[examples * labels]`, row-major. `None` if a label is expected of every example
/// or of none (scikit-learn: NaN), and without labels or probabilities.
pub fn multi_label_auroc(expected: &[bool], probabilities: &[f32], labels: usize) -> Option<f64> {
    debug_assert!(probabilities.is_empty() || probabilities.len() == expected.len());
    mean((0..labels).map(|label| {
        let expected = expected.iter().skip(label).step_by(labels);
        let scores = probabilities.iter().skip(label).step_by(labels);
        auroc(expected.copied().zip(scores.copied()))
    }))
}

/// The mean; `None` if it is empty or a value is `None`.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
