//! CR-MOGM: a method's weights, smoothed.

use super::cagrad::CaGrad;
use super::method::{bad_state, read_state, read_tasks};
use super::mgda::Mgda;
use super::pcgrad::PcGrad;
use super::upgrad::UpGrad;
use super::{Method, Settings, Step, Unsolved};
use crate::error::Result;

/// Correlation-reduced multi-objective gradient manipulation (Zhou et al. 2022, algorithm 1): an exponential moving
/// average of another method's weights, `λ ← α λ + (1 − α) λ̂`, which makes stochastic MGDA, PCGrad and CAGrad
/// converge.
///
/// `w = λ`, normalised as the other method's. α is constant, and a task's λ begins at its first λ̂, as in TorchJD; in
/// the paper α grows to 1 as the learning rate falls. A step without λ̂ changes nothing.
pub(super) struct CrMogm {
    alpha: f64,
    of: Box<dyn Method>,
    /// λ of each task that was in a step.
    smooth: Vec<Option<f64>>,
}

impl CrMogm {
    pub(super) fn new(settings: &Settings) -> Self {
        let of: Box<dyn Method> = match settings.word("of").as_str() {
            "mgda" => Box::new(Mgda::default()),
            "pcgrad" => Box::new(PcGrad),
            "cagrad" => Box::new(CaGrad::usual()),
            _ => Box::new(UpGrad::usual()),
        };
        Self { alpha: settings.number("alpha"), of, smooth: vec![None; settings.tasks()] }
    }
}

impl Method for CrMogm {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let sharp = self.of.weights(step)?;
        let smoothed = |(&task, sharp): (&usize, f64)| {
            let smooth = &mut self.smooth[task];
            *smooth.insert(smooth.map_or(sharp, |last| self.alpha * last + (1.0 - self.alpha) * sharp))
        };
        Ok(step.tasks.iter().zip(sharp).map(smoothed).collect())
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!([self.smooth, self.of.state()])
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let (smooth, of): (serde_json::Value, serde_json::Value) = read_state(state)?;
        let smooth: Vec<Option<f64>> = read_tasks(&smooth, self.smooth.len())?;
        if !smooth.iter().flatten().all(|smooth| smooth.is_finite()) {
            return Err(bad_state("a weight that is not finite".into()));
        }
        self.of.restore(&of)?;
        self.smooth = smooth;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Matrix, testing};

    #[test]
    fn weights_move_by_a_share_of_the_way() {
        let mut method = CrMogm { alpha: 0.75, of: Box::new(Mgda::default()), smooth: vec![None; 2] };
        let gramian = |square| Matrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, square]);
        assert!(testing::weights_of(&mut method, &gramian(1.0)).iter().all(|w| (w - 1.0).abs() < 1e-12));
        // MGDA's shares of these are 3/4 and 1/4.
        let weights = testing::weights_of(&mut method, &gramian(3.0));
        assert!((weights[0] - 1.125).abs() < 1e-12 && (weights[1] - 0.875).abs() < 1e-12, "{weights:?}");
    }
}
