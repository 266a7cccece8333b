//! Holm's correction for many comparisons.

/// The p values after the step-down correction of Holm (1979), which keeps the probability of any wrong finding in the
/// family at the level, however the tests depend on each other. Comparisons that could not be tested stay `None` and do
/// not count.
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> =
        p.iter().enumerate().filter_map(|(at, p)| p.filter(|p| !p.is_nan()).map(|p| (at, p))).collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut corrected = vec![None; p.len()];
    let mut most: f64 = 0.0;
    for (rank, (at, p)) in order.iter().enumerate() {
        most = most.max(p * (order.len() - rank) as f64).min(1.0);
        corrected[*at] = Some(most);
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_statsmodels() {
        // statsmodels 0.15.0: multipletests([.01, .04, .03, .005, .5, .04], method="holm")[1]
        let p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04].map(Some);
        let expected = [0.05, 0.12, 0.12, 0.03, 0.5, 0.12];
        for (found, expected) in holm(&p).iter().zip(expected) {
            assert!((found.unwrap() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn untested_comparisons_do_not_count() {
        assert_eq!(holm(&[None, Some(0.02), None]), [None, Some(0.02), None]);
        assert_eq!(holm(&[Some(0.9), Some(0.8)]), [Some(1.0), Some(1.0)]);
        assert_eq!(holm(&[]), Vec::<Option<f64>>::new());
    }
}
