//! What a study found: plain data, written as `report.json` and drawn by `crate::report`.
//!
//! Scores are values of a task's main metric as it is. Effects and gaps are turned so that more is better: of an error such
//! as `mse` the sign is changed.

use crate::metrics::Metric;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Everything that a study found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this format.
    pub format: String,
    /// The recipe's name.
    pub name: String,
    /// Version of mtl-zoo.
    pub version: String,
    /// The backbone's id.
    pub backbone: String,
    /// The recipe's balancing method.
    pub balance: String,
    /// The seeds of the main comparison.
    pub seeds: Vec<u64>,
    /// Number of runs.
    pub runs: usize,
    /// Runs that did not get through: name and reason.
    pub failed: Vec<[String; 2]>,
    /// The tasks in the recipe's order.
    pub tasks: IndexMap<String, TaskFacts>,
    /// One sentence that says the most important thing that was found.
    pub headline: String,
    /// What joint training did to each task.
    pub generalization: Generalization,
    /// Learning curves of one task.
    pub labels: Option<Labels>,
    /// Time, parameters, memory.
    pub time: TimeSpent,
    /// Which task helps which.
    pub transfer: Option<Transfer>,
    /// Gradients that point against each other.
    pub conflict: Option<Conflict>,
    /// What to do.
    pub advice: Vec<Advice>,
    /// How it was done, as a paragraph for a paper.
    pub method: String,
}

/// A task of the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Type of the task: `regression`, ...
    pub kind: String,
    /// The metric that counts.
    pub metric: Metric,
    /// Training rows.
    pub train: usize,
    /// Test rows.
    pub test: usize,
}

/// A number with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Where it begins and ends; `None` where there is too little to tell (one seed).
    pub interval: Option<[f64; 2]>,
}

/// What the numbers allow to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better, beyond chance.
    Helped,
    /// Worse, beyond chance.
    Hurt,
    /// Chance explains the difference, or there is too little to tell.
    NoEvidence,
}

/// A difference between two arms on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The difference; above 0 is better.
    pub difference: Estimate,
    /// The same in percent of the score that it is compared with; `None` where that is not above 0.
    pub percent: Option<f64>,
    /// Probability of such a difference by chance; `None` where it cannot be tested.
    pub p: Option<f64>,
    /// The same after Holm's correction for all comparisons of its kind.
    pub corrected: Option<f64>,
    /// What that says at the 5 % level.
    pub verdict: Verdict,
}

/// Single-task and joint training compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generalization {
    /// Each task alone.
    pub single: ArmScores,
    /// All tasks together, an entry a method; the recipe's comes first.
    pub joint: Vec<ArmScores>,
}

/// Scores of one arm, or of each task alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmScores {
    /// For people.
    pub title: String,
    /// Balancing method, of a joint arm.
    pub method: Option<String>,
    /// The tasks in the recipe's order.
    pub tasks: IndexMap<String, TaskScores>,
    /// Δm against single-task training: mean over tasks of the change in percent (Maninis et al. 2019).
    pub delta_m: Option<Estimate>,
    /// The weights that a search found, of method `search`.
    pub weights: Option<IndexMap<String, f64>>,
}

/// Scores of one task in one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskScores {
    /// Test score a seed.
    pub seeds: Vec<Option<f64>>,
    /// Their mean, with an interval over seeds.
    pub test: Estimate,
    /// Mean score on training rows.
    pub train: Option<f64>,
    /// How much better it is on training rows than on test rows.
    pub gap: Option<f64>,
    /// Against the task alone; `None` for that arm itself.
    pub effect: Option<Effect>,
}

/// Learning curves of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    /// The task of which labels are left out.
    pub task: String,
    /// Labels there are: the longest curve.
    pub most: usize,
    /// Labels that the recipe uses.
    pub used: usize,
    /// Alone.
    pub single: Vec<AtRows>,
    /// With all rows of the others.
    pub joint: Vec<AtRows>,
    /// What joint training with so many labels is worth.
    pub saved: Vec<LabelsSaved>,
    /// The number to remember, in a sentence.
    pub headline: String,
}

/// Test scores with so many labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtRows {
    /// Labels of the task.
    pub rows: usize,
    /// Test score a seed.
    pub seeds: Vec<Option<f64>>,
    /// Their mean.
    pub score: Estimate,
}

/// How many labels single-task training needs for what joint training reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelsSaved {
    /// Labels of the joint run.
    pub rows: usize,
    /// Labels alone for the same score, interpolated on the logarithm of their number.
    pub needed: Estimate,
    /// The curve ends below the joint score: at least so many.
    pub at_least: bool,
}

