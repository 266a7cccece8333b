//! Fixed weights found by a small search (`[balance] method = "search"`): random weights, each tried in a short run, the best
//! by validation scores. What tuned weights reach is what a balancing method has to beat (Xin et al. 2022; Kurin et al.
//! 2022).

use super::feed::Feed;
use super::scoring::{UNDEFINED, mean_score, scores};
use super::{Event, LearningRate, Observer, Prepared, Trainer};
use crate::data::random::Random;
use crate::error::{Error, IoContext, Problem, Result};
use crate::files::write_file;
use crate::recipe::{Balance, ParameterValue, Recipe};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Name of the trials in a run's folder.
pub const SEARCH_FILE: &str = "search.json";
/// Tells the draws of weights from others.
const WEIGHTS: u64 = 0x7765_6967_6874_7300;

/// Weights that were tried, and the mean validation score after their short run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Weight a task; they have a mean of 1.
    pub weights: IndexMap<String, f64>,
    /// As in an evaluation of a run: higher is better.
    pub score: f64,
}

impl Trial {
    /// The one with the highest score; the earlier of equals.
    pub fn best(trials: &[Self]) -> Option<&Self> {
        trials.iter().reduce(|best, trial| if best.score >= trial.score { best } else { trial })
    }
}

/// How much is tried: numbers of the recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Weights that are tried; the first are all 1.
    pub trials: usize,
    /// Steps of each trial.
    pub steps: usize,
    /// Weights lie between `1 / spread` and `spread` times each other's mean.
    pub spread: f64,
}

impl Budget {
    /// The budget of a recipe whose run has so many steps; `None` for another method than `search`.
    pub fn of(recipe: &Recipe, steps: usize) -> Option<Self> {
        let balance = &recipe.balance;
        let number = |name: &str| match balance.value(name) {
            Some(ParameterValue::Number(x)) => x,
            Some(ParameterValue::Whole(n)) => n as f64,
            _ => 1.0,
        };
        (balance.method == "search").then(|| Self {
            trials: number("trials") as usize,
            steps: (number("share") * steps as f64).ceil() as usize,
            spread: number("spread"),
        })
    }
}

/// The weights of a trial.
fn candidate(tasks: &[&String], seed: u64, trial: usize, spread: f64) -> IndexMap<String, f64> {
    let mut random = Random::new(&[seed, WEIGHTS, trial as u64]);
    let mut draw = || spread.powf(2.0 * random.unit() - 1.0);
    let weights: Vec<f64> = tasks.iter().map(|_| if trial == 0 { 1.0 } else { draw() }).collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    tasks.iter().map(|task| (*task).clone()).zip(weights.iter().map(|weight| weight / mean)).collect()
}

/// Tries what has not been tried in the run of `folder`, and gives the best weights; the earlier of equals. `None` if the
/// observer stopped it: trials that have ended are kept.
pub(super) fn search(
    prepared: &Arc<Prepared>,
    budget: Budget,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<IndexMap<String, f64>>> {
    let path = folder.join(SEARCH_FILE);
    let mut trials = load(&path)?;
    let tasks: Vec<&String> = prepared.recipe.tasks.keys().collect();
    while trials.len() < budget.trials {
        let weights = candidate(&tasks, prepared.recipe.training.seed, trials.len(), budget.spread);
        let Some(score) = try_weights(prepared, &weights, budget.steps, observer)? else { return Ok(None) };
        trials.push(Trial { weights, score });
        if prepared.ranks.leads() {
            let text = serde_json::to_string_pretty(&trials).expect("numbers and names are always JSON");
            write_file(&path, |out| out.write_all(text.as_bytes()).at("write", &path))?;
        }
        observer.event(&Event::Tried {
            trial: trials.last().expect("just added"),
            number: trials.len(),
            of: budget.trials,
        });
    }
    Ok(Trial::best(&trials).map(|best| best.weights.clone()))
}

fn load(path: &Path) -> Result<Vec<Trial>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(path).at("read", path)?;
    serde_json::from_slice(&text).map_err(|error| {
        let help = "remove the file to search anew";
        Problem::new(error.to_string(), "the trials of a search", help).file(path).argument()
    })
}

/// Trains with fixed weights for some steps, as a run of that length would; the score of the end.
fn try_weights(
    prepared: &Arc<Prepared>,
    weights: &IndexMap<String, f64>,
    steps: usize,
    observer: &dyn Observer,
) -> Result<Option<f64>> {
    let mut recipe = prepared.recipe.clone();
    recipe.balance = Balance::fixed(weights.clone());
    recipe.training.conflicts_every = 0;
    recipe.training.affinity_every = 0;
    let mut trainer = Trainer::new(prepared.model()?, &recipe);
    trainer.join(prepared.ranks.clone());
    let rate = LearningRate::new(&recipe.training, steps);
    let feed = Feed::start(prepared, prepared.sampler()?, 0, steps);
    for step in 0..steps {
        match trainer.step(&feed.next().0, rate.factor(step)) {
            // These weights do not work; others may.
            Err(Error::NotFinite { .. }) => return Ok(Some(UNDEFINED)),
            report => report?,
        };
        if prepared.ranks.any(observer.stop())? {
            return Ok(None);
        }
    }
    let scores = scores(prepared, &mut trainer, |task| Some(&task.validation))?;
    let score = mean_score(&scores, &prepared.tasks);
    Ok(Some(if score.is_finite() { score } else { UNDEFINED }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_begin_with_equal_weights_and_differ() {
        let names = ["a".to_owned(), "b".into(), "c".into()];
        let tasks: Vec<&String> = names.iter().collect();
        let weights = |trial| candidate(&tasks, 5, trial, 4.0);
        assert!(weights(0).values().all(|weight| *weight == 1.0));
        for trial in 1..50 {
            let drawn: Vec<f64> = weights(trial).into_values().collect();
            assert!((drawn.iter().sum::<f64>() - 3.0).abs() < 1e-12);
            let [least, most] = [f64::min, f64::max].map(|pick| drawn.iter().copied().reduce(pick).unwrap());
            assert!(least > 0.0 && most / least <= 16.0, "{drawn:?}");
            assert_ne!(weights(trial), weights(trial + 1));
        }
    }
}
