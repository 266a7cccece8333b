//! The runs of a study that got through, by arm and seed.

use super::About;
use super::statistics::{Examples, resample};
use crate::metrics::Metric;
use crate::study::{Arm, RunResult};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// What all sections read. Nothing here depends on the order in which the runs came.
pub(super) struct Runs<'a> {
    /// What the study was about.
    pub about: &'a About,
    /// Its seeds, each once.
    pub seeds: Vec<u64>,
    runs: BTreeMap<(&'a Arm, u64), &'a RunResult>,
    /// By task, arm and seed: the number of test examples, and scores on resampled ones; NaN where undefined.
    resampled: BTreeMap<(&'a str, &'a Arm, u64), (usize, Vec<f64>)>,
}

impl<'a> Runs<'a> {
    /// Takes the runs with a seed of the study that did not fail, and scores them on resampled test examples.
    pub fn new(about: &'a About, results: &'a [RunResult]) -> Self {
        let mut seeds = Vec::new();
        about.seeds.iter().for_each(|seed| {
            if !seeds.contains(seed) {
                seeds.push(*seed)
            }
        });
        let usable = |run: &&RunResult| run.failed.is_none() && seeds.contains(&run.seed);
        let runs: BTreeMap<_, _> = results.iter().filter(usable).map(|run| ((&run.arm, run.seed), run)).collect();
        let mut resampled = BTreeMap::new();
        for (task, facts) in &about.tasks {
            let examples: Vec<_> = runs
                .iter()
                .filter_map(|(key, run)| Some((*key, Examples::new(run.tasks.get(task)?, facts.metric)?)))
                .collect();
            // One number of examples, unless test rows changed between runs.
            let counts: BTreeSet<usize> = examples.iter().map(|(_, examples)| examples.count()).collect();
            for count in counts {
                let same = || examples.iter().filter(|(_, examples)| examples.count() == count);
                let scores = resample(&same().map(|(_, examples)| examples).collect::<Vec<_>>(), count);
                let keys = same().map(|((arm, seed), _)| (task.as_str(), *arm, *seed));
                resampled.extend(keys.zip(scores.into_iter().map(|scores| (count, scores))));
            }
        }
        Self { about, seeds, runs, resampled }
    }

    /// The tasks in the recipe's order.
    pub fn tasks(&self) -> impl Iterator<Item = &'a String> {
        self.about.tasks.keys()
    }

    /// 1 of a task whose metric is better when it is higher, −1 of others.
    pub fn sign(&self, task: &str) -> f64 {
        if self.metric(task).is_none_or(Metric::higher_is_better) { 1.0 } else { -1.0 }
    }

    /// The metric that counts of a task.
    pub fn metric(&self, task: &str) -> Option<Metric> {
        self.about.tasks.get(task).map(|facts| facts.metric)
    }

    /// All arms with a run that got through, in a fixed order.
    pub fn arms(&self) -> Vec<&'a Arm> {
        let mut arms: Vec<&Arm> = self.runs.keys().map(|(arm, _)| *arm).collect();
        arms.dedup();
        arms
    }

    /// The joint arm of the recipe's method.
    pub fn recipe_arm(&self) -> Arm {
        Arm::Joint { method: self.about.balance.clone() }
    }

    /// The runs of an arm in the order of the seeds.
    pub fn of(&self, arm: &Arm) -> Vec<&'a RunResult> {
        self.seeds.iter().filter_map(|seed| self.runs.get(&(arm, *seed)).copied()).collect()
    }

    /// The test score of a run; `None` where there is none or it is undefined.
    pub fn score(&self, arm: &Arm, seed: u64, task: &str) -> Option<f64> {
        self.runs.get(&(arm, seed))?.tasks.get(task)?.test.filter(|score| score.is_finite())
    }

    /// Test scores of an arm, one a seed.
    pub fn scores(&self, arm: &Arm, task: &str) -> Vec<Option<f64>> {
        self.seeds.iter().map(|seed| self.score(arm, *seed, task)).collect()
    }

    /// The number of test examples of a run, and its scores on resampled ones.
    pub fn resampled<'s>(&'s self, arm: &'s Arm, seed: u64, task: &'s str) -> Option<(usize, &'s [f64])> {
        self.resampled.get(&(task, arm, seed)).map(|(count, scores)| (*count, &scores[..]))
    }

    /// The mean over runs of weights that a search has found.
    pub fn weights(&self, arm: &Arm) -> Option<IndexMap<String, f64>> {
        let found: Vec<_> = self.of(arm).into_iter().filter_map(|run| run.weights.as_ref()).collect();
        let mean = |task: &String| {
            let weights = found.iter().map(|weights| weights.get(task).copied().filter(|weight| weight.is_finite()));
            let sum: f64 = weights.collect::<Option<Vec<f64>>>()?.iter().sum();
            Some((task.clone(), sum / found.len() as f64))
        };
        if found.is_empty() { None } else { self.tasks().map(mean).collect() }
    }
}
