//! How long a run is: its steps, and what they draw.

use super::Prepared;
use crate::data::Sampler;
use crate::error::Result;

/// What the steps of a run draw, by task. Rows and tokens that several tasks label count for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Rows of each task.
    pub rows: Vec<usize>,
    /// Tokens of each task.
    pub tokens: Vec<usize>,
    /// Tokens that go through the backbone.
    pub total: usize,
}

impl Prepared {
    /// Optimizer steps of a run: as given, or as many as draw `epochs` times the number of training rows; rows that several
    /// tasks label count once.
    ///
    /// # Errors
    /// If the recipe's sampling does not fit the tasks.
    pub fn steps(&self) -> Result<usize> {
        let training = &self.recipe.training;
        if let Some(steps) = training.steps {
            return Ok(steps);
        }
        let mut sampler: Sampler = self.sampler()?;
        let rows: usize = self.groups.iter().map(|group| self.tasks[group[0]].train.len()).sum();
        let target = (training.epochs * rows as f64).ceil();
        let (mut drawn, mut batches) = (0.0, 0usize);
        while drawn < target {
            drawn += self.draw(&mut sampler, drawn / target).iter().map(Vec::len).sum::<usize>() as f64;
            batches += 1;
        }
        Ok(batches.div_ceil(training.accumulate))
    }

    /// What the first `steps` steps of a run of that length draw.
    ///
    /// # Errors
    /// If the recipe's sampling does not fit the tasks.
    pub fn drawn(&self, steps: usize) -> Result<Drawn> {
        let mut sampler = self.sampler()?;
        let tasks = self.tasks.len();
        let mut drawn = Drawn { rows: vec![0; tasks], tokens: vec![0; tasks], total: 0 };
        for step in 0..steps {
            for _ in 0..self.recipe.training.accumulate {
                for (group, rows) in self.draw(&mut sampler, step as f64 / steps as f64).iter().enumerate() {
                    let tokens: usize = rows.iter().map(|&row| self.length(group, row)).sum();
                    drawn.total += tokens;
                    for &task in &self.groups[group] {
                        drawn.rows[task] += rows.len();
                        drawn.tokens[task] += tokens;
                    }
                }
            }
        }
        Ok(drawn)
    }
}
