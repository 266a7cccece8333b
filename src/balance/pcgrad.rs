//! PCGrad: project away what conflicts.

use super::solve::gramian;
use super::{Matrix, Method, Step, Unsolved};

/// Gradient surgery (Yu et al. 2020, algorithm 1): from each task's gradient the components against the other tasks'
/// original gradients are taken away, one after the other in random order, where they conflict. The result is their
/// sum.
///
/// `w` are the coefficients of that sum; found from the Gramian, so the gradients themselves are not touched.
pub(super) struct PcGrad;

impl Method for PcGrad {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        Ok(projected(gramian(step)?, &orders(step)))
    }
}

/// For each present task, the others in random order.
pub(super) fn orders(step: &Step) -> Vec<Vec<usize>> {
    let mut random = step.random();
    let tasks = step.tasks.len();
    let order = |task: usize| {
        let mut others: Vec<_> = (0..tasks).filter(|&other| other != task).collect();
        random.shuffle(&mut others);
        others
    };
    (0..tasks).map(order).collect()
}

/// The weights, when each task meets the others in this order.
pub(super) fn projected(gramian: &Matrix, orders: &[Vec<usize>]) -> Vec<f64> {
    let mut sum = vec![0.0; orders.len()];
    for (task, others) in orders.iter().enumerate() {
        let mut mix = vec![0.0; orders.len()];
        mix[task] = 1.0;
        for &other in others {
            let product: f64 = mix.iter().enumerate().map(|(i, share)| share * gramian[(i, other)]).sum();
            let square = gramian[(other, other)];
            if product < 0.0 && square > 0.0 {
                mix[other] -= product / square;
            }
        }
        sum.iter_mut().zip(mix).for_each(|(sum, share)| *sum += share);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    #[test]
    fn two_conflicting_gradients_no_longer_conflict() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, -1.5, -1.5, 4.0]);
        let weights = testing::weights_of(&mut PcGrad, &gramian);
        // Of each the part across the other: 1 + 1.5/1 of the first, 1 + 1.5/4 of the second.
        assert_eq!(weights, [2.5, 1.375]);
        assert!(testing::rates(&gramian, &weights).iter().all(|&rate| rate >= 0.0));
    }

    #[test]
    fn gradients_that_agree_are_added() {
        let gramian = Matrix::from_row_slice(2, 2, &[1.0, 0.5, 0.5, 4.0]);
        assert_eq!(testing::weights_of(&mut PcGrad, &gramian), [1.0, 1.0]);
    }

    #[test]
    fn orders_change_from_step_to_step_and_come_again() {
        let gramian = Matrix::identity(5, 5);
        let at = |number| orders(&Step { number, ..testing::step_of(&gramian, &[0, 1, 2, 3, 4], &[1.0; 5]) });
        assert_eq!(at(3), at(3));
        assert_ne!(at(3), at(4));
    }
}
