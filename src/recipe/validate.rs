//! What types cannot say: ranges of numbers, and values that must fit each other.

use super::document::{Document, KeyPath, dotted};
use super::suggest::{did_you_mean, list, nearest};
use super::{BalanceMethod, Level, ParameterValue, Pooling, Recipe, Sampling, validate_checkpoint, validate_task};
use crate::error::{Error, Problem, Result};
use indexmap::IndexMap;
use std::fmt::Debug;

/// A value that cannot be used. Of several keys that are to blame together, the first that is written is named.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub keys: Vec<KeyPath>,
    pub found: Found,
    pub expected: String,
    pub help: String,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A value, which a document may know as it was written.
    Value(String),
    /// A fact in words.
    Fact(String),
}

/// Result of a check.
pub(crate) type Check = Result<(), Invalid>;

impl Invalid {
    pub fn fact(key: KeyPath, found: impl Into<String>, expected: impl Into<String>, help: impl Into<String>) -> Self {
        Self { keys: vec![key], found: Found::Fact(found.into()), expected: expected.into(), help: help.into() }
    }

    pub fn also(mut self, key: KeyPath) -> Self {
        self.keys.push(key);
        self
    }

    /// With the place where the value is written.
    pub fn located(self, document: &Document) -> Error {
        let key = self.keys.iter().find(|key| document.origin(key).1).unwrap_or(&self.keys[0]);
        let found = match self.found {
            Found::Value(found) => document.written(key).unwrap_or(found),
            Found::Fact(found) => found,
        };
        document.error(key, Problem::new(found, self.expected, self.help))
    }

    /// For a recipe that was never written.
    fn unlocated(self) -> Error {
        let (Found::Value(found) | Found::Fact(found)) = self.found;
        Problem::new(found, self.expected, self.help).key(dotted(&self.keys[0])).recipe()
    }
}

/// A path from its parts.
pub(crate) fn path(parts: &[&str]) -> KeyPath {
    parts.iter().map(|&part| part.to_owned()).collect()
}

/// Refuses a value unless `ok`.
pub(crate) fn require(ok: bool, key: &[&str], value: impl Debug, expected: &str, help: &str) -> Check {
    if ok {
        return Ok(());
    }
    let found = Found::Value(format!("{value:?}"));
    Err(Invalid { keys: vec![path(key)], found, expected: expected.into(), help: help.into() })
}

impl Recipe {
    /// Checks every value, and that they fit each other. [`Recipe::load`] has done so.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn validate(&self) -> Result<()> {
        check(self).map_err(Invalid::unlocated)
    }
}

pub(crate) fn check(recipe: &Recipe) -> Check {
    name(recipe)?;
    backbone(recipe)?;
    training(recipe)?;
    if recipe.tasks.is_empty() {
        let help =
            "add `[tasks.NAME]` with `card = \"…\"`, or with `type` and `train`; `mtl-zoo list tasks` shows cards";
        return Err(Invalid::fact(path(&["tasks"]), "no task", "at least one task", help));
    }
    recipe.tasks.iter().try_for_each(|(name, task)| validate_task::check(name, task))?;
    sampling(recipe)?;
    validate_checkpoint::check(&recipe.checkpoint)?;
    balance(recipe)
}

fn name(recipe: &Recipe) -> Check {
    let Some(name) = &recipe.name else { return Ok(()) };
    let ok = !name.is_empty()
        && name.chars().count() <= 200
        && !name.starts_with('.')
        && !name.contains(|c: char| c.is_control() || "/\\".contains(c));
    let expected = "a name that can be a folder: 1 to 200 characters, no slashes, no dot in front";
    require(ok, &["name"], name, expected, "write a name such as `name = \"sentiment-1\"`")
}

