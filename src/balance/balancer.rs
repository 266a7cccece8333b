//! The balancing of a run: asks the method of each part, keeps its last answers, and counts the steps without one.

use super::method::{bad_state, read_state};
use super::{Elements, Entry, Matrix, Method, Needs, Settings, Step, Unsolved, registry};
use crate::error::Result;
use crate::recipe::{Balance, Level, Recipe};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A recipe's balancing method in a run.
///
/// The shared parameters are one part, or several with weights of their own ([`Level::Layers`]); all parts hear the
/// same losses. In each step: [`Balancer::is_due`] says whether anything has to be measured, [`Balancer::traces`] comes
/// before [`Balancer::weights`] and [`Balancer::after`] follows the update.
pub struct Balancer {
    entry: &'static Entry,
    level: Level,
    every: u64,
    seed: u64,
    tasks: usize,
    parts: Vec<Part>,
    /// Steps done.
    steps: u64,
    unsolved: u64,
    last_unsolved: Option<String>,
    /// The last step that the method was asked about, until it has heard how it went.
    asked: Option<Asked>,
}

/// Parameters that share their weights.
struct Part {
    method: Box<dyn Method>,
    /// The last weight of every task.
    weights: Vec<f64>,
}

/// What was measured in a part, a row and column (or item) a present task in ascending order. Leave out what the method
/// does not need.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// See [`Step::gramian`].
    pub gramian: Matrix,
    /// See [`Step::excess`].
    pub excess: Vec<f64>,
    /// See [`Step::validation`].
    pub validation: Matrix,
}

/// Number, tasks and losses of a step.
struct Asked {
    number: u64,
    tasks: Vec<usize>,
    losses: Vec<f64>,
}

/// What a saved run keeps of a balancer.
#[derive(Serialize, Deserialize)]
struct State {
    steps: u64,
    unsolved: u64,
    last_unsolved: Option<String>,
    parts: Vec<(Vec<f64>, Value)>,
}

impl Balancer {
    /// The recipe's method at its start, for shared parameters in so many parts.
    ///
    /// # Panics
    /// For a method that [`Recipe::validate`] refuses because there is none of its name.
    pub fn new(recipe: &Recipe, parts: usize) -> Self {
        let settings = Settings::new(&recipe.balance, recipe.tasks.keys());
        let entry = registry::method(&recipe.balance.method).expect("a valid recipe names a method");
        let tasks = recipe.tasks.len();
        let part = || Part { method: entry.make(&settings), weights: vec![1.0; tasks] };
        Self {
            entry,
            level: recipe.balance.level,
            every: recipe.balance.every.max(1) as u64,
            seed: recipe.training.seed,
            tasks,
            parts: std::iter::repeat_with(part).take(parts).collect(),
            steps: 0,
            unsolved: 0,
            last_unsolved: None,
            asked: None,
        }
    }

    /// Goes on with fixed weights of the tasks, given by name; 1 for those that are not named.
    pub fn fix(&mut self, weights: IndexMap<String, f64>, tasks: &[String]) {
        self.entry = registry::method("fixed").expect("a method of that name");
        let settings = Settings::new(&Balance::fixed(weights), tasks);
        self.parts = vec![Part { method: self.entry.make(&settings), weights: vec![1.0; self.tasks] }];
    }

    /// What the method reads of the steps in which it is asked.
    pub fn needs(&self) -> Needs {
        self.entry.needs
    }

    /// Whether the weights never change.
    pub fn is_constant(&self) -> bool {
        self.entry.is_constant()
    }

    /// Number of parts with weights of their own.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Over which numbers gradients are compared.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether the method is asked in the coming step. Otherwise its last weights count and nothing needs to be
    /// measured, but for [`Needs::Traces`] and [`Needs::Squares`]: traces and sums of squares follow every step. What
    /// looks at every number has no weights that could last: [`Needs::Elements`] is always due.
    pub fn is_due(&self) -> bool {
        self.needs() == Needs::Elements || self.is_constant() || self.steps.is_multiple_of(self.every)
    }

