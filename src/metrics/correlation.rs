//! Pearson and Spearman correlation.
//!
//! Both slices must have the same length, which debug builds assert.

/// Pearson's correlation coefficient, in [-1, 1].
///
/// `None` with fewer than two examples, if either side is constant, or if a value is not finite. Computed from centred
/// values, so a large common offset costs no precision.
pub fn pearson(expected: &[f32], predicted: &[f32]) -> Option<f64> {
    debug_assert_eq!(expected.len(), predicted.len());
    let (x, y): (Vec<f64>, Vec<f64>) =
        expected.iter().zip(predicted).map(|(&e, &p)| (f64::from(e), f64::from(p))).unzip();
    correlation(&x, &y)
}

/// Spearman's rank correlation: Pearson's coefficient of the ranks, in [-1, 1]. Equal values share their mean rank.
///
/// `None` with fewer than two examples, if either side is constant, or if a value is NaN. Infinities rank like other
/// numbers.
pub fn spearman(expected: &[f32], predicted: &[f32]) -> Option<f64> {
    debug_assert_eq!(expected.len(), predicted.len());
    let examples = expected.len().min(predicted.len());
    correlation(&ranks(&expected[..examples])?, &ranks(&predicted[..examples])?)
}

/// The rank of each value, from 1, ties sharing their mean rank. `None` if a value is NaN.
fn ranks(values: &[f32]) -> Option<Vec<f64>> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].partial_cmp(&values[b]).expect("no value is NaN"));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + (ties.len() + 1) as f64 / 2.0;
        ties.iter().for_each(|&index| ranks[index] = rank);
        below += ties.len();
    }
    Some(ranks)
}

/// Pearson's coefficient of two equally long slices of `f32` values or ranks, whose squares neither overflow nor
/// vanish.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    // Up to 2^26 equal `f32` values, or ranks, have an exact sum and mean: a constant side then has a variance of
    // exactly 0, and the value is NaN.
    let value = xy / (xx * yy).sqrt();
    value.is_finite().then(|| value.clamp(-1.0, 1.0))
}