fn backbone(recipe: &Recipe) -> Check {
    let backbone = &recipe.backbone;
    let key = |key| ["backbone", key];
    let help = "name a card (`mtl-zoo list backbones`), a folder or a Hub id such as `google-bert/bert-base-uncased`";
    require(!backbone.id.trim().is_empty(), &key("id"), &backbone.id, "a card, a folder or a Hub id", help)?;
    if let Some(revision) = &backbone.revision {
        let help = "name a branch, a tag or a commit, or leave the key out";
        require(!revision.trim().is_empty(), &key("revision"), revision, "a Hub revision", help)?;
    }
    let help = "two special tokens and a word need 3; 128 is usual for sentences, 512 is BERT's limit";
    let max_tokens = backbone.max_tokens;
    require((3..=1 << 20).contains(&max_tokens), &key("max_tokens"), max_tokens, "3 to 1048576 tokens", help)?;
    for (name, value) in [("dropout", backbone.dropout), ("attention_dropout", backbone.attention_dropout)] {
        if let Some(value) = value {
            dropout(&key(name), value)?;
        }
    }
    Ok(())
}

pub(crate) fn dropout(key: &[&str], value: f32) -> Check {
    let help = "0.1 is usual, 0 turns it off";
    require((0.0..1.0).contains(&value), key, value, "a number from 0 to below 1", help)
}

fn training(recipe: &Recipe) -> Check {
    let t = &recipe.training;
    let fail = |name, value: &dyn Debug, expected: &str, help: &str| {
        require(false, &["training", name], value, expected, help)
    };
    let number =
        |name, value: f64, ok: bool, expected, help| if ok { Ok(()) } else { fail(name, &value, expected, help) };
    let count = |name, value: Option<usize>, help| match value {
        Some(0) => fail(name, &0, "a whole number, 1 or more", help),
        Some(n) if i64::try_from(n).is_err() => fail(name, &n, "a number below 2^63", help),
        _ => Ok(()),
    };
    if i64::try_from(t.seed).is_err() {
        return fail("seed", &t.seed, "a number below 2^63, as TOML holds it", "take a smaller seed");
    }
    let help = "3 is usual; fractions such as 0.5 are allowed";
    number("epochs", t.epochs, t.epochs > 0.0 && t.epochs.is_finite(), "a number above 0", help)?;
    count("steps", t.steps, "leave it out to train for `training.epochs`")?;
    count("batch_tokens", Some(t.batch_tokens), "1024 is usual")?;
    if t.batch_tokens < 8 {
        return fail("batch_tokens", &t.batch_tokens, "8 tokens or more", "1024 is usual");
    }
    if t.batch_tokens < recipe.backbone.max_tokens {
        let invalid = Invalid::fact(
            path(&["training", "batch_tokens"]),
            format!("batch_tokens = {}, backbone.max_tokens = {}", t.batch_tokens, recipe.backbone.max_tokens),
            "batches that hold the longest input",
            "raise `training.batch_tokens` or lower `backbone.max_tokens`",
        );
        return Err(invalid.also(path(&["backbone", "max_tokens"])));
    }
    count("accumulate", Some(t.accumulate), "1 for a step after each batch")?;
    let (rate, rates) = (|x: f64| x > 0.0 && x <= 1.0, "a number above 0, up to 1");
    number("learning_rate", t.learning_rate, rate(t.learning_rate), rates, "2e-5 to 1e-4 is usual for a whole BERT")?;
    if let Some(x) = t.head_learning_rate {
        number("head_learning_rate", x, rate(x), rates, "leave it out to use `training.learning_rate`")?;
    }
    number("layer_decay", t.layer_decay, rate(t.layer_decay), rates, "1 gives all layers the same rate, 0.9 is mild")?;
    let decay = (0.0..f64::INFINITY).contains(&t.weight_decay);
    number("weight_decay", t.weight_decay, decay, "a number, 0 or more", "0.01 is usual")?;
    if !t.betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
        return fail("betas", &t.betas, "two numbers from 0 to below 1", "[0.9, 0.999] is usual");
    }
    let epsilon = t.epsilon > 0.0 && t.epsilon.is_finite();
    number("epsilon", t.epsilon, epsilon, "a number above 0", "1e-8 is usual")?;
    let warmup = (0.0..=1.0).contains(&t.warmup);
    number("warmup", t.warmup, warmup, "a share of all steps, 0 to 1", "0.1 is a tenth of the steps")?;
    let clip = (0.0..f64::INFINITY).contains(&t.clip);
    number("clip", t.clip, clip, "a number, 0 or more", "1 is usual, 0 turns clipping off")?;
    count("evaluate_every", t.evaluate_every, "leave it out to evaluate once an epoch")?;
    count("patience", t.patience, "leave it out to never stop early")?;
    count("save_every", t.save_every, "leave it out to save at each evaluation")?;
    count("keep_states", Some(t.keep_states), "2 is usual")?;
    count("threads", t.threads, "leave it out to use all cores")
}

