//! Random loss weighting.

use super::softmax::softmax_weights;
use super::{Method, Settings, Step, Unsolved};
use crate::data::random::Random;

/// `wᵢ = n softmax(xᵢ)` with new random x in each step (Lin et al. 2022, RLW; TorchJD's Random).
///
/// x are standard normal; or uniform on [0, 1]; or the shares are drawn evenly from all that there are (Dirichlet), or
/// are those of a coin a task, or of one task alone. LibMTL puts Dirichlet draws, which are shares already, through the
/// softmax once more, and does not scale coins to a constant sum.
pub(super) struct Rlw(Draw);

#[derive(Clone, Copy)]
enum Draw {
    Normal,
    Uniform,
    Dirichlet,
    Bernoulli,
    OneTask,
}

impl Rlw {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(match settings.word("distribution").as_str() {
            "uniform" => Draw::Uniform,
            "dirichlet" => Draw::Dirichlet,
            "bernoulli" => Draw::Bernoulli,
            "one_task" => Draw::OneTask,
            _ => Draw::Normal,
        })
    }
}

/// The weights of these draws.
pub(super) fn weights(draws: &[f64]) -> Vec<f64> {
    softmax_weights(draws)
}

impl Method for Rlw {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let (mut random, n) = (step.random(), step.tasks.len());
        let draws = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).collect::<Vec<_>>();
        Ok(match self.0 {
            Draw::Normal => weights(&draws(&mut || random.normal())),
            Draw::Uniform => weights(&draws(&mut || random.unit())),
            // Exponential numbers over their sum are Dirichlet.
            Draw::Dirichlet => in_proportion(draws(&mut || -(1.0 - random.unit()).ln())),
            Draw::Bernoulli => in_proportion(coins(&mut random, n)),
            Draw::OneTask => {
                let chosen = random.below(n.max(1));
                (0..n).map(|task| if task == chosen { n as f64 } else { 0.0 }).collect()
            }
        })
    }
}

/// Zeros and ones, not all of them zeros.
fn coins(random: &mut Random, n: usize) -> Vec<f64> {
    loop {
        let coins: Vec<f64> = (0..n).map(|_| random.below(2) as f64).collect();
        if n == 0 || coins.contains(&1.0) {
            return coins;
        }
    }
}

fn in_proportion(x: Vec<f64>) -> Vec<f64> {
    let sum: f64 = x.iter().sum();
    let n = x.len() as f64;
    if sum > 0.0 { x.into_iter().map(|x| n * x / sum).collect() } else { vec![1.0; x.len()] }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{method_with, step};
    use super::*;

    #[test]
    fn weights_are_one_on_average_and_the_same_for_the_same_step() {
        for distribution in ["normal", "uniform", "dirichlet", "bernoulli", "one_task"] {
            let mut method = method_with("rlw", 3, &[("distribution", distribution.into())]);
            let mut sums = [0.0; 3];
            for number in 0..3000 {
                let step = Step { number, ..step(&[1.0, 2.0, 3.0]) };
                let weights = method.weights(&step).unwrap();
                assert_eq!(weights, method.weights(&step).unwrap());
                assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12, "{distribution} {weights:?}");
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight / 3000.0);
            }
            assert!(sums.iter().all(|mean| (mean - 1.0).abs() < 0.1), "{distribution} {sums:?}");
        }
    }
}
