//! What a balancing method is: its needs, what it sees of a step, and its answer.

use super::Matrix;
use crate::data::random::Random;
use crate::error::{Fault, Problem, Result};
use serde::de::DeserializeOwned;

/// What a method reads of each step; this decides what a step costs with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The losses, or not even them. [`Step::gramian`] and the rest are empty.
    Losses,
    /// The losses, and the losses of the same batch under the same dropout after the update: [`Method::after`].
    LossesTwice,
    /// The Gramian of the task gradients: [`Step::gramian`].
    Gramian,
    /// The inner products of the task gradients of two halves of the batch: [`Step::gramian`] is `J₁ J₂ᵀ`.
    Halves,
    /// A running trace of every task's gradient: [`Method::trace`]. [`Step::gramian`] is that of the traces in
    /// [`Method::weights`], and the weights are those of the traces.
    Traces,
    /// [`Step::gramian`], and the squared gradients against their running sum: [`Step::excess`].
    Squares,
    /// Every number of every task's gradient: [`Method::elements`].
    Elements,
    /// [`Step::gramian`], and the inner products of validation gradients and task gradients: [`Step::validation`].
    Validation,
}

impl Needs {
    /// Whether the method reads gradients.
    pub fn reads_gradients(self) -> bool {
        !matches!(self, Self::Losses | Self::LossesTwice)
    }

    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Self::Losses => "losses",
            Self::LossesTwice => "losses twice",
            Self::Gramian => "gramian",
            Self::Halves => "gramian of halves",
            Self::Traces => "traces",
            Self::Squares => "squares",
            Self::Elements => "elements",
            Self::Validation => "validation",
        }
    }
}

/// What is known of a step. Tasks without examples in it are left out.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Steps of the run before this one, whatever tasks they had and whether or not the method was asked about them.
    pub number: u64,
    /// Seed of the run. A method that draws numbers draws them from seed and step number alone ([`Step::random`]), so
    /// that nothing of it has to be saved.
    pub seed: u64,
    /// The present tasks' places among all tasks of the recipe, ascending: where a method keeps what it knows of them.
    pub tasks: &'a [usize],
    /// Mean loss of each present task, times the recipe's weight of the task.
    pub losses: &'a [f64],
    /// Inner products of the gradients of those losses, `[present][present]`.
    pub gramian: Matrix,
    /// `Σ g² / (√h + 1e-8)` over the shared parameters of each present task, `h` being the sum of the task's `g²` up to
    /// and with this step.
    pub excess: &'a [f64],
    /// Inner products of the gradients of validation losses (rows) and of `losses` (columns), `[present][present]`.
    pub validation: Matrix,
}

impl Step<'_> {
    /// Random numbers of this step: the same ones whenever it is done again.
    pub fn random(&self) -> Random {
        Random::new(&[self.seed, self.number, RANDOM])
    }
}

/// Tells the draws of balancing from those of sampling and dropout.
const RANDOM: u64 = 0x6261_6c61_6e63_6500;

/// How the present tasks' gradients are combined number by number.
pub trait Elements: Sync {
    /// Combines rows of as many numbers, one a task, into `out`. The place of the first number is given, for methods that
    /// draw a number at each place.
    fn combine(&self, first: u64, rows: &[&[f32]], out: &mut [f32]);

    /// Combines the numbers of one place.
    fn at(&self, place: u64, numbers: &[f32]) -> f32 {
        let rows: Vec<&[f32]> = numbers.chunks(1).collect();
        let mut out = [0.0];
        self.combine(place, &rows, &mut out);
        out[0]
    }
}

/// Why a method has no answer of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsolved(pub String);

/// A balancing method: one weight a task for each step, and whatever it remembers between steps.
pub trait Method: Send {
    /// Weights of the present tasks.
    ///
    /// The shared parameters then follow `1/T Σ wᵢ gᵢ` over the gradients of [`Step::losses`], where T counts all tasks
    /// of the recipe: all ones are equal weighting.
    ///
    /// # Errors
    /// If a solver fails or does not converge. The caller says so and goes on with the last weights.
    fn weights(&mut self, step: &Step) -> Result<Vec<f64>, Unsolved>;

    /// [`Needs::LossesTwice`]: the losses of the same batch after the update, scaled as [`Step::losses`] were.
    fn after(&mut self, _step: &Step, _losses: &[f64]) {}

    /// [`Needs::Traces`]: factors `[a, b]` of each present task, whose trace `y` becomes `a·y + b·g`. Asked before
    /// [`Method::weights`], with the Gramian of the gradients themselves. Traces begin at zero.
    fn trace(&mut self, _step: &Step) -> Vec<[f64; 2]> {
        Vec::new()
    }

    /// [`Needs::Elements`]: how gradients are combined where weights do not say it. Gradients are times `wᵢ` by then,
    /// and what the function returns stands where `Σ wᵢ gᵢ` would: the shared parameters follow a T-th of it.
    fn elements<'a>(&'a self, _step: &Step) -> Option<Box<dyn Elements + 'a>> {
        None
    }

    /// The validation scores of all tasks, after each evaluation; higher is better.
    fn scored(&mut self, _scores: &[Option<f64>]) {}

    /// What a resumed run needs to go on as if it had never stopped.
    fn state(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this method.
    fn restore(&mut self, _state: &serde_json::Value) -> Result<()> {
        Ok(())
    }
}

/// Reads a state of a method.
pub(super) fn read_state<T: DeserializeOwned>(state: &serde_json::Value) -> Result<T> {
    T::deserialize(state).map_err(|error| bad_state(error.to_string()))
}

/// Reads a state that is a list with one item a task.
pub(super) fn read_tasks<T: DeserializeOwned>(state: &serde_json::Value, tasks: usize) -> Result<Vec<T>> {
    let values: Vec<T> = read_state(state)?;
    if values.len() != tasks {
        return Err(bad_state(format!("{} numbers for {tasks} tasks", values.len())));
    }
    Ok(values)
}

pub(super) fn bad_state(found: String) -> crate::error::Error {
    let help = "the saved state is of another recipe or version; start the run anew";
    Problem::new(found, "the state of the balancing method", help).checkpoint(Fault::Json)
}
