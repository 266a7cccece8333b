//! FORUM: weights learned on all validation losses, as long as training goes on.

use super::hypergradient::hypergradient;
use super::learned::Learned;
use super::method::read_tasks;
use super::moml::learn;
use super::solve::{Vector, gramian, onto_simplex};
use super::{Matrix, Method, Settings, Step, Unsolved};
use crate::error::Result;
use serde_json::{Value, json};

/// Iterations of the search for the shares; each costs less than a microsecond.
const ITERATIONS: usize = 500;

/// Learns λ on all validation losses, with the training loss's distance from its least value,
/// `q(λ, θ) = f(λ, θ) - min f`, as a constraint: the direction d is the nearest one to lowering all of them under which
/// q falls by at least `ρ/2 ‖∇q‖²` (Ye et al. 2024). Adam takes a step of λ against it.
///
/// `wᵢ = λᵢ`, which starts at 1, does not go below 0 and keeps its sum; the weights of a step are those before its
/// update. Of the source's joint step in λ and θ this is the part of λ: the model follows its training losses alone,
/// not the validation losses. The least value is that after one step, so `∇q = G λ` over η, and the derivatives of the
/// validation losses are taken through that step, exact to first order in η.
pub(super) struct Forum {
    rho: f64,
    rate: f64,
    weights: Vec<Learned>,
}

impl Forum {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            rho: settings.number("rho"),
            rate: settings.number("learning_rate"),
            weights: vec![Learned::new(1.0); settings.tasks()],
        }
    }
}

/// The direction `Hᵀγ + νq` with shares γ and ν ≥ 0 that minimise `½‖Hᵀγ + νq‖² - ν ρ/2 ‖q‖²`, the dual of "nearest to
/// lowering all".
fn direction(slopes: &Matrix, q: &Vector, rho: f64) -> Vector {
    let square = q.norm_squared();
    let mixed = |shares: &Vector| {
        let mix = slopes.tr_mul(shares);
        let pull = if square > 0.0 { (0.5 * rho - mix.dot(q) / square).max(0.0) } else { 0.0 };
        mix + pull * q
    };
    let tasks = slopes.nrows();
    let mut shares = Vector::from_element(tasks, 1.0 / tasks as f64);
    let steepness = slopes.norm_squared();
    if steepness > 0.0 {
        for _ in 0..ITERATIONS {
            shares = onto_simplex(&(&shares - (slopes * mixed(&shares)) / steepness));
        }
    }
    mixed(&shares)
}

impl Method for Forum {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let slopes = hypergradient(step)?;
        let weights = Vector::from_iterator(step.tasks.len(), step.tasks.iter().map(|&task| self.weights[task].value));
        let q = gramian(step)? * weights;
        let slope = direction(&slopes, &q, self.rho);
        Ok(learn(&mut self.weights, step.tasks, slope.as_slice(), self.rate))
    }

    fn state(&self) -> Value {
        json!(self.weights)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.weights = read_tasks(state, self.weights.len())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method, step};
    use super::super::{Matrix, Step};
    use super::*;

    #[test]
    fn the_constraint_falls_and_no_validation_loss_rises() {
        let slopes = Matrix::from_row_slice(2, 3, &[1.0, -0.2, 0.3, -0.4, 0.9, 0.1]);
        let q = Vector::from_row_slice(&[-1.0, -1.0, 2.0]);
        let d = direction(&slopes, &q, 0.5);
        assert!(d.dot(&q) >= 0.25 * q.norm_squared() - 1e-9, "{d}");
        // Where the constraint already falls it changes nothing.
        let free = direction(&slopes, &Vector::zeros(3), 0.5);
        let bound = direction(&slopes, &free, 0.1);
        assert!((&free - bound).norm() < 1e-9);
        assert!((&slopes * &free).iter().all(|rate| *rate >= free.norm_squared() - 1e-6));
    }

    #[test]
    fn weights_keep_their_sum() {
        let mut method = method("forum", 2);
        let validation = Matrix::from_row_slice(2, 2, &[1.0, -0.5, 0.5, -0.1]);
        for _ in 0..50 {
            let step = Step { validation: validation.clone(), gramian: Matrix::identity(2, 2), ..step(&[1.0, 1.0]) };
            let weights = method.weights(&step).unwrap();
            assert!((weights.iter().sum::<f64>() - 2.0).abs() < 1e-9, "{weights:?}");
        }
        let nothing = Step { validation: Matrix::zeros(2, 2), gramian: Matrix::zeros(2, 2), ..step(&[1.0, 1.0]) };
        assert!(method.weights(&nothing).unwrap().iter().all(|w| w.is_finite()));
    }
}
