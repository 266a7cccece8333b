//! How the tasks' gradients of the shared parameters stand to each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Gradients of the mean task losses with respect to the shared parameters, as measured in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflicts {
    /// Euclidean norm of each task's gradient; `None` for tasks without examples or weight in the step.
    pub norms: Vec<Option<f64>>,
    /// Cosine of the angle between the gradients of two tasks, `[task][task]`; below zero they conflict. `None` where one
    /// of the two has no gradient.
    pub cosines: Vec<Vec<Option<f64>>>,
}

impl Conflicts {
    /// From inner products of the gradients of `scale · loss`.
    pub(super) fn new(gramian: &[Vec<f64>], scales: &[f64]) -> Self {
        let length = |task: usize| (gramian[task][task] > 0.0).then(|| gramian[task][task].sqrt());
        let norm = |task: usize| length(task).map(|length| length / scales[task].abs());
        let cosine = |a: usize, b: usize| {
            let cosine = gramian[a][b] / (length(a)? * length(b)?) * (scales[a] * scales[b]).signum();
            Some(cosine.clamp(-1.0, 1.0))
        };
        let tasks = 0..gramian.len();
        Self {
            norms: tasks.clone().map(norm).collect(),
            cosines: tasks.clone().map(|a| tasks.clone().map(|b| cosine(a, b)).collect()).collect(),
        }
    }
}

/// Two tasks whose gradients conflict most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistent {
    /// The tasks' numbers.
    pub tasks: [usize; 2],
    /// Measurements with a cosine below zero.
    pub below: usize,
    /// Measurements looked at, the last ones.
    pub of: usize,
}

/// Looks for pairs of tasks that conflict persistently, and names each pair once.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whether the cosine was below zero, in the last measurements of each pair.
    last: BTreeMap<[usize; 2], VecDeque<bool>>,
    told: BTreeSet<[usize; 2]>,
}

/// Measurements that are looked at, and how many of them have to be below zero: chance alone, with cosines as often above
/// as below, does that in 2 of 100 windows.
const WINDOW: usize = 20;
const MOST: usize = 15;

impl Watch {
    /// Takes a measurement; gives the pairs that are to be named now.
    pub fn look(&mut self, conflicts: &Conflicts) -> Vec<Persistent> {
        let mut found = Vec::new();
        for (a, row) in conflicts.cosines.iter().enumerate() {
            for (b, cosine) in row.iter().enumerate().skip(a + 1) {
                let Some(cosine) = cosine else { continue };
                let last = self.last.entry([a, b]).or_default();
                last.push_back(*cosine < 0.0);
                if last.len() > WINDOW {
                    last.pop_front();
                }
                let below = last.iter().filter(|below| **below).count();
                if below >= MOST && self.told.insert([a, b]) {
                    found.push(Persistent { tasks: [a, b], below, of: last.len() });
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_named_once_and_only_if_it_conflicts_most_of_the_time() {
        let at = |step: usize| {
            let mut gramian = vec![vec![1.0; 3]; 3];
            // Tasks 0 and 1 conflict in four of five steps, 0 and 2 in every other one.
            for ([a, b], below) in [([0, 1], !step.is_multiple_of(5)), ([0, 2], step.is_multiple_of(2))] {
                gramian[a][b] = if below { -0.5 } else { 0.5 };
            }
            Conflicts::new(&gramian, &[1.0; 3])
        };
        let mut watch = Watch::default();
        let found: Vec<_> = (0..100).flat_map(|step| watch.look(&at(step))).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].tasks, found[0].below), ([0, 1], MOST));
    }
}
