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
