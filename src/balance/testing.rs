//! What unit tests of methods share.

use super::{Matrix, Method, Settings, Step, registry};
use crate::recipe::{Balance, ParameterValue};

/// A method with its defaults, for so many tasks.
pub(super) fn method(name: &str, tasks: usize) -> Box<dyn Method> {
    method_with(name, tasks, &[])
}

/// A method with some parameters.
pub(super) fn method_with(name: &str, tasks: usize, parameters: &[(&str, ParameterValue)]) -> Box<dyn Method> {
    let mut balance = Balance::new(name);
    for (parameter, value) in parameters {
        balance.parameters.insert((*parameter).to_owned(), value.clone());
    }
    let names = (0..tasks).map(|task| format!("task {task}"));
    registry::method(name).expect("a method").make(&Settings::new(&balance, names))
}

/// The first step, with all tasks present (of at most 8).
pub(super) fn step(losses: &[f64]) -> Step<'_> {
    Step {
        number: 0,
        seed: 7,
        tasks: &[0, 1, 2, 3, 4, 5, 6, 7][..losses.len()],
        losses,
        gramian: Matrix::default(),
        excess: &[],
        validation: Matrix::default(),
    }
}

/// The weights of steps with these losses.
pub(super) fn steps<const T: usize>(method: &mut dyn Method, losses: &[[f64; T]]) -> Vec<Vec<f64>> {
    let step = |(number, losses)| method.weights(&Step { number, ..step(losses) }).expect("weights");
    (0..).zip(losses.iter().map(|losses| &losses[..])).map(step).collect()
}

/// Step 0 of a run, with these tasks.
pub(super) fn step_of<'a>(gramian: &Matrix, tasks: &'a [usize], losses: &'a [f64]) -> Step<'a> {
    let empty = Matrix::zeros(0, 0);
    Step { number: 0, seed: 0, tasks, losses, gramian: gramian.clone(), excess: &[], validation: empty }
}

/// The method's weights for tasks with this Gramian, all present, losses 1.
pub(super) fn weights_of(method: &mut dyn Method, gramian: &Matrix) -> Vec<f64> {
    let tasks: Vec<_> = (0..gramian.nrows()).collect();
    method.weights(&step_of(gramian, &tasks, &vec![1.0; tasks.len()])).expect("the method has an answer")
}

/// How fast each task gets better along `Σ wᵢ gᵢ`.
pub(super) fn rates(gramian: &Matrix, weights: &[f64]) -> Vec<f64> {
    (gramian * nalgebra::DVector::from_column_slice(weights)).iter().copied().collect()
}