/// What was spent: always of the steps up to some point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Optimizer steps.
    pub steps: f64,
    /// Tokens.
    pub tokens: f64,
    /// Seconds times threads.
    pub seconds: f64,
}

/// Time, parameters, memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeSpent {
    /// Validation scores over time: each task alone, and in the recipe's joint run.
    pub curves: Vec<TimeCurve>,
    /// When joint training reaches what the task alone reaches at its best.
    pub reached: Vec<Reached>,
    /// The whole joint run.
    pub joint: Cost,
    /// All single-task runs together.
    pub single: Cost,
    /// Parameters of the one model with all heads, and of a model a task.
    pub parameters: [usize; 2],
    /// Memory of training the joint model, and of the largest single-task run, in bytes.
    pub memory: [usize; 2],
    /// Answering all heads, if it was measured.
    pub answering: Option<Answering>,
}

/// One task's mean validation score over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeCurve {
    /// The task.
    pub task: String,
    /// Whether it is trained with the others.
    pub joint: bool,
    /// What was spent, and the score then.
    pub points: Vec<(Cost, f64)>,
}

/// When a joint run reaches the single-task score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// The task.
    pub task: String,
    /// Best mean validation score of the task alone.
    pub goal: f64,
    /// What that took.
    pub single: Cost,
    /// What the joint run took to reach the same, all tasks' cost counted; `None` if it never did.
    pub joint: Option<Cost>,
}

/// Seconds to answer all heads for so many texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answering {
    /// Texts.
    pub texts: usize,
    /// By the one model.
    pub joint: f64,
    /// By a model a task, one after the other.
    pub single: f64,
}

/// `[target][source]`, tasks in the recipe's order; `None` on the diagonal and where a run failed.
pub type Matrix<T> = Vec<Vec<Option<T>>>;

/// Which task helps which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The tasks.
    pub tasks: Vec<String>,
    /// Target trained together with source, against the target alone.
    pub pairs: Matrix<Effect>,
    /// Target trained after source, against the target alone.
    pub after: Matrix<Effect>,
    /// Target in the joint run, against the joint run without source: above 0, the source helps.
    pub leave_one_out: Matrix<Effect>,
    /// TAG's affinity (Fifty et al. 2021): relative decrease of the target's loss by a step of the source, mean over the run.
    pub affinity: Matrix<Estimate>,
    /// How well the affinity foretells the matrices.
    pub foretold: Vec<Foretold>,
}

/// Rank correlation of what is cheap with what is expensive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// Which matrix: `pairs`, `after`, `leave one out`.
    pub matrix: String,
    /// Spearman's ρ over all pairs of different tasks; `None` if it is undefined.
    pub rho: Option<f64>,
    /// Probability of such a ρ by chance, two-sided, by permutation.
    pub p: Option<f64>,
    /// Pairs.
    pub pairs: usize,
}

/// Gradients that point against each other, in the recipe's joint runs of all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Every two tasks.
    pub pairs: Vec<PairConflict>,
    /// Every part of the backbone, from below.
    pub layers: Vec<LayerConflict>,
    /// What follows for sharing, in a sentence.
    pub finding: String,
}

/// The angle between two tasks' gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairConflict {
    /// The tasks.
    pub tasks: [String; 2],
    /// Mean cosine over steps and seeds, with an interval over seeds.
    pub cosine: Estimate,
    /// Share of measured steps with a cosine below zero.
    pub share: f64,
    /// Measurements.
    pub measured: usize,
    /// Mean cosine in each tenth of the run.
    pub over_time: Vec<Option<f64>>,
    /// Mean cosine by part of the backbone.
    pub layers: IndexMap<String, Option<f64>>,
    /// `Hurt` where they conflict, `Helped` where they agree, beyond chance, corrected for the number of pairs.
    pub verdict: Verdict,
}

/// Conflict in one part of the backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerConflict {
    /// `embeddings`, `layer 0`, ...
    pub layer: String,
    /// Mean cosine over pairs, steps and seeds.
    pub cosine: f64,
    /// Share of measurements below zero.
    pub share: f64,
    /// Whether the tasks' gradients agree too little here for sharing to be worth it: a mean cosine below zero beyond chance.
    pub conflicting: bool,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// What, in a sentence.
    pub what: String,
    /// The numbers it rests on, a sentence each.
    pub because: Vec<String>,
    /// How sure it is.
    pub certainty: Certainty,
    /// What `--write-recipe` changes for it, in words; `None` if nothing.
    pub change: Option<String>,
}

/// How sure an advice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Beyond chance, after correction.
    Sure,
    /// The numbers point there; chance is not ruled out.
    Likely,
    /// Little more than a guess.
    Unsure,
}
