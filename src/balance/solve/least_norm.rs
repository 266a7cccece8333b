//! The shortest vector that task gradients can be mixed to.

use super::units::Units;
use super::{Matrix, Vector, nonnegative};
use crate::balance::Unsolved;

/// Shares α ≥ 0 with sum 1 and the smallest norm of `Σ αᵢ gᵢ`; not unique where gradients depend on each other.
///
/// Up to scale these are the x ≥ 0 with the smallest `‖Σ xᵢ gᵢ‖² + m² (Σ xᵢ − 1)²`, for any m: where this is smallest,
/// the norm is smallest for its sum. The norm of the smallest gradient is a good m, and with `x = q z`, `qᵢ = m/‖gᵢ‖`,
/// what is left are cosines and numbers up to 1.
pub(in crate::balance) fn least_norm(gramian: &Matrix) -> Result<Vector, Unsolved> {
    let Units { norms, cosines } = Units::new(gramian);
    let smallest = norms.min();
    if smallest == 0.0 {
        // Nothing is shorter than a zero gradient.
        let zeros = norms.map(|norm| f64::from(u8::from(norm == 0.0)));
        let count = zeros.sum();
        return Ok(zeros / count);
    }
    let q = norms.map(|norm| smallest / norm);
    let z = nonnegative(&(cosines + &q * q.transpose()), &q)?;
    let shares = z.ok_or_else(|| Unsolved("no shortest mix of the task gradients was found".into()))?.component_mul(&q);
    let sum = shares.sum();
    Ok(shares / sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::Random;

    #[test]
    fn two_gradients_have_a_closed_form() {
        // Equation 4 of Sener & Koltun (2018).
        for (a, ab, b) in [(1.0, -0.5, 4.0), (1e-12, -0.3, 1e12), (2.0, 1.9, 2.0), (9.0, 2.0, 1.0)] {
            let share = f64::clamp((b - ab) / (a + b - 2.0 * ab), 0.0, 1.0);
            let shares = least_norm(&Matrix::from_row_slice(2, 2, &[a, ab, ab, b])).unwrap();
            assert!((shares[0] - share).abs() < 1e-14 && (shares[1] - (1.0 - share)).abs() < 1e-14, "{shares} {share}");
        }
    }

    #[test]
    fn gradients_that_cancel_mix_to_nothing() {
        let shares = least_norm(&Matrix::from_row_slice(2, 2, &[4.0, -2.0, -2.0, 1.0])).unwrap();
        assert!((shares[0] - 1.0 / 3.0).abs() < 1e-14, "{shares}");
    }

    #[test]
    fn gradients_that_nearly_cancel_mix_to_nearly_nothing() {
        // Of 7 gradients, each along or against the first but for a millionth, of which the Gramian hardly sees anything.
        for seed in 0..200 {
            let mut random = Random::new(&[seed]);
            let side: Vec<f64> = (0..7).map(|i| if i < 2 || random.below(2) == 0 { 1.0 } else { -1.0 }).collect();
            let rows = Matrix::from_fn(7, 9, |i, j| (j as f64 - 3.0) * if i == 1 { -1.0 } else { side[i] })
                + Matrix::from_fn(7, 9, |_, _| 7e-6 * random.normal());
            let shares = least_norm(&(&rows * rows.transpose())).unwrap();
            let norm = rows.tr_mul(&shares).norm();
            assert!(norm < 1e-4, "seed {seed}: {norm}");
        }
    }
}
