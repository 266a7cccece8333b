//! The balancing methods that a recipe may name, and the parameters of each: names, defaults, ranges.

use super::balance::ParameterValue;

/// A balancing method as recipes know it.
#[derive(Debug)]
pub struct BalanceMethod {
    /// Name in the recipe.
    pub name: &'static str,
    /// What it does, in half a line.
    pub summary: &'static str,
    /// What can be set.
    pub parameters: &'static [Parameter],
}

/// A parameter of a balancing method.
#[derive(Debug)]
pub struct Parameter {
    /// Name in the recipe.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
    /// What it means, in half a line.
    pub meaning: &'static str,
}

/// What a parameter may be.
#[derive(Debug)]
pub enum ParameterKind {
    /// A number.
    Number {
        /// The value if the recipe has none.
        default: f64,
        /// Which numbers it may be.
        range: Range,
    },
    /// A whole number.
    Whole {
        /// The value if the recipe has none.
        default: i64,
        /// The smallest that it may be.
        least: i64,
    },
    /// True or false.
    Switch {
        /// The value if the recipe has none.
        default: bool,
    },
    /// One of these words; the first is the default.
    Word {
        /// The words.
        words: &'static [&'static str],
    },
}

/// Which numbers a parameter may be; never NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Above 0.
    Positive,
    /// 0 or more.
    NotNegative,
    /// From 0 to 1.
    Share,
    /// From 0 to below 1.
    BelowOne,
    /// Above 0, up to 1.
    Rate,
    /// Any.
    Any,
}

impl Range {
    /// Whether a number is in the range.
    pub fn contains(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Self::Positive => x > 0.0,
                Self::NotNegative => x >= 0.0,
                Self::Share => (0.0..=1.0).contains(&x),
                Self::BelowOne => (0.0..1.0).contains(&x),
                Self::Rate => x > 0.0 && x <= 1.0,
                Self::Any => true,
            }
    }

    /// The range as error messages say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Positive => "a number above 0",
            Self::NotNegative => "a number, 0 or more",
            Self::Share => "a number from 0 to 1",
            Self::BelowOne => "a number from 0 to below 1",
            Self::Rate => "a number above 0, up to 1",
            Self::Any => "a finite number",
        }
    }
}

impl BalanceMethod {
    /// All of them, in the order in which they are listed.
    pub const ALL: &'static [Self] = METHODS;

    /// The method of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

impl Parameter {
    /// The value if the recipe has none.
    pub fn default_value(&self) -> ParameterValue {
        match &self.kind {
            ParameterKind::Number { default, .. } => ParameterValue::Number(*default),
            ParameterKind::Whole { default, .. } => ParameterValue::Whole(*default),
            ParameterKind::Switch { default } => ParameterValue::Switch(*default),
            ParameterKind::Word { words } => ParameterValue::Word(words.first().copied().unwrap_or_default().into()),
        }
    }

    /// What it may be, in the words of error messages.
    pub fn expected(&self) -> String {
        match &self.kind {
            ParameterKind::Number { range, .. } => range.words().into(),
            ParameterKind::Whole { least, .. } => format!("a whole number, {least} or more"),
            ParameterKind::Switch { .. } => "true or false".into(),
            ParameterKind::Word { words } => {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
            }
        }
    }

    /// Whether a value is what it may be.
    pub fn accepts(&self, value: &ParameterValue) -> bool {
        match (&self.kind, value) {
            (ParameterKind::Number { range, .. }, ParameterValue::Number(x)) => range.contains(*x),
            (ParameterKind::Number { range, .. }, ParameterValue::Whole(n)) => range.contains(*n as f64),
            (ParameterKind::Whole { least, .. }, ParameterValue::Whole(n)) => n >= least,
            (ParameterKind::Switch { .. }, ParameterValue::Switch(_)) => true,
            (ParameterKind::Word { words }, ParameterValue::Word(word)) => words.contains(&word.as_str()),
            _ => false,
        }
    }
}

const fn method(name: &'static str, summary: &'static str, parameters: &'static [Parameter]) -> BalanceMethod {
    BalanceMethod { name, summary, parameters }
}

const fn number(name: &'static str, default: f64, range: Range, meaning: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Number { default, range }, meaning }
}

const fn whole(name: &'static str, default: i64, least: i64, meaning: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Whole { default, least }, meaning }
}

const fn switch(name: &'static str, default: bool, meaning: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Switch { default }, meaning }
}

const fn word(name: &'static str, words: &'static [&'static str], meaning: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::Word { words }, meaning }
}

use Range::{BelowOne, NotNegative, Positive, Rate, Share};

/// Learning rate of numbers that a method learns beside the model.
const RATE: Parameter = number("learning_rate", 0.025, Positive, "Adam's learning rate of the learned scales");

#[rustfmt::skip]
static METHODS: &[BalanceMethod] = &[
    method("equal", "the mean loss of each task counts the same", &[]),
    method("fixed", "the mean loss of each task counts as `balance.weights` says", &[]),
    // METHODS
];
