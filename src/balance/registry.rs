//! Every balancing method: what it needs, where it comes from, what it costs, and how one is made.

use super::{Method, Needs, equal, fixed};
use crate::recipe::{Balance, BalanceMethod, ParameterValue};

/// A balancing method that a recipe may name.
#[derive(Debug)]
pub struct Entry {
    /// Name in the recipe.
    pub name: &'static str,
    /// What it reads of each step.
    pub needs: Needs,
    /// Authors, year, short title, and where it is published.
    pub paper: &'static str,
    /// What a step costs beside equal weighting, in words.
    pub cost: &'static str,
    make: fn(&Settings) -> Box<dyn Method>,
}

impl Entry {
    /// Summary and parameters.
    ///
    /// # Panics
    /// Never: a test holds that the table of the recipe has every method.
    pub fn known(&self) -> &'static BalanceMethod {
        BalanceMethod::find(self.name).expect("every method has a line in the recipe's table")
    }

    /// Whether its weights never change, so that a run has nothing to remember.
    pub fn is_constant(&self) -> bool {
        matches!(self.name, "equal" | "fixed")
    }

    /// A method at its start.
    pub fn make(&self, settings: &Settings) -> Box<dyn Method> {
        (self.make)(settings)
    }
}

/// What a method is made from: the tasks in their order, and the recipe's `[balance]`.
#[derive(Clone, Debug)]
pub struct Settings {
    tasks: Vec<String>,
    balance: Balance,
}

impl Settings {
    /// Settings for tasks of these names.
    pub fn new<S: Into<String>>(balance: &Balance, tasks: impl IntoIterator<Item = S>) -> Self {
        Self { tasks: tasks.into_iter().map(Into::into).collect(), balance: balance.clone() }
    }

    /// Number of tasks of the recipe.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The recipe's weight of each task, 1 where it names none.
    pub fn weights(&self) -> Vec<f64> {
        let given = |task| self.balance.weights.as_ref()?.get(task).copied();
        self.tasks.iter().map(|task| given(task).unwrap_or(1.0)).collect()
    }

    /// A parameter that is a number.
    ///
    /// # Panics
    /// As all of these, if the method has no such parameter: that is a mistake in the method, and a test makes all of them.
    pub fn number(&self, name: &str) -> f64 {
        match self.value(name) {
            ParameterValue::Number(x) => x,
            ParameterValue::Whole(n) => n as f64,
            other => panic!("`{name}` is {other:?}, not a number"),
        }
    }

    /// A parameter that is a whole number.
    pub fn whole(&self, name: &str) -> u64 {
        match self.value(name) {
            ParameterValue::Whole(n) => n.unsigned_abs(),
            other => panic!("`{name}` is {other:?}, not a whole number"),
        }
    }

    /// A parameter that is true or false.
    pub fn switch(&self, name: &str) -> bool {
        match self.value(name) {
            ParameterValue::Switch(on) => on,
            other => panic!("`{name}` is {other:?}, not true or false"),
        }
    }

    /// A parameter that is one of several words.
    pub fn word(&self, name: &str) -> String {
        match self.value(name) {
            ParameterValue::Word(word) => word,
            other => panic!("`{name}` is {other:?}, not a word"),
        }
    }

    /// The value, or the default where the recipe has one of a wrong kind, which its validation refuses.
    fn value(&self, name: &str) -> ParameterValue {
        let parameter = self.balance.known().and_then(|known| known.parameter(name));
        let parameter = parameter.unwrap_or_else(|| panic!("`{}` has no parameter `{name}`", self.balance.method));
        let given = self.balance.parameters.get(name).filter(|value| parameter.accepts(value));
        given.cloned().unwrap_or_else(|| parameter.default_value())
    }
}

/// All methods, in the order of [`BalanceMethod::ALL`].
pub fn methods() -> &'static [Entry] {
    ENTRIES
}

/// The method of this name.
pub fn method(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

const NONE: &str = "none";
const SOLVE: &str = "task gradients and one small solve a step";

#[rustfmt::skip]
static ENTRIES: &[Entry] = &[
    Entry { name: "equal", needs: Needs::Losses, paper: "–", cost: NONE, make: |_| Box::new(equal::Equal) },
    Entry { name: "fixed", needs: Needs::Losses, paper: "–", cost: NONE, make: |s| Box::new(fixed::Fixed::new(s)) },
    // ENTRIES
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_name_these_methods_and_no_others() {
        let known: Vec<_> = BalanceMethod::ALL.iter().map(|method| method.name).collect();
        assert_eq!(ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>(), known);
    }

    #[test]
    fn every_method_can_be_made() {
        for entry in methods() {
            let mut method = entry.make(&Settings::new(&Balance::new(entry.name), ["a", "b", "c"]));
            let state = method.state();
            method.restore(&state).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        }
    }
}
