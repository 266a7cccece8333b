//! The rows of a step, and tasks that label the same inputs.

use super::{Prepared, PreparedTask};
use crate::data::random::Random;
use crate::data::{Batch, Sampler};
use crate::error::Result;
use crate::recipe::{Recipe, Sampling};

/// Tells the draws of validation batches from others.
const VALIDATION: u64 = 0x7661_6c69_6461_7465;

impl Prepared {
    /// Draws the rows of a run's batches; its tasks are the groups, each named as the first task in it.
    ///
    /// # Errors
    /// If the recipe's sampling does not fit the tasks.
    pub fn sampler(&self) -> Result<Sampler> {
        let first: Vec<&PreparedTask> = self.groups.iter().map(|group| &self.tasks[group[0]]).collect();
        let sizes: Vec<usize> = first.iter().map(|task| task.train.len()).collect();
        let names: Vec<&str> = first.iter().map(|task| task.data.name.as_str()).collect();
        let mut sampling = self.recipe.sampling.clone();
        if let Sampling::Fixed { weights } = &mut sampling {
            weights.retain(|name, _| names.contains(&name.as_str()));
        }
        Sampler::new(&sampling, &sizes, &names, self.recipe.training.seed)
    }

    /// The rows of the next batch, by group. `progress` goes from 0 to 1 over training.
    pub fn draw(&self, sampler: &mut Sampler, progress: f64) -> Vec<Vec<usize>> {
        sampler.next(progress, self.recipe.training.batch_tokens, |group, row| self.length(group, row))
    }

    /// Packs rows, by group.
    pub fn batch(&self, rows: &[Vec<usize>]) -> Batch {
        let member = |task: usize, rows: &[usize]| {
            let PreparedTask { data, train, .. } = &self.tasks[task];
            (task, data.labels.len(), rows.iter().map(|&row| &train[row]).collect())
        };
        let groups = self.groups.iter().zip(rows);
        Batch::new(groups.map(|(group, rows)| group.iter().map(|&task| member(task, rows)).collect()))
    }

    /// Validation rows of all tasks, as many tokens as a training batch has, drawn for step `step`: each task's share is the
    /// same.
    pub fn validation_batch(&self, step: u64) -> Batch {
        let budget = self.recipe.training.batch_tokens / self.tasks.len().max(1);
        let draw = |index: usize| {
            let task = &self.tasks[index];
            let mut order: Vec<usize> = (0..task.validation.len()).collect();
            Random::new(&[self.recipe.training.seed, VALIDATION, index as u64, step]).shuffle(&mut order);
            let mut tokens = 0;
            let mut fits = |row: &usize| {
                let first = tokens == 0;
                tokens += task.validation[*row].encoded.ids.len();
                first || tokens <= budget
            };
            let rows: Vec<_> = order.into_iter().take_while(|row| fits(row)).map(|row| &task.validation[row]).collect();
            vec![(index, task.data.labels.len(), rows)]
        };
        Batch::new((0..self.tasks.len()).map(draw))
    }

    /// Tokens of a row of a group.
    pub fn length(&self, group: usize, row: usize) -> usize {
        self.tasks[self.groups[group][0]].train[row].encoded.ids.len()
    }
}

/// Tasks by training inputs: those whose inputs have the same tokens in the same order are one group, unless the recipe
/// wants their rows drawn unevenly. Groups and the tasks in each keep the recipe's order.
pub(super) fn groups(tasks: &[PreparedTask], recipe: &Recipe) -> Vec<Vec<usize>> {
    let weight = |task: &PreparedTask| match &recipe.sampling {
        Sampling::Fixed { weights } => weights.get(&task.data.name).copied(),
        _ => None,
    };
    let same = |a: &PreparedTask, b: &PreparedTask| {
        let tokens =
            |task: usize| [a, b][task].train.iter().map(|example| (&example.encoded.ids, &example.encoded.type_ids));
        weight(a) == weight(b) && tokens(0).eq(tokens(1))
    };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        match groups.iter_mut().find(|group| same(&tasks[group[0]], task)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}
