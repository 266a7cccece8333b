//! Learning curves of one task, and the labels that joint training saves.

use super::numbers;
use super::runs::Runs;
use super::statistics::{RESAMPLES, isotonic, mean, mean_interval, rows_for};
use crate::data::random::Random;
use crate::study::Arm;
use crate::study::report::{AtRows, Estimate, Labels, LabelsSaved};
use std::collections::BTreeMap;

/// Tells the draws of seeds from others.
const SEEDS: u64 = 0x7365_6564_7300_0000;

/// Arms by the number of rows that they train on.
type Curve = BTreeMap<usize, Arm>;

/// The curves of the study's target; `None` if there is none, or no run with other labels than the recipe's.
pub(super) fn labels(runs: &Runs) -> Option<Labels> {
    let about = runs.about;
    let task = about.target.as_deref().filter(|task| about.tasks.contains_key(*task))?;
    let (mut single, mut joint) = (Curve::new(), Curve::new());
    for arm in runs.arms() {
        if let Arm::Labels { task: of, rows, joint: with_others } = arm
            && of == task
        {
            if *with_others { &mut joint } else { &mut single }.insert(*rows, arm.clone());
        }
    }
    if single.is_empty() && joint.is_empty() {
        return None;
    }
    // The runs of the main comparison are points too.
    single.insert(about.labels_used, Arm::Single { task: task.into() });
    joint.insert(about.labels_used, runs.recipe_arm());
    let saved: Vec<LabelsSaved> =
        joint.iter().filter_map(|(rows, arm)| saved(runs, task, &single, *rows, arm)).collect();
    Some(Labels {
        task: task.into(),
        most: about.labels_most,
        used: about.labels_used,
        headline: headline(task, about.labels_used, &saved),
        single: points(runs, task, &single),
        joint: points(runs, task, &joint),
        saved,
    })
}

/// The points that have a score.
fn points(runs: &Runs, task: &str, curve: &Curve) -> Vec<AtRows> {
    let point = |(rows, arm): (&usize, &Arm)| {
        let seeds = runs.scores(arm, task);
        let score = mean_interval(&seeds.iter().copied().flatten().collect::<Vec<_>>())?;
        Some(AtRows { rows: *rows, seeds, score })
    };
    curve.iter().filter_map(point).collect()
}

/// Labels alone for the score of a joint arm.
///
/// The single-task curve is made monotone by isotonic regression of its mean scores. The interval is that of a bootstrap of
/// both seeds and test examples, the same draws for both curves: the middle 95 % of what they say. Where a drawn curve ends
/// below the joint score, its end counts, so an interval that reaches the end may be longer in truth.
fn saved(runs: &Runs, task: &str, single: &Curve, rows: usize, joint: &Arm) -> Option<LabelsSaved> {
    let of_seeds = |arm: &Arm| mean(&runs.scores(arm, task).into_iter().flatten().collect::<Vec<_>>());
    let (needed, at_least) = rows_needed(runs, task, single, joint, of_seeds)?;
    let of_draw = |draw: usize| {
        let mut random = Random::new(&[SEEDS, draw as u64]);
        let seeds: Vec<u64> = runs.seeds.iter().map(|_| runs.seeds[random.below(runs.seeds.len())]).collect();
        let score = |arm: &Arm, seed: u64| Some(runs.resampled(arm, seed, task)?.1[draw]).filter(|x| x.is_finite());
        let mean_score = |arm: &Arm| mean(&seeds.iter().filter_map(|seed| score(arm, *seed)).collect::<Vec<_>>());
        Some(rows_needed(runs, task, single, joint, mean_score)?.0)
    };
    let drawn: Vec<f64> = (0..RESAMPLES).filter_map(of_draw).collect();
    let enough = runs.scores(joint, task).iter().flatten().count() > 1;
    let interval = (enough && drawn.len() * 2 > RESAMPLES).then(|| middle(drawn));
    Some(LabelsSaved { rows, needed: Estimate { value: needed, interval }, at_least })
}

/// Rows that the single-task curve takes to the joint score, by mean scores of whatever was drawn.
fn rows_needed(
    runs: &Runs,
    task: &str,
    single: &Curve,
    joint: &Arm,
    score: impl Fn(&Arm) -> Option<f64>,
) -> Option<(f64, bool)> {
    let sign = runs.sign(task);
    let points: Vec<(usize, f64)> = single.iter().filter_map(|(rows, arm)| Some((*rows, sign * score(arm)?))).collect();
    let monotone = isotonic(&points.iter().map(|(_, score)| *score).collect::<Vec<_>>());
    let curve: Vec<(usize, f64)> = points.iter().map(|(rows, _)| *rows).zip(monotone).collect();
    rows_for(&curve, sign * score(joint)?)
}

/// From the 2.5th to the 97.5th percentile.
fn middle(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    [at(0.025), at(0.975)]
}

/// What the labels that the recipe uses are worth.
fn headline(task: &str, used: usize, saved: &[LabelsSaved]) -> String {
    let Some(point) = saved.iter().find(|point| point.rows == used) else {
        return format!("The runs do not tell how many labels of {task} joint training saves.");
    };
    let (rows, needed) = (used as f64, point.needed.value.round());
    let labels = numbers::count(rows);
    if needed <= rows {
        return format!(
            "No labels of {task} are saved: with {labels} labels, joint training is no better than the task alone."
        );
    }
    let least = if point.at_least { "at least " } else { "" };
    let worth =
        format!("{labels} labels of {task} with joint training are worth {least}{} without it", numbers::count(needed));
    let interval = match point.needed.interval {
        Some([from, _]) if point.at_least => format!("95 % interval from {}", numbers::count(from)),
        _ => numbers::interval(&point.needed, numbers::count),
    };
    match point.needed.interval {
        Some([from, _]) if from > rows => {
            format!("{worth} ({interval}): {least}{} labels saved.", numbers::count(needed - rows))
        }
        Some(_) => format!("{worth}, but chance is not ruled out ({interval})."),
        None => format!("{worth} ({interval})."),
    }
}
