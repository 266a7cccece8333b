//! Scores of a model in training, and the one number that picks the best step.

use super::parallel::scores_of_all_ranks;
use super::{Prepared, PreparedTask, Scores, Trainer, evaluate};
use crate::data::Example;
use crate::error::Result;
use crate::ops::{Precision, release_buffers};
use indexmap::IndexMap;

/// Scores by task of those that have the split, in the precision of training.
pub(super) fn scores(
    prepared: &Prepared,
    trainer: &mut Trainer,
    split: impl Fn(&PreparedTask) -> Option<&[Example]>,
) -> Result<IndexMap<String, Scores>> {
    scores_in(trainer.precision(), prepared, trainer, split)
}

/// The same in another precision.
pub(super) fn scores_in(
    precision: Precision,
    prepared: &Prepared,
    trainer: &mut Trainer,
    split: impl Fn(&PreparedTask) -> Option<&[Example]>,
) -> Result<IndexMap<String, Scores>> {
    // Batches of evaluations have other sizes than those of steps: neither's memory is of use to the other.
    release_buffers();
    let model = trainer.model()?;
    let tasks = prepared.tasks.iter().enumerate().filter_map(|(index, task)| Some((index, task, split(task)?)));
    // Ranks take tasks in turn.
    let own = tasks.skip(prepared.ranks.rank()).step_by(prepared.ranks.ranks());
    let scores = own.map(|(index, task, examples)| {
        let scores = evaluate(model, index, &task.data.labels, &task.metrics, examples, precision)?;
        Ok((index, scores))
    });
    let scores: Result<Vec<_>> = scores.collect();
    release_buffers();
    let scores = scores_of_all_ranks(&*prepared.ranks, scores?)?;
    Ok(scores.into_iter().map(|(index, scores)| (prepared.tasks[index].data.name.clone(), scores)).collect())
}

/// The main metric of each task, lower-is-better ones negated.
pub(super) fn main_scores(scores: &IndexMap<String, Scores>, tasks: &[PreparedTask]) -> Vec<Option<f64>> {
    let main = |(scores, task): (&Scores, &PreparedTask)| {
        let value = scores.metrics.values().next().copied().flatten()?;
        Some(if task.metrics[0].higher_is_better() { value } else { -value })
    };
    scores.values().zip(tasks).map(main).collect()
}

/// Stands for an undefined metric: worse than any value, and finite, so that it can be saved.
pub(super) const UNDEFINED: f64 = -1e30;

/// Mean of the main metrics, lower-is-better ones negated; an undefined metric is worse than any value.
pub(super) fn mean_score(scores: &IndexMap<String, Scores>, tasks: &[PreparedTask]) -> f64 {
    let main = main_scores(scores, tasks);
    main.iter().map(|score| score.unwrap_or(UNDEFINED)).sum::<f64>() / tasks.len() as f64
}
