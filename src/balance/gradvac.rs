//! GradVac: raise cosines to what they usually are.

use super::method::{bad_state, read_tasks};
use super::pcgrad::orders;
use super::solve::gramian;
use super::{Matrix, Method, Settings, Step, Unsolved};
use crate::error::Result;

/// Gradient vaccine (Wang et al. 2021, algorithm 1): as PCGrad, but wherever a task's cosine to another is below its
/// running mean, so much of the other's gradient is added that the cosine becomes that mean. Means begin at 0, which is
/// PCGrad's aim.
///
/// `w` are the coefficients of the sum of the changed gradients. A mean for each ordered pair of tasks over all shared
/// parameters, as in LibMTL and TorchJD; their small constant in denominators is left out, so that nothing depends on
/// the gradients' scale.
pub(super) struct GradVac {
    beta: f64,
    /// Running mean of the cosine of each task's gradient, as changed by then, to each other's.
    cosines: Vec<Vec<f64>>,
}

/// The least sine of the angle that is aimed at: to bring a cosine to 1 would take infinitely much of the other
/// gradient.
const SINE: f64 = 1e-4;

impl GradVac {
    pub(super) fn new(settings: &Settings) -> Self {
        Self::with(settings.tasks(), settings.number("beta"))
    }

    /// For so many tasks.
    pub(super) fn with(tasks: usize, beta: f64) -> Self {
        Self { beta, cosines: vec![vec![0.0; tasks]; tasks] }
    }

    /// The weights, when each task meets the others in this order.
    pub(super) fn vaccinated(&mut self, tasks: &[usize], gramian: &Matrix, orders: &[Vec<usize>]) -> Vec<f64> {
        let mut sum = vec![0.0; tasks.len()];
        for (task, others) in orders.iter().enumerate() {
            let mut mix = vec![0.0; tasks.len()];
            mix[task] = 1.0;
            // Of the changed gradient with the others as they were.
            let mut products = gramian.column(task).clone_owned();
            for &other in others {
                let square: f64 = mix.iter().zip(&products).map(|(share, product)| share * product).sum();
                let (norm, other_norm) = (square.max(0.0).sqrt(), gramian[(other, other)].max(0.0).sqrt());
                if norm == 0.0 || other_norm == 0.0 {
                    continue;
                }
                let cosine = (products[other] / norm / other_norm).clamp(-1.0, 1.0);
                let usual = &mut self.cosines[tasks[task]][tasks[other]];
                if cosine < *usual {
                    let sine = |cosine: f64| (1.0 - cosine * cosine).sqrt();
                    let aim = sine(*usual).max(SINE);
                    let more = norm * (*usual * sine(cosine) - cosine * aim) / (other_norm * aim);
                    mix[other] += more;
                    products += gramian.column(other) * more;
                }
                *usual += self.beta * (cosine - *usual);
            }
            sum.iter_mut().zip(mix).for_each(|(sum, share)| *sum += share);
        }
        sum
    }
}

impl Method for GradVac {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        Ok(self.vaccinated(step.tasks, gramian, &orders(step)))
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!(self.cosines)
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let tasks = self.cosines.len();
        let rows: Vec<serde_json::Value> = read_tasks(state, tasks)?;
        let cosines: Vec<Vec<f64>> = rows.iter().map(|row| read_tasks(row, tasks)).collect::<Result<_>>()?;
        if !cosines.iter().flatten().all(|cosine| cosine.abs() <= 1.0) {
            return Err(bad_state("a cosine beyond 1".into()));
        }
        self.cosines = cosines;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    fn vaccine(cosine: f64) -> GradVac {
        GradVac { beta: 0.5, cosines: vec![vec![cosine; 2]; 2] }
    }

    #[test]
    fn first_step_takes_conflicts_away() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -1.5, -1.5, 4.0]);
        let weights = testing::weights_of(&mut vaccine(0.0), &gramian);
        assert!((weights[0] - 2.5).abs() < 1e-12 && (weights[1] - 1.375).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn a_changed_gradient_has_the_usual_cosine() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.2, 0.2, 4.0]);
        let mut vaccine = vaccine(0.7);
        // The second alone is changed, by its own row of the pair.
        vaccine.cosines[0][1] = -1.0;
        let weights = vaccine.vaccinated(&[0, 1], &gramian, &[vec![1], vec![0]]);
        let added = weights[0] - 1.0;
        let norm = (4.0 + 2.0 * added * 0.2 + added * added).sqrt();
        assert!(((0.2 + added) / norm - 0.7).abs() < 1e-12, "{weights:?}");
        assert!((vaccine.cosines[1][0] - (0.7 + 0.1) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_usual_cosine_of_one_stays_finite() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.5, 0.5, 1.0]);
        assert!(testing::weights_of(&mut vaccine(1.0), &gramian).iter().all(|w| w.is_finite()));
    }
}
