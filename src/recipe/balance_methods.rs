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

    /// "number", "whole", "switch" or "word".
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            ParameterKind::Number { .. } => "number",
            ParameterKind::Whole { .. } => "whole",
            ParameterKind::Switch { .. } => "switch",
            ParameterKind::Word { .. } => "word",
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

use Range::{Any, BelowOne, NotNegative, Positive, Rate, Share};

/// Learning rate of numbers that a method learns beside the model.
const RATE: Parameter = number("learning_rate", 0.025, Positive, "Adam's learning rate of the learned scales");

/// Learning rate of weights that are learned on validation losses.
const VALIDATION_RATE: Parameter = number("learning_rate", 1e-3, Positive, "Adam's learning rate of the weights");

#[rustfmt::skip]
static METHODS: &[BalanceMethod] = &[
    method("equal", "the mean loss of each task counts the same", &[]),
    method("fixed", "the mean loss of each task counts as `balance.weights` says", &[]),
    method("search", "fixed weights found in short runs before the run", &[
        whole("trials", 8, 1, "weights that are tried, the first of them all 1"),
        number("share", 0.25, Rate, "length of a trial, as a share of the run's steps"),
        number("spread", 4.0, Positive, "weights are drawn between 1/spread and spread, evenly in their logarithm"),
    ]),
    method("uncertainty", "each task's noise is learned and its loss divided by it", &[
        RATE,
        number("start", 0.0, Any, "logarithm of the variance at the start"),
    ]),
    method("dwa", "tasks whose loss falls slowly weigh more", &[
        number("temperature", 2.0, Positive, "small for stronger differences, large for equal weights"),
        whole("period", 1, 1, "steps whose mean losses are compared with those of as many steps before"),
    ]),
    method("rlw", "new random weights in each step", &[
        word("distribution", &["normal", "uniform", "dirichlet", "bernoulli", "one_task"], "what is drawn for each task"),
    ]),
    method("gls", "the geometric mean of the losses", &[]),
    method("imtl_l", "learned scales that make all losses alike", &[RATE]),
    method("stch", "the largest loss, made smooth", &[
        number("mu", 1.0, Positive, "small for the largest loss alone, large for equal weights"),
        switch("logarithm", false, "compare logarithms of losses over those of the start"),
        whole("warmup", 10, 1, "steps that are the start, where `logarithm` is true"),
    ]),
    method("famo", "all losses fall at the same rate", &[
        RATE,
        number("decay", 1e-3, NotNegative, "pull of the weights towards equal ones"),
    ]),
    method("dtp", "tasks with low validation scores weigh more", &[
        number("gamma", 1.0, NotNegative, "how much the weight of a task with a good score is pushed down"),
        number("newest", 0.5, Rate, "share of the newest score in the running mean"),
    ]),
    method("gradnorm", "gradients of one length, longer for tasks that learn slowly", &[
        number("alpha", 1.5, NotNegative, "how much longer; 0 for one length"),
        RATE,
        whole("warmup", 0, 0, "steps without learning whose mean loss is that of the start"),
    ]),
    method("excess_mtl", "tasks that are far from their best weigh more", &[
        number("learning_rate", 0.01, Positive, "growth of a weight's logarithm with the excess risk"),
        whole("warmup", 1, 1, "steps with equal weights whose mean risk is that of the start"),
    ]),
    method("db_mtl", "traces of the gradients of log losses, all as long as the longest", &[
        number("beta", 0.9, BelowOne, "share of the past in a trace, in the first step"),
        number("decay", 0.5, NotNegative, "how it falls: with the steps to this power"),
    ]),
    method("moco", "the shortest convex combination of traces of the gradients", &[
        number("beta", 0.5, Rate, "share of the new gradient in a trace, in the first step"),
        number("gamma", 0.1, Positive, "learning rate of the shares, in the first step"),
        number("decay", 0.5, NotNegative, "how both fall: with the steps to this power"),
        number("rho", 0.0, NotNegative, "pull towards equal shares"),
        switch("scaled", true, "gradients are scaled to the length of their loss"),
    ]),
    method("modo", "shares of the shortest combination, learned from two halves of each batch", &[
        number("gamma", 1e-3, Positive, "learning rate of the shares"),
        number("rho", 0.1, NotNegative, "pull towards equal shares"),
    ]),
    method("sdmgrad", "as modo, pulled towards the mean gradient", &[
        number("lambda", 0.3, NotNegative, "strength of that pull"),
    ]),
    method("graddrop", "each number of the gradient takes one sign", &[
        number("leak", 0.0, Share, "share that stays of the numbers of the other sign"),
    ]),
    method("trimmed_mean", "the most extreme numbers at each place do not count", &[
        whole("trim", 1, 0, "numbers left out at either end"),
    ]),
    method("imtl_g", "equal projections of the direction onto every task's gradient", &[]),
    method("mgda", "the shortest convex combination of the task gradients", &[
        word("normalize", &["none", "l2", "loss", "loss_l2"], "divide gradients by their length, their loss or both first"),
    ]),
    method("pcgrad", "each task's gradient without its components against others", &[]),
    method("gradvac", "as pcgrad, up to the cosine that a pair usually has", &[
        number("beta", 0.5, Share, "share of a step in the running mean of a pair's cosine"),
    ]),
    method("cagrad", "near the mean gradient, the direction that is best for the task worst off", &[
        number("c", 0.5, NotNegative, "how far from the mean gradient, as a share of its norm"),
    ]),
    method("nash_mtl", "a bargain in which every task gains in proportion", &[
        number("max_norm", 1.0, NotNegative, "largest norm of the sum of weighted gradients; 0 for any"),
    ]),
    method("aligned_mtl", "gradients made orthogonal and equally long", &[
        word("scale", &["min", "median", "rmse"], "the common length: of the smallest, median or mean eigenvalue"),
    ]),
    method("fairgrad", "gains that are alpha-fair", &[
        number("alpha", 2.0, NotNegative, "0 equal weighting, 1 proportional, large for the task that gains least"),
    ]),
    method("upgrad", "each task's gradient moved to where it conflicts with none", &[
        number("ridge", 1e-4, Positive, "added to the diagonal of the Gramian over its trace"),
    ]),
    method("dualproj", "the mean gradient moved to where it conflicts with no task", &[
        number("ridge", 1e-4, Positive, "added to the diagonal of the Gramian over its trace"),
    ]),
    method("config", "a direction with the same cosine to every task's gradient", &[]),
    method("krum", "the gradients that are nearest to the others", &[
        whole("byzantine", 0, 0, "tasks that may be outliers; a step needs three more"),
        whole("selected", 1, 1, "tasks that are followed"),
    ]),
    method("cr_mogm", "a running mean of another method's weights", &[
        number("alpha", 0.9, Share, "share of the last weights"),
        word("of", &["upgrad", "mgda", "pcgrad", "cagrad"], "the other method, with its defaults"),
    ]),
    method("pcd", "the first task's gradient, with a share of gain for every other", &[
        number("tau", 0.02, Share, "that share, of what a task's own gradient would give it"),
        number("beta", 0.999, BelowOne, "decay of the running mean of squared norms"),
    ]),
    method("auto_lambda", "weights learned on the sum of the validation losses", &[VALIDATION_RATE]),
    method("forum", "weights learned on all validation losses, as long as training goes on", &[
        VALIDATION_RATE,
        number("rho", 0.1, NotNegative, "how fast the training loss must fall, as a share of what it could"),
    ]),
    method("moml", "weights learned so that every validation loss falls", &[VALIDATION_RATE]),
];
