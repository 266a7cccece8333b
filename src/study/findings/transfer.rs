//! Which task helps which.

use super::effect::{Comparison, correct, pooled};
use super::runs::Runs;
use super::statistics::{Part, mean_interval, median, rank_correlation};
use crate::study::report::{Effect, Estimate, Foretold, Matrix, Transfer};
use crate::study::{Arm, RunResult};

/// The matrices of transfer; `None` if no run tells of any.
///
/// These arms often have fewer seeds than the main comparison, so the variance over seeds of a target is pooled over all
/// its comparisons, those of the main comparison too ([`pooled`]). Holm's correction is over each matrix.
pub(super) fn transfer(runs: &Runs) -> Option<Transfer> {
    let tasks: Vec<&String> = runs.tasks().collect();
    let alone = |target: &str| Arm::Single { task: target.into() };
    let pairs = compare_all(&tasks, |target, source| {
        // Whichever order the plan has put the two in.
        let pair = |a: &str, b: &str| Arm::Pair { tasks: [a.into(), b.into()] };
        let together = |arm: Arm| Comparison::new(runs, &alone(target), &arm, target);
        together(pair(target, source)).or_else(|| together(pair(source, target)))
    });
    let after = compare_all(&tasks, |target, source| {
        let after = Arm::After { first: source.into(), task: target.into() };
        Comparison::new(runs, &alone(target), &after, target)
    });
    let leave_one_out = compare_all(&tasks, |target, source| {
        let rest: Vec<&String> = tasks.iter().filter(|task| **task != source).copied().collect();
        let without = match rest[..] {
            // All of three but one are a pair.
            [a, b] => Arm::Pair { tasks: [a.clone(), b.clone()] },
            _ => Arm::Without { task: source.into() },
        };
        Comparison::new(runs, &without, &runs.recipe_arm(), target)
    });
    let affinity = affinity(runs, &tasks);
    let empty = [&pairs, &after, &leave_one_out].iter().all(|matrix| matrix.iter().flatten().all(Option::is_none));
    if empty && affinity.iter().flatten().all(Option::is_none) {
        return None;
    }
    let of_target = |target: usize| {
        let main = runs.arms().into_iter().filter(|arm| matches!(arm, Arm::Joint { .. }));
        let main: Vec<Comparison> =
            main.filter_map(|arm| Comparison::new(runs, &alone(tasks[target]), arm, tasks[target])).collect();
        let here = [&pairs, &after, &leave_one_out].into_iter().flat_map(|matrix| matrix[target].iter().flatten());
        pooled(here.chain(&main))
    };
    let variances: Vec<Option<Part>> = (0..tasks.len()).map(of_target).collect();
    let [pairs, after, leave_one_out] = [pairs, after, leave_one_out].map(|matrix| effects(&matrix, &variances));
    let foretold = [("pairs", &pairs), ("after", &after), ("leave one out", &leave_one_out)]
        .into_iter()
        .filter_map(|(name, matrix)| foretell(name, &affinity, matrix))
        .collect();
    let tasks = tasks.into_iter().cloned().collect();
    Some(Transfer { tasks, pairs, after, leave_one_out, affinity, foretold })
}

/// `[target][source]` of all different tasks.
fn compare_all<T>(tasks: &[&String], compare: impl Fn(&str, &str) -> Option<T>) -> Matrix<T> {
    let row = |target: &&String| {
        tasks.iter().map(|source| if source == target { None } else { compare(target, source) }).collect()
    };
    tasks.iter().map(row).collect()
}

fn effects(matrix: &Matrix<Comparison>, variances: &[Option<Part>]) -> Matrix<Effect> {
    let row = |(row, pooled): (&Vec<Option<Comparison>>, &Option<Part>)| {
        row.iter().map(|comparison| comparison.as_ref().map(|comparison| comparison.effect(*pooled))).collect()
    };
    let mut effects: Matrix<Effect> = matrix.iter().zip(variances).map(row).collect();
    correct(effects.iter_mut().flatten().flatten());
    effects
}

/// The median affinity over the steps of the recipe's joint runs, with an interval over seeds. TAG takes the mean; but a ratio of
/// losses of a few rows, which may be near zero, has long tails.
fn affinity(runs: &Runs, tasks: &[&String]) -> Matrix<Estimate> {
    let joint = runs.of(&runs.recipe_arm());
    compare_all(tasks, |target, source| {
        let of_run = |run: &&RunResult| {
            let [row, column] = [run.tasks.get_index_of(target)?, run.tasks.get_index_of(source)?];
            let values = run.affinities.iter().filter_map(|step| *step.lookahead.get(row)?.get(column)?);
            median(values.filter(|value| value.is_finite()).collect())
        };
        mean_interval(&joint.iter().filter_map(of_run).collect::<Vec<_>>())
    })
}

/// How well the affinity foretells a matrix: by percent, or by differences if some cannot be told in percent. `None` if
/// there is no pair to compare.
fn foretell(name: &str, affinity: &Matrix<Estimate>, effects: &Matrix<Effect>) -> Option<Foretold> {
    let in_percent = effects.iter().flatten().flatten().all(|effect| effect.percent.is_some());
    let value = |effect: &Effect| if in_percent { effect.percent } else { Some(effect.difference.value) };
    let affinity: Matrix<f64> =
        affinity.iter().map(|row| row.iter().map(|cell| cell.map(|estimate| estimate.value)).collect()).collect();
    let effects: Matrix<f64> =
        effects.iter().map(|row| row.iter().map(|cell| cell.as_ref().and_then(value)).collect()).collect();
    let (rho, p, pairs) = rank_correlation(&affinity, &effects);
    (pairs > 0).then(|| Foretold { matrix: name.into(), rho, p, pairs })
}
