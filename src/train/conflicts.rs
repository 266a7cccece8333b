//! How the tasks' gradients of the shared parameters stand to each other.

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