    /// The weights of all tasks, a list a part; absent tasks, which have no loss, weigh nothing.
    ///
    /// `losses` are mean losses times the recipe's weights of the tasks; `measured` has an item a part, or none in a
    /// step that is not due or with a method that reads losses only. A method without an answer, or with one that is no
    /// number, is counted ([`Balancer::unsolved`]) and its last weights count, ones before the first.
    pub fn weights(&mut self, losses: &[Option<f64>], measured: &[Measured]) -> Vec<Vec<f64>> {
        let asked = Asked::new(self.steps, losses);
        if self.is_due() && !asked.tasks.is_empty() {
            let none = Measured::default();
            let mut in_vain = false;
            for (index, part) in self.parts.iter_mut().enumerate() {
                let step = asked.step(self.seed, measured.get(index).unwrap_or(&none));
                match answer(part.method.as_mut(), &step) {
                    Ok(weights) => asked.tasks.iter().zip(weights).for_each(|(&task, w)| part.weights[task] = w),
                    Err(Unsolved(why)) => {
                        in_vain = true;
                        self.last_unsolved = Some(why);
                    }
                }
            }
            self.unsolved += u64::from(in_vain);
            self.asked = Some(asked);
        } else {
            self.asked = None;
        }
        self.steps += 1;
        let present = |(w, loss): (&f64, &Option<f64>)| if loss.is_some() { *w } else { 0.0 };
        self.parts.iter().map(|part| part.weights.iter().zip(losses).map(present).collect()).collect()
    }

    /// [`Needs::Traces`]: factors `[a, b]` of every task, a list a part; the trace `y` becomes `a·y + b·g`. Asked in
    /// every step before [`Balancer::weights`], with the Gramians of the gradients themselves.
    /// Traces of absent tasks stay.
    pub fn traces(&mut self, losses: &[Option<f64>], measured: &[Measured]) -> Vec<Vec<[f64; 2]>> {
        let asked = Asked::new(self.steps, losses);
        let none = Measured::default();
        let factors = |(index, part): (usize, &mut Part)| {
            let step = asked.step(self.seed, measured.get(index).unwrap_or(&none));
            let mut factors = vec![[1.0, 0.0]; self.tasks];
            if step.losses.iter().all(|loss| loss.is_finite()) {
                let present = asked.tasks.iter().zip(part.method.trace(&step));
                present.for_each(|(&task, factor)| factors[task] = factor);
            }
            factors
        };
        self.parts.iter_mut().enumerate().map(factors).collect()
    }

    /// [`Needs::LossesTwice`]: the losses of the step's batch after the update. Nothing to hear in steps that were not
    /// due.
    pub fn after(&mut self, losses: &[Option<f64>]) {
        let Some(asked) = self.asked.take() else { return };
        let after: Option<Vec<f64>> = asked.tasks.iter().map(|&task| losses.get(task).copied().flatten()).collect();
        let Some(after) = after.filter(|after| after.iter().all(|loss| loss.is_finite())) else { return };
        for part in &mut self.parts {
            part.method.after(&asked.step(self.seed, &Measured::default()), &after);
        }
    }

