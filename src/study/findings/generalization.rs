//! What joint training did to each task.

use super::delta_m::delta_m;
use super::effect::{Comparison, correct};
use super::runs::Runs;
use super::statistics::{mean, mean_interval};
use crate::study::report::{ArmScores, Estimate, Generalization, TaskScores};
use crate::study::{Arm, RunResult};

/// Each task alone, and every joint arm against that. Holm's correction is over all tasks of all joint arms.
pub(super) fn generalization(runs: &Runs) -> Generalization {
    let alone = |task: &str| Arm::Single { task: task.into() };
    let tasks = |arm: &dyn Fn(&str) -> Arm, effects: bool| {
        let scores = |task: &String| Some((task.clone(), task_scores(runs, &arm(task), task, effects)?));
        runs.tasks().filter_map(scores).collect()
    };
    let single = ArmScores {
        title: "each task alone".into(),
        method: None,
        tasks: tasks(&alone, false),
        delta_m: None,
        weights: None,
    };
    let scores = |arm: &Arm, method: &str| ArmScores {
        title: arm.title(),
        method: Some(method.into()),
        tasks: tasks(&|_| arm.clone(), true),
        delta_m: delta_m(runs, alone, arm)
            .map(|delta| Estimate { value: delta.value, interval: delta.inference.interval }),
        weights: runs.weights(arm),
    };
    let mut joint: Vec<ArmScores> =
        methods(runs).into_iter().map(|method| scores(&Arm::Joint { method: method.clone() }, &method)).collect();
    correct(joint.iter_mut().flat_map(|arm| arm.tasks.values_mut()).filter_map(|scores| scores.effect.as_mut()));
    Generalization { single, joint }
}

/// The methods of the joint arms: the recipe's, `equal`, `search`, and the others by name.
fn methods(runs: &Runs) -> Vec<String> {
    let joint = |arm: &Arm| match arm {
        Arm::Joint { method } => Some(method.clone()),
        _ => None,
    };
    let mut methods: Vec<String> = runs.arms().into_iter().filter_map(joint).collect();
    let first = [runs.about.balance.as_str(), "equal", "search"];
    methods.sort_by_cached_key(|method| (first.iter().position(|name| name == method).unwrap_or(3), method.clone()));
    methods
}

/// `None` of a task without a single score: there is nothing to show then.
fn task_scores(runs: &Runs, arm: &Arm, task: &str, effect: bool) -> Option<TaskScores> {
    let seeds = runs.scores(arm, task);
    let test = mean_interval(&seeds.iter().copied().flatten().collect::<Vec<_>>())?;
    let scored = |run: &&RunResult| runs.score(arm, run.seed, task).is_some();
    let train: Option<Vec<f64>> = runs
        .of(arm)
        .into_iter()
        .filter(scored)
        .map(|run| run.tasks.get(task)?.train.filter(|score| score.is_finite()))
        .collect();
    let train = train.and_then(|train| mean(&train));
    let alone = Arm::Single { task: task.into() };
    let effect = effect.then(|| Comparison::new(runs, &alone, arm, task)).flatten();
    Some(TaskScores {
        seeds,
        test,
        train,
        gap: train.map(|train| runs.sign(task) * (train - test.value)),
        effect: effect.map(|comparison| comparison.effect(None)),
    })
}