fn sampling(recipe: &Recipe) -> Check {
    let number = |name, value: f64, ok: bool, expected, help| require(ok, &["sampling", name], value, expected, help);
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let not_negative = |x: f64| x >= 0.0 && x.is_finite();
    match &recipe.sampling {
        Sampling::Proportional {} | Sampling::Uniform {} => Ok(()),
        Sampling::Temperature { temperature: t } => {
            number("temperature", *t, positive(*t), "a number above 0", "1 is proportional to size, large is uniform")
        }
        Sampling::Power { power, cap } => {
            let help = "1 is proportional to size, 0 is uniform";
            number("power", *power, not_negative(*power), "a number, 0 or more", help)?;
            let ok = cap.is_none_or(|cap| (1..=i64::MAX as u64).contains(&(cap as u64)));
            require(ok, &["sampling", "cap"], cap.unwrap_or(0), "a whole number, 1 or more", "leave it out for no cap")
        }
        Sampling::Annealed { from, to } => [("from", *from), ("to", *to)].into_iter().try_for_each(|(name, x)| {
            let help = "1 is proportional to size, 0 is uniform; from 1 to 0.2 is usual";
            number(name, x, not_negative(x), "a number, 0 or more", help)
        }),
        Sampling::Fixed { weights } => {
            task_weights(recipe, "sampling", weights)?;
            if let Some(absent) = recipe.tasks.keys().find(|name| !weights.contains_key(*name)) {
                let help = format!("add `{} = 1.0`", dotted(&[absent.as_str()]));
                let found = format!("no weight for task `{absent}`");
                return Err(Invalid::fact(path(&["sampling", "weights"]), found, "a weight for every task", help));
            }
            some_weight(recipe, "sampling", |name| weights[name])
        }
    }
}

/// Methods that read more of the task gradients than their inner products: they work on parameters only.
pub(crate) const NOT_OF_STATES: [&str; 10] =
    ["excess_mtl", "db_mtl", "moco", "graddrop", "trimmed_mean", "modo", "sdmgrad", "auto_lambda", "forum", "moml"];

