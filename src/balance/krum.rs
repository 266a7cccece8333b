//! Krum: the gradients amid the others.

use super::solve::{Vector, gramian, of_mean};
use super::{Matrix, Method, Settings, Step, Unsolved};

/// Multi-Krum (Blanchard et al. 2017): of n gradients, up to f of which may be outliers, the mean of the `selected`
/// ones whose distances to their n − f − 2 nearest others add up to least. As TorchJD, distances are not squared.
///
/// `w = n α`. Of equal sums the first task's counts as less. Without at least f + 3 tasks in a step there is no answer;
/// one task alone has weight 1.
pub(super) struct Krum {
    byzantine: usize,
    selected: usize,
}

impl Krum {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { byzantine: settings.whole("byzantine") as usize, selected: settings.whole("selected") as usize }
    }
}

impl Method for Krum {
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved> {
        let gramian = gramian(step)?;
        let tasks = step.tasks.len();
        let least = self.byzantine.saturating_add(3).max(self.selected);
        if tasks == 1 {
            return Ok(vec![1.0]);
        }
        if tasks < least {
            return Err(Unsolved(format!("{tasks} tasks in the step, and krum needs {least} with its parameters")));
        }
        let nearest = tasks - self.byzantine - 2;
        let mut places: Vec<_> =
            (0..tasks).map(|task| (distances(gramian, task).take(nearest).sum::<f64>(), task)).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut shares = Vector::zeros(tasks);
        places.iter().take(self.selected).for_each(|&(_, task)| shares[task] = 1.0 / self.selected as f64);
        Ok(of_mean(&shares))
    }
}

/// Distances of a task's gradient to the others, the nearest first.
fn distances(gramian: &Matrix, task: usize) -> impl Iterator<Item = f64> {
    let others = (0..gramian.nrows()).filter(|&other| other != task);
    let square = |other| gramian[(task, task)] + gramian[(other, other)] - 2.0 * gramian[(task, other)];
    let mut distances: Vec<_> = others.map(|other| f64::max(square(other), 0.0).sqrt()).collect();
    distances.sort_by(f64::total_cmp);
    distances.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing;

    #[test]
    fn outliers_are_not_selected() {
        let rows = Matrix::from_row_slice(5, 2, &[1.0, 0.1, 1.0, 0.0, -90.0, 5.0, 1.1, 0.0, 0.9, -0.1]);
        let gramian = &rows * rows.transpose();
        assert_eq!(testing::weights_of(&mut Krum { byzantine: 1, selected: 1 }, &gramian), [0.0, 5.0, 0.0, 0.0, 0.0]);
        let three = testing::weights_of(&mut Krum { byzantine: 1, selected: 4 }, &gramian);
        assert_eq!(three, [1.25, 1.25, 0.0, 1.25, 1.25]);
    }

    #[test]
    fn two_tasks_have_no_majority() {
        let mut krum = Krum { byzantine: 0, selected: 1 };
        assert!(krum.weights(&testing::step_of(&Matrix::identity(2, 2), &[0, 1], &[1.0; 2])).is_err());
        assert_eq!(testing::weights_of(&mut krum, &Matrix::identity(1, 1)), [1.0]);
    }
}