    /// [`Needs::Elements`]: how the gradients of the step's present tasks, times their weights, are combined in a part.
    pub fn elements(&self, part: usize) -> Option<Box<dyn Elements + '_>> {
        let asked = self.asked.as_ref()?;
        self.parts[part].method.elements(&asked.step(self.seed, &Measured::default()))
    }

    /// The validation scores of all tasks after an evaluation; higher is better.
    pub fn scored(&mut self, scores: &[Option<f64>]) {
        self.parts.iter_mut().for_each(|part| part.method.scored(scores));
    }

    /// In how many steps a method had no answer so far, in a part at least, and why the last time.
    pub fn unsolved(&self) -> (u64, Option<&str>) {
        (self.unsolved, self.last_unsolved.as_deref())
    }

    /// What a resumed run needs to go on as if it had never stopped; null for weights that never change.
    pub fn state(&self) -> Value {
        if self.entry.is_constant() {
            return Value::Null;
        }
        let parts = self.parts.iter().map(|part| (part.weights.clone(), part.method.state())).collect();
        let last_unsolved = self.last_unsolved.clone();
        json!(State { steps: self.steps, unsolved: self.unsolved, last_unsolved, parts })
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// If the state is not one of this recipe's method.
    pub fn restore(&mut self, state: &Value) -> Result<()> {
        if self.entry.is_constant() {
            return Ok(());
        }
        let state: State = read_state(state)?;
        let fits = |(weights, _): &(Vec<f64>, Value)| weights.len() == self.tasks;
        if state.parts.len() != self.parts.len() || !state.parts.iter().all(fits) {
            return Err(bad_state(format!("weights of {} parts that do not fit the recipe", state.parts.len())));
        }
        for (part, (weights, method)) in self.parts.iter_mut().zip(state.parts) {
            part.method.restore(&method)?;
            part.weights = weights;
        }
        (self.steps, self.unsolved, self.last_unsolved) = (state.steps, state.unsolved, state.last_unsolved);
        self.asked = None;
        Ok(())
    }
}

impl Asked {
    fn new(number: u64, losses: &[Option<f64>]) -> Self {
        let (tasks, losses) = losses.iter().enumerate().filter_map(|(task, loss)| Some((task, (*loss)?))).unzip();
        Self { number, tasks, losses }
    }

    fn step<'a>(&'a self, seed: u64, measured: &'a Measured) -> Step<'a> {
        Step {
            number: self.number,
            seed,
            tasks: &self.tasks,
            losses: &self.losses,
            gramian: measured.gramian.clone(),
            excess: &measured.excess,
            validation: measured.validation.clone(),
        }
    }
}

