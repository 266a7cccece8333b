//! Geometric loss strategy: the geometric mean of the losses.

use super::{Method, Step, Unsolved};

/// Losses count as this where they are smaller: a task of zero loss would decide the mean alone.
const LEAST: f64 = 1e-8;

/// Minimises `(Π Lᵢ)^{1/n}` (Chennupati et al. 2019, section 3.2).
///
/// `wᵢ = (Π L)^{1/n} / Lᵢ`, n times the derivative: ones for equal losses. LibMTL takes the product of the losses as it
/// is, which overflows or vanishes for many tasks; here it is a sum of logarithms.
pub(super) struct Gls;

impl Method for Gls {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let logs: Vec<f64> = step.losses.iter().map(|loss| loss.max(LEAST).ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        Ok(logs.into_iter().map(|log| (mean - log).exp()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};

    #[test]
    fn weighted_losses_are_alike() {
        let mut method = method("gls", 2);
        assert_eq!(method.weights(&step(&[0.7, 0.7])).unwrap(), [1.0, 1.0]);
        let weights = method.weights(&step(&[4.0, 1.0])).unwrap();
        assert!((weights[0] - 0.5).abs() < 1e-12 && (weights[1] - 2.0).abs() < 1e-12, "{weights:?}");
        assert!(method.weights(&step(&[0.0, 1e6])).unwrap().iter().all(|w| w.is_finite()));
        assert_eq!(method.weights(&step(&[0.0, 0.0])).unwrap(), [1.0, 1.0]);
    }
}
