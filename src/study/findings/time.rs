//! What training together costs, and how soon it is as good.

use super::runs::Runs;
use super::statistics::mean;
use crate::study::report::{Cost, Reached, TimeCurve, TimeSpent};
use crate::study::{Arm, RunResult};

/// Curves and costs of each task alone and of the recipe's joint runs.
pub(super) fn time(runs: &Runs) -> TimeSpent {
    let joint = runs.of(&runs.recipe_arm());
    let single: Vec<(&String, Vec<&RunResult>)> =
        runs.tasks().map(|task| (task, runs.of(&Arm::Single { task: task.clone() }))).collect();
    let mut curves = Vec::new();
    let mut reached = Vec::new();
    for (task, alone) in &single {
        let curve = |of: &[&RunResult], joint| TimeCurve { task: (*task).clone(), joint, points: curve(of, task) };
        let (alone, together) = (curve(alone, false), curve(&joint, true));
        reached.extend(reach(&alone, &together, runs.sign(task)));
        curves.extend([alone, together].into_iter().filter(|curve| !curve.points.is_empty()));
    }
    let most = |runs: &[&RunResult], size: fn(&RunResult) -> usize| runs.iter().map(|run| size(run)).max().unwrap_or(0);
    let each = |size: fn(&RunResult) -> usize| single.iter().map(move |(_, runs)| most(runs, size));
    TimeSpent {
        curves,
        reached,
        joint: total(&joint),
        single: single.iter().map(|(_, runs)| total(runs)).fold(Cost::default(), |sum, cost| Cost {
            steps: sum.steps + cost.steps,
            tokens: sum.tokens + cost.tokens,
            seconds: sum.seconds + cost.seconds,
        }),
        parameters: [most(&joint, |run| run.parameters), each(|run| run.parameters).sum()],
        memory: [most(&joint, |run| run.memory), each(|run| run.memory).max().unwrap_or(0)],
        answering: runs.about.answering,
    }
}

/// The mean over runs of all that was spent on steps.
fn total(runs: &[&RunResult]) -> Cost {
    let of =
        |spent: &dyn Fn(&RunResult) -> f64| mean(&runs.iter().map(|run| spent(run)).collect::<Vec<_>>()).unwrap_or(0.0);
    Cost {
        steps: of(&|run| run.steps as f64),
        tokens: of(&|run| run.tokens as f64),
        seconds: of(&|run| seconds(run, run.clock.seconds.len().saturating_sub(1))),
    }
}

/// Seconds times threads up to an evaluation; 0 where no time was kept.
fn seconds(run: &RunResult, at: usize) -> f64 {
    let seconds = run.clock.seconds.get(at).copied().unwrap_or(0.0) * run.clock.threads.max(1) as f64;
    if seconds.is_finite() { seconds } else { 0.0 }
}

/// The mean curve: evaluations of the same number belong together, and it ends with the shortest run. A score that is
/// undefined in a run is left out of the mean.
fn curve(runs: &[&RunResult], task: &str) -> Vec<(Cost, f64)> {
    let length = runs.iter().map(|run| run.curve.len()).min().unwrap_or(0);
    let point = |at: usize| {
        let of = |spent: &dyn Fn(&RunResult) -> f64| mean(&runs.iter().map(|run| spent(run)).collect::<Vec<_>>());
        let score =
            |run: &&RunResult| run.curve[at].scores.get(task).copied().flatten().filter(|score| score.is_finite());
        let cost = Cost {
            steps: of(&|run| run.curve[at].step as f64)?,
            tokens: of(&|run| run.curve[at].tokens as f64)?,
            seconds: of(&|run| seconds(run, at))?,
        };
        Some((cost, mean(&runs.iter().filter_map(score).collect::<Vec<_>>())?))
    };
    (0..length).filter_map(point).collect()
}

/// When the joint curve first is as good as the best of the single-task curve, on the line between two evaluations.
fn reach(alone: &TimeCurve, joint: &TimeCurve, sign: f64) -> Option<Reached> {
    let better = |best: Option<(Cost, f64)>, point: &(Cost, f64)| match best {
        Some(best) if sign * best.1 >= sign * point.1 => Some(best),
        _ => Some(*point),
    };
    let (single, goal) = alone.points.iter().fold(None, better)?;
    let first = joint.points.first()?;
    let at = joint.points.iter().position(|(_, score)| sign * score >= sign * goal);
    let between = |at: usize| {
        let ((cost, score), Some((before, from))) = (joint.points[at], at.checked_sub(1).map(|at| joint.points[at]))
        else {
            return first.0;
        };
        let share = (goal - from) / (score - from);
        let on_line = |from: f64, to: f64| from + share * (to - from);
        Cost {
            steps: on_line(before.steps, cost.steps),
            tokens: on_line(before.tokens, cost.tokens),
            seconds: on_line(before.seconds, cost.seconds),
        }
    };
    Some(Reached { task: alone.task.clone(), goal, single, joint: at.map(between) })
}
