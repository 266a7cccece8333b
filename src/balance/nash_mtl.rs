//! Nash-MTL: a bargain between tasks.

use super::solve::{Vector, bargain, gramian};
use super::{Method, Settings, Step, Unsolved};

/// Multi-task learning as a bargaining game (Navon et al. 2022, claim 3.1): the Nash bargaining solution `Σ αᵢ gᵢ`, α >
/// 0, `Gα = 1/α`. Each task gets better in proportion, whatever the scale of its loss.
///
/// `w = α`, made smaller where the norm of `Σ αᵢ gᵢ` would be above `max_norm` (0: never); that norm is √T without it.
/// Where the papers' code linearises the problem up to 20 times for a cone solver, and goes on with whatever is there,
/// Newton's method solves it here. No bargain exists where the gradients cancel: then there is no answer, and the
/// caller says so.
pub(super) struct NashMtl {
    max_norm: f64,
}

impl NashMtl {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { max_norm: settings.number("max_norm") }
    }
}

impl Method for NashMtl {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let alpha = Vector::from_vec(bargain(gramian, 1.0)?);
        let norm = alpha.dot(&(gramian * &alpha)).max(0.0).sqrt();
        let factor = if self.max_norm > 0.0 && norm > self.max_norm { self.max_norm / norm } else { 1.0 };
        Ok(alpha.iter().map(|a| a * factor).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn every_task_gains_the_same_share() {
        let gramian = Matrix::from_row_slice(3, 3, &[1.0, -0.4, 0.0, -0.4, 25.0, 0.2, 0.0, 0.2, 0.01]);
        let weights = testing::weights_of(&mut NashMtl { max_norm: 0.0 }, &gramian);
        let gains: Vec<_> = weights.iter().zip(testing::rates(&gramian, &weights)).map(|(w, rate)| w * rate).collect();
        assert!(gains.iter().all(|gain| (gain - 1.0).abs() < 1e-9), "{gains:?}");
    }

    #[test]
    fn the_scale_of_a_loss_does_not_matter() {
        let direction = |scale: f64| {
            let gramian = Matrix::from_row_slice(2, 2, &[1.0, -0.5 * scale, -0.5 * scale, scale * scale]);
            let weights = testing::weights_of(&mut NashMtl { max_norm: 1.0 }, &gramian);
            [weights[0], weights[1] * scale]
        };
        let (one, other) = (direction(1.0), direction(1e5));
        assert!(one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-9), "{one:?} {other:?}");
    }

    #[test]
    fn gradients_that_cancel_have_no_bargain() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -1.0, -1.0, 1.0]);
        assert!(NashMtl { max_norm: 1.0 }.weights(&testing::step_of(&gramian, &[0, 1], &[1.0; 2])).is_err());
    }
}
