//! Aligned-MTL: gradients made orthogonal and equally long.

use super::solve::{Spectrum, Vector, gramian};
use super::{Method, Settings, Step, Unsolved};

/// Independent component alignment (Senushkin et al. 2023, algorithm 1): the nearest system of gradients whose Gramian
/// is a multiple of the identity, `α = σ V Λ^(−1/2) Vᵀ 1` with `G = V Λ Vᵀ`. σ is the root of the smallest eigenvalue
/// that is not zero ("min"), of the median ("median") or of the mean ("rmse").
///
/// `w = α`: for orthogonal gradients of equal norm these are ones. "min" is the paper's, "rmse" what its code has.
pub(super) struct AlignedMtl {
    scale: String,
}

impl AlignedMtl {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { scale: settings.word("scale") }
    }
}

impl Method for AlignedMtl {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let tasks = step.tasks.len();
        let spectrum = Spectrum::new(gramian, Spectrum::rounding(tasks))?;
        let Some(smallest) = spectrum.values.last() else { return Ok(vec![1.0; tasks]) };
        let rank = spectrum.values.len();
        let scale = match self.scale.as_str() {
            "median" => spectrum.values[rank / 2],
            "rmse" => spectrum.values.iter().sum::<f64>() / rank as f64,
            _ => *smallest,
        };
        let aligned = spectrum.apply(|value| (scale / value).sqrt(), &Vector::repeat(tasks, 1.0));
        Ok(aligned.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn every_task_gains_in_proportion_to_its_aligned_gradient() {
        // For a regular Gramian the gains are those of B⁻¹, which is positive definite; the direction has norm σ√T.
        let gramian = Matrix::from_row_slice(2, 2, &[4.0, -1.0, -1.0, 1.0]);
        for (scale, square) in [("min", (5.0 - 13.0_f64.sqrt()) / 2.0), ("rmse", 2.5)] {
            let weights = testing::weights_of(&mut AlignedMtl { scale: scale.into() }, &gramian);
            let rates = testing::rates(&gramian, &weights);
            let norm: f64 = rates.iter().zip(&weights).map(|(rate, w)| rate * w).sum();
            assert!((norm - 2.0 * square).abs() < 1e-12, "{scale}: {norm}");
            assert!(rates.iter().all(|&rate| rate > 0.0), "{rates:?}");
        }
    }
}
