//! The nearest shares.

use super::Vector;

/// The nearest point with no negative entry and sum 1 (Duchi et al. 2008, figure 1).
pub(in crate::balance) fn onto_simplex(point: &Vector) -> Vector {
    let mut falling: Vec<f64> = point.iter().copied().collect();
    falling.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let mut excess = 0.0;
    for (rank, value) in falling.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (rank + 1) as f64;
        // The largest entries are the positive ones.
        if *value > candidate {
            excess = candidate;
        }
    }
    point.map(|value| (value - excess).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projected(point: &[f64]) -> Vec<f64> {
        onto_simplex(&Vector::from_column_slice(point)).iter().copied().collect()
    }

    #[test]
    fn shares_stay_and_others_go_to_the_nearest() {
        assert_eq!(projected(&[0.25, 0.75]), [0.25, 0.75]);
        assert_eq!(projected(&[1.0, 1.0]), [0.5, 0.5]);
        assert_eq!(projected(&[3.0, 0.0, -5.0]), [1.0, 0.0, 0.0]);
        assert_eq!(projected(&[-7.0]), [1.0]);
    }
}
