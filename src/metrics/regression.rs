//! Errors of predicted numbers.
//!
//! Both slices must have the same length, which debug builds assert.

/// The mean squared error, at least 0; lower is better. `None` without examples or if a value is not finite.
pub fn mse(expected: &[f32], predicted: &[f32]) -> Option<f64> {
    mean_error(expected, predicted, |error| error * error)
}

/// The mean absolute error, at least 0; lower is better. `None` without examples or if a value is not finite.
pub fn mae(expected: &[f32], predicted: &[f32]) -> Option<f64> {
    mean_error(expected, predicted, f64::abs)
}

/// The coefficient of determination R² = 1 - Σ(expected - predicted)² / Σ(expected - mean)², at most 1.
///
/// 0 is what always predicting the mean of `expected` gives. `None` without examples, if a value is not finite, or if
/// `expected` is constant, so also with a single example; scikit-learn's `r2_score` calls a constant target 0 or 1
/// unless given `force_finite=False`.
pub fn r2(expected: &[f32], predicted: &[f32]) -> Option<f64> {
    let error = mse(expected, predicted)?;
    let mean = expected.iter().map(|&value| f64::from(value)).sum::<f64>() / expected.len() as f64;
    let variance = expected.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / expected.len() as f64;
    // Up to 2^29 equal `f32` values have an exact sum and mean, so the variance of a constant target is exactly 0.
    (variance > 0.0).then(|| 1.0 - error / variance)
}

/// The mean of `loss` over the differences, which in `f64` neither overflow nor vanish for any finite `f32`.
fn mean_error(expected: &[f32], predicted: &[f32], loss: fn(f64) -> f64) -> Option<f64> {
    debug_assert_eq!(expected.len(), predicted.len());
    let sum: f64 = expected.iter().zip(predicted).map(|(&e, &p)| loss(f64::from(e) - f64::from(p))).sum();
    let mean = sum / expected.len() as f64;
    mean.is_finite().then_some(mean)
}
