//! What a run leaves to the study.

use super::Arm;
use crate::metrics::Metric;
use crate::recipe::TaskType;
use crate::train::Answers;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// What was trained.
    pub arm: Arm,
    /// With which seed; runs of several arms with the same seed have the same heads at the start and the same labels.
    pub seed: u64,
    /// Why there are no scores, for a run that did not get through.
    pub failed: Option<String>,
    /// The tasks that were trained, in the recipe's order.
    pub tasks: IndexMap<String, TaskResult>,
    /// Steps done.
    pub steps: usize,
    /// The step whose weights had the best validation score: all scores are theirs.
    pub best_step: usize,
    /// Tokens trained on.
    pub tokens: u64,
    /// Trained parameters, heads included.
    pub parameters: usize,
    /// Memory that the run needs at its peak, in bytes, as foretold.
    pub memory: usize,
    /// Validation scores during training.
    pub curve: Vec<Evaluated>,
    /// Cosines between the tasks' gradients.
    pub conflicts: Vec<Cosines>,
    /// What a step of one task did to the losses of the others.
    pub affinities: Vec<Affinity>,
    /// The fixed weights that a search has found.
    pub weights: Option<IndexMap<String, f64>>,
    /// How long it took.
    pub clock: Clock,
}

/// Times of a run: what two runs of the same bytes differ in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Threads that trained.
    pub threads: usize,
    /// Seconds of the steps up to each evaluation of the curve, evaluations left out.
    pub seconds: Vec<f64>,
    /// Seconds of the whole run.
    pub total: f64,
}

/// A task in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// What its head does.
    pub kind: TaskType,
    /// The labels.
    pub labels: Vec<String>,
    /// The metric that counts.
    pub metric: Metric,
    /// Rows trained on.
    pub rows: usize,
    /// The metric on training rows, the first and at most as many as there are validation rows, where an arm needs it.
    pub train: Option<f64>,
    /// The metric on validation rows, of the best step's evaluation.
    pub validation: Option<f64>,
    /// The metric on test rows (on validation rows for a task without any).
    pub test: Option<f64>,
    /// What was expected and predicted for each test row.
    pub answers: Answers,
}

/// Validation scores after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The step.
    pub step: usize,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Main metric by task.
    pub scores: IndexMap<String, Option<f64>>,
}

/// Cosines between task gradients in one step: `[task][task]`, tasks in the run's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cosines {
    /// The step.
    pub step: usize,
    /// Of all shared parameters.
    pub whole: Vec<Vec<Option<f64>>>,
    /// By part of the backbone: `embeddings`, `layer 0`, ...
    pub layers: IndexMap<String, Vec<Vec<Option<f64>>>>,
}

/// TAG (Fifty et al. 2021) in one step: `[target][source]` is 1 − L_target after a step of the source alone / L_target before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affinity {
    /// The step.
    pub step: usize,
    /// By looking ahead.
    pub lookahead: Vec<Vec<Option<f64>>>,
}