fn balance(recipe: &Recipe) -> Check {
    let balance = &recipe.balance;
    let key = |name: &str| path(&["balance", name]);
    let Some(known) = balance.known() else {
        let names = BalanceMethod::ALL.iter().map(|method| method.name);
        let help = did_you_mean(&balance.method, names, "`mtl-zoo list balance` shows them, `equal` is the default");
        let expected = "the name of a balancing method";
        return require(false, &["balance", "method"], &balance.method, expected, &help);
    };
    let help = "1 computes the weights at each step";
    let every = (1..=i64::MAX as u64).contains(&(balance.every as u64));
    require(every, &["balance", "every"], balance.every, "a whole number, 1 or more", help)?;
    if balance.level == Level::Representation {
        if NOT_OF_STATES.contains(&known.name) {
            let expected = format!("\"trunk\" or \"layers\" with `{}`", known.name);
            let help = "what this method follows has no counterpart at the hidden states; remove the key";
            return Err(Invalid::fact(key("level"), "\"representation\"", expected, help));
        }
        if let Some((name, _)) = recipe.tasks.iter().find(|(_, task)| task.pooling == Pooling::Pooler) {
            let expected = format!("no task with pooling \"pooler\", as `{name}` has");
            let help =
                "the pooler is shared, but lies beyond the states that are compared; choose \"mean\" or another level";
            return Err(Invalid::fact(key("level"), "\"representation\"", expected, help));
        }
        let help = "raise `batch_tokens` instead: hidden states are compared within one batch";
        let one = recipe.training.accumulate == 1;
        let expected = "1 with `balance.level = \"representation\"`";
        require(one, &["training", "accumulate"], recipe.training.accumulate, expected, help)?;
    }
    for (name, value) in &balance.parameters {
        let Some(parameter) = known.parameter(name) else { return Err(unknown_parameter(known, name)) };
        if !parameter.accepts(value) {
            let help = format!("{} is the default: {}", parameter.default_value(), parameter.meaning);
            return require(false, &["balance", name], format_args!("{value}"), &parameter.expected(), &help);
        }
    }
    if let ("krum", Some(ParameterValue::Whole(outliers)), 2..) =
        (known.name, balance.value("byzantine"), recipe.tasks.len())
    {
        // Fewer tasks have no neighbours to compare; one alone, as for a baseline, has nothing to balance.
        let most = recipe.tasks.len() as i64 - 3;
        let help = "add tasks, or choose another method";
        require(most >= 0, &["balance", "method"], "krum", "three tasks or more with `krum`", help)?;
        let expected = format!("at most the number of tasks less three, {most}");
        let help = "add tasks, lower the number, or choose another method";
        require(outliers <= most, &["balance", "byzantine"], outliers, &expected, help)?;
    }
    match &balance.weights {
        Some(weights) if known.name == "fixed" => {
            task_weights(recipe, "balance", weights)?;
            some_weight(recipe, "balance", |name| weights.get(name).copied().unwrap_or(1.0))
        }
        None if known.name == "fixed" => {
            let help = "add `weights = { TASK = 2.0 }`; tasks that are not named weigh 1";
            Err(Invalid::fact(key("weights"), "nothing", "a table with a weight for some tasks", help))
        }
        Some(_) => Err(unknown_parameter(known, "weights")),
        None => Ok(()),
    }
}

/// Of a key that the method does not have.
fn unknown_parameter(method: &BalanceMethod, name: &str) -> Invalid {
    let keys = ["method", "level", "every"].into_iter().chain(method.parameters.iter().map(|known| known.name));
    let keys = || keys.clone();
    let owners = BalanceMethod::ALL.iter().filter(|other| other.parameter(name).is_some());
    let mut owners = owners.map(|other| other.name).chain((name == "weights").then_some("fixed")).peekable();
    let remove = format!("remove it; `mtl-zoo list balance --json` shows what `{}` takes", method.name);
    let help = if nearest(name, keys()).is_none() && owners.peek().is_some() {
        format!("`{name}` belongs to {}: name that method or remove the key", list(owners))
    } else {
        did_you_mean(name, keys(), &remove)
    };
    Invalid::fact(path(&["balance", name]), "an unknown key", list(keys()), help)
}

fn task_weights(recipe: &Recipe, table: &str, weights: &IndexMap<String, f64>) -> Check {
    for (name, weight) in weights {
        let key = [table, "weights", name];
        if !recipe.tasks.contains_key(name) {
            let known = || recipe.tasks.keys().map(String::as_str);
            let expected = format!("a task of the recipe: {}", list(known()));
            let help = did_you_mean(name, known(), "remove it, or add the task");
            return Err(Invalid::fact(path(&key), "the name of no task", expected, help));
        }
        let ok = *weight >= 0.0 && weight.is_finite();
        require(ok, &key, weight, "a number, 0 or more", "1 is neutral, 0 leaves the task out")?;
    }
    Ok(())
}

fn some_weight(recipe: &Recipe, table: &str, weight: impl Fn(&str) -> f64) -> Check {
    if recipe.tasks.keys().any(|name| weight(name) > 0.0) {
        return Ok(());
    }
    let help = "give at least one task a weight above 0";
    Err(Invalid::fact(path(&[table, "weights"]), "only zeros", "a weight above 0", help))
}
