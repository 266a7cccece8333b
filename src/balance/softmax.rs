//! Shares from scores.

/// `exp(xᵢ) / Σ exp(xⱼ)` for finite x, without overflow.
pub(super) fn softmax(x: &[f64]) -> Vec<f64> {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.iter().map(|x| (x - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The same times their number: ones for equal x.
pub(super) fn softmax_weights(x: &[f64]) -> Vec<f64> {
    softmax(x).into_iter().map(|share| share * x.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_however_large_the_scores() {
        assert_eq!(softmax(&[1e300, 1e300, -1e300]), [0.5, 0.5, 0.0]);
        assert_eq!(softmax_weights(&[3.0; 4]), [1.0; 4]);
        assert!((softmax(&[2.0f64.ln(), 0.0])[0] - 2.0 / 3.0).abs() < 1e-15);
    }
}
