//! Δm: what an arm is worth over all tasks.

use super::effect::Comparison;
use super::runs::Runs;
use super::statistics::{Inference, Part, infer, mean, variance};
use crate::study::Arm;

/// Mean over tasks of the change in percent, oriented so that more is better (Maninis et al. 2019, equation 4).
pub(super) struct DeltaM {
    /// In percent.
    pub value: f64,
    /// From seeds and test examples, as of an effect.
    pub inference: Inference,
}

/// Δm of `other` against what `base` gives for each task. The changes are in percent of the mean single-task scores, which
/// count as fixed. `None` unless each task has a single-task score above 0, and some seed all scores.
pub(super) fn delta_m(runs: &Runs, base: impl Fn(&str) -> Arm, other: &Arm) -> Option<DeltaM> {
    let mut comparisons = Vec::new();
    for task in runs.tasks() {
        let single = runs.scores(&Arm::Single { task: task.clone() }, task);
        let scale = mean(&single.into_iter().flatten().collect::<Vec<_>>()).filter(|score| *score > 0.0)?;
        comparisons.push((100.0 / scale, Comparison::new(runs, &base(task), other, task)?));
    }
    let tasks = comparisons.len() as f64;
    let of_seed = |seed: u64| {
        let of_task = |(scale, comparison): &(f64, Comparison)| {
            comparison.differences.iter().find(|(other, _)| *other == seed).map(|(_, difference)| scale * difference)
        };
        comparisons.iter().map(of_task).sum::<Option<f64>>().map(|sum| sum / tasks)
    };
    let values: Vec<f64> = runs.seeds.iter().filter_map(|seed| of_seed(*seed)).collect();
    let value = mean(&values)?;
    let n = values.len() as f64;
    // Examples of different tasks are different draws: their variances add up.
    let examples = comparisons.iter().map(|(scale, comparison)| {
        comparison.examples.map(|part| Part { variance: part.variance * (scale / tasks).powi(2), ..part })
    });
    let parts = variance(&values).map(|variance| Part { variance: variance / n, df: n - 1.0 });
    let parts: Option<Vec<Part>> = std::iter::once(parts).chain(examples).collect();
    Some(DeltaM { value, inference: parts.map(|parts| infer(value, &parts)).unwrap_or_default() })
}