/// The method's answer, if what it is asked and what it says are numbers.
fn answer(method: &mut dyn Method, step: &Step) -> Result<Vec<f64>, Unsolved> {
    let mut seen = step.losses.iter().chain(step.excess).chain(step.gramian.iter()).chain(step.validation.iter());
    if !seen.all(|x| x.is_finite()) {
        return Err(Unsolved("a loss or a product of gradients is not finite".into()));
    }
    let weights = method.weights(step)?;
    if weights.len() != step.tasks.len() || !weights.iter().all(|w| w.is_finite()) {
        return Err(Unsolved(format!("the weights {weights:?} are not {} finite numbers", step.tasks.len())));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Balance, Task};

    fn balancer(balance: Balance, parts: usize) -> Balancer {
        let task = || serde_json::from_value::<Task>(json!({"type": "regression", "train": "a.csv"})).unwrap();
        let tasks = ["a", "b", "c"].map(|name| (name.to_owned(), task())).into_iter().collect();
        Balancer::new(&Recipe { balance, tasks, ..Recipe::default() }, parts)
    }

    fn with(method: &str, change: impl FnOnce(&mut Balance)) -> Balance {
        let mut balance = Balance::new(method);
        change(&mut balance);
        balance
    }

    const LOSSES: [Option<f64>; 3] = [Some(4.0), Some(1.0), Some(0.25)];

    #[test]
    fn absent_tasks_weigh_nothing() {
        let mut balancer = balancer(Balance::new("gls"), 1);
        let weights = balancer.weights(&[Some(4.0), None, Some(1.0)], &[]);
        assert_eq!(weights[0][1], 0.0);
        assert!((weights[0][0] - 0.5).abs() < 1e-12 && (weights[0][2] - 2.0).abs() < 1e-12, "{weights:?}");
        assert_eq!(balancer.weights(&[None, None, None], &[]), [[0.0; 3]]);
        assert_eq!(balancer.unsolved(), (0, None));
    }

    #[test]
    fn without_an_answer_the_last_weights_count() {
        let mut balancer = balancer(Balance::new("gls"), 1);
        assert_eq!(balancer.weights(&[Some(f64::NAN), Some(1.0), None], &[]), [[1.0, 1.0, 0.0]]);
        let last = balancer.weights(&LOSSES, &[]);
        assert_eq!(balancer.weights(&[Some(f64::INFINITY), Some(1.0), Some(1.0)], &[]), last);
        let (count, why) = balancer.unsolved();
        assert_eq!(count, 2);
        assert!(why.unwrap().contains("not finite"), "{why:?}");
        // A method of gradients that nobody measured.
        let mut balancer = super::tests::balancer(Balance::new("gradnorm"), 1);
        assert_eq!(balancer.weights(&LOSSES, &[]), [[1.0; 3]]);
        assert_eq!(balancer.unsolved().0, 1);
    }

    #[test]
    fn methods_are_asked_every_so_many_steps() {
        let mut balancer = balancer(with("gls", |balance| balance.every = 3), 1);
        let mut due = Vec::new();
        let mut answers = Vec::new();
        for step in 0..7 {
            due.push(balancer.is_due());
            answers.push(balancer.weights(&[Some(1.0 + f64::from(step)), Some(1.0), Some(1.0)], &[]));
        }
        assert_eq!(due, [true, false, false, true, false, false, true]);
        assert!(answers[0] == answers[1] && answers[1] == answers[2] && answers[2] != answers[3]);
    }

    #[test]
    fn single_numbers_are_combined_in_every_step() {
        let mut balancer = balancer(with("trimmed_mean", |balance| balance.every = 3), 1);
        for _ in 0..4 {
            assert_eq!(balancer.weights(&LOSSES, &[]), [[1.0; 3]]);
            assert_eq!(balancer.elements(0).unwrap().at(0, &[1.0, 2.0, 30.0]), 6.0);
        }
    }

    #[test]
    fn parts_have_weights_of_their_own() {
        let mut balancer = balancer(Balance::new("db_mtl"), 2);
        let measured = [[1.0, 4.0, 16.0], [1.0, 1.0, 1.0]].map(|squares| Measured {
            gramian: Matrix::from_diagonal(&squares.to_vec().into()),
            ..Measured::default()
        });
        let traces = balancer.traces(&LOSSES, &measured);
        assert_eq!((traces.len(), &traces[0]), (2, &traces[1]));
        assert_eq!(balancer.weights(&LOSSES, &measured), [[4.0, 2.0, 1.0], [1.0, 1.0, 1.0]]);
    }

    #[test]
    fn a_restored_balancer_goes_on_as_if_it_had_never_stopped() {
        for name in ["uncertainty", "famo", "dwa", "rlw", "dtp"] {
            let fresh = || balancer(with(name, |balance| balance.every = 2), 2);
            let go = |balancer: &mut Balancer, steps: std::ops::Range<u32>| -> Vec<_> {
                let mut step = |step: u32| {
                    let losses = LOSSES.map(|loss| loss.map(|loss| loss / (1.0 + loss * f64::from(step))));
                    let weights = balancer.weights(&losses, &[]);
                    balancer.after(&LOSSES);
                    balancer.scored(&[Some(0.1 * f64::from(step)), Some(0.5), None]);
                    weights
                };
                steps.map(&mut step).collect()
            };
            let mut whole = fresh();
            let expected = go(&mut whole, 0..12).split_off(5);
            let mut first = fresh();
            go(&mut first, 0..5);
            let state: Value = serde_json::from_str(&first.state().to_string()).unwrap();
            let mut second = fresh();
            second.restore(&state).unwrap();
            assert_eq!(go(&mut second, 5..12), expected, "{name}");
            assert_eq!(second.state(), whole.state(), "{name}");
        }
    }

    #[test]
    fn states_of_other_recipes_are_refused() {
        let state = balancer(Balance::new("famo"), 1).state();
        assert!(balancer(Balance::new("famo"), 1).restore(&state).is_ok());
        assert!(balancer(Balance::new("famo"), 2).restore(&state).is_err());
        assert!(balancer(Balance::new("dwa"), 1).restore(&state).is_err());
        assert!(balancer(Balance::new("famo"), 1).restore(&Value::Null).is_err());
        let mut equal = balancer(Balance::new("equal"), 1);
        assert_eq!(equal.state(), Value::Null);
        assert!(equal.restore(&Value::Null).is_ok());
    }
}
