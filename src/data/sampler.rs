//! Which rows are in a step: shares of the tasks by the sampling method, batches counted in tokens.
//!
//! Draws are by smooth weighted round robin: each draw adds every task's share to its credit, and the task with the
//! largest credit draws a row and pays 1. No task is ever more than about one row away from its share, in short runs
//! too, where independent random draws would leave small tasks out by chance. Within a task each pass over its rows is
//! in a new random order, and every row is drawn exactly once a pass.

use super::random::Random;
use crate::error::{Problem, Result};
use crate::recipe::Sampling;
use serde::{Deserialize, Serialize};

/// One row's worth of credit. Credits are integers, so that they add up and are stored without rounding.
const ONE: i64 = 1 << 32;

/// Draws the rows of packed batches.
#[derive(Clone, Debug)]
pub struct Sampler {
    method: Method,
    sizes: Vec<usize>,
    state: SamplerState,
    /// The order of each task's current pass; follows from the state.
    orders: Vec<Vec<u32>>,
}

/// Everything that decides what a [`Sampler`] draws next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerState {
    /// Seed of the orders.
    pub seed: u64,
    /// Credit of each task in units of 2⁻³² rows; they add up to 0.
    pub credits: Vec<i64>,
    /// Where each task is in its rows.
    pub streams: Vec<StreamState>,
    /// A task that has paid for a row which did not fit into the last batch.
    pub pending: Option<usize>,
}

/// Where a task is in its endless stream of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// Passes completed.
    pub pass: u64,
    /// Rows drawn in this pass.
    pub position: usize,
    /// Rows in a pass.
    pub rows: usize,
}

/// The sampling method with everything about it checked.
#[derive(Clone, Debug)]
enum Method {
    /// Weights that stay as they are.
    Constant(Vec<f64>),
    /// size^α, α from the first to the second.
    Annealed(f64, f64),
}

impl Sampler {
    /// A sampler for tasks with `sizes` training rows and these names.
    ///
    /// # Errors
    /// If a number of the method is out of range, a task has no rows, or fixed weights do not name exactly the tasks.
    pub fn new<S: AsRef<str>>(sampling: &Sampling, sizes: &[usize], names: &[S], seed: u64) -> Result<Self> {
        let method = Method::new(sampling, sizes, names)?;
        let streams = sizes.iter().map(|&rows| StreamState { rows, ..StreamState::default() }).collect();
        let state = SamplerState { seed, credits: vec![0; sizes.len()], streams, pending: None };
        let orders = orders(&state);
        Ok(Self { method, sizes: sizes.to_vec(), state, orders })
    }

    /// What to save to go on later.
    pub fn state(&self) -> &SamplerState {
        &self.state
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// If the state was saved with other tasks or other numbers of rows.
    pub fn restore(&mut self, state: SamplerState) -> Result<()> {
        let rows: Vec<_> = state.streams.iter().map(|stream| stream.rows).collect();
        let sound = state.credits.len() == rows.len()
            && state.credits.iter().all(|credit| credit.unsigned_abs() <= (ONE as u64) * (rows.len() as u64 + 1))
            && state.credits.iter().sum::<i64>() == 0
            && state.streams.iter().all(|stream| stream.position < stream.rows)
            && state.pending.is_none_or(|task| task < rows.len());
        if rows != self.sizes || !sound {
            let found = format!("the position in tasks of {rows:?} rows");
            let help = "resume with the data and recipe that the run was started with, or start a new run";
            return Err(Problem::new(found, format!("in tasks of {:?} rows", self.sizes), help).recipe());
        }
        self.orders = orders(&state);
        self.state = state;
        Ok(())
    }

    /// The share of each task in the rows drawn at this progress (0 to 1) of training; they add up to 1.
    pub fn shares(&self, progress: f64) -> Vec<f64> {
        self.credit_shares(progress).iter().map(|&share| share as f64 / ONE as f64).collect()
    }

    /// The rows of the next packed batch, by task: as many as fit into `budget_tokens`, at least one. A row that is
    /// drawn but does not fit comes first in the batch after.
    ///
    /// `progress` goes from 0 to 1 over training; `length_of(task, row)` is the number of tokens of a row.
    pub fn next(
        &mut self,
        progress: f64,
        budget_tokens: usize,
        length_of: impl Fn(usize, usize) -> usize,
    ) -> Vec<Vec<usize>> {
        let shares = self.credit_shares(progress);
        let mut batch = vec![Vec::new(); self.sizes.len()];
        let mut tokens = 0;
        loop {
            let task = self.state.pending.take().unwrap_or_else(|| self.draw(&shares));
            let row = self.orders[task][self.state.streams[task].position] as usize;
            // A row counts at least one token, so that a batch ends whatever the lengths are.
            let length = length_of(task, row).max(1);
            if tokens > 0 && tokens + length > budget_tokens {
                self.state.pending = Some(task);
                return batch;
            }
            tokens += length;
            batch[task].push(row);
            self.advance(task);
        }
    }

    fn draw(&mut self, shares: &[i64]) -> usize {
        let credits = &mut self.state.credits;
        credits.iter_mut().zip(shares).for_each(|(credit, share)| *credit += share);
        let task = (1..credits.len()).fold(0, |best, task| if credits[task] > credits[best] { task } else { best });
        credits[task] -= ONE;
        task
    }

    fn advance(&mut self, task: usize) {
        let stream = &mut self.state.streams[task];
        stream.position += 1;
        if stream.position == stream.rows {
            (stream.pass, stream.position) = (stream.pass + 1, 0);
            self.orders[task] = order(self.state.seed, task, self.state.streams[task]);
        }
    }

    /// Shares in units of [`ONE`], which they add up to.
    fn credit_shares(&self, progress: f64) -> Vec<i64> {
        let weights = match &self.method {
            Method::Constant(weights) => weights.clone(),
            Method::Annealed(from, to) => {
                let alpha = from + (to - from) * progress.clamp(0.0, 1.0);
                powers(&self.sizes, alpha)
            }
        };
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<i64> = weights.iter().map(|weight| (weight / total * ONE as f64).round() as i64).collect();
        let largest = (0..shares.len()).fold(0, |best, task| if shares[task] > shares[best] { task } else { best });
        shares[largest] += ONE - shares.iter().sum::<i64>();
        shares
    }
}

fn orders(state: &SamplerState) -> Vec<Vec<u32>> {
    state.streams.iter().enumerate().map(|(task, &stream)| order(state.seed, task, stream)).collect()
}

fn order(seed: u64, task: usize, stream: StreamState) -> Vec<u32> {
    let mut order: Vec<u32> = (0..stream.rows as u32).collect();
    Random::new(&[seed, task as u64, stream.pass]).shuffle(&mut order);
    order
}

/// size^power, over the largest of them so that nothing overflows.
fn powers(sizes: &[usize], power: f64) -> Vec<f64> {
    let largest = sizes.iter().copied().max().unwrap_or(1) as f64;
    sizes.iter().map(|&size| (size as f64 / largest).powf(power)).collect()
}

impl Method {
    fn new<S: AsRef<str>>(sampling: &Sampling, sizes: &[usize], names: &[S]) -> Result<Self> {
        if sizes.is_empty() {
            let help = "add a `[tasks.NAME]` table to the recipe";
            return Err(Problem::new("no tasks", "at least one task", help).key("tasks").recipe());
        }
        if let Some(task) = sizes.iter().position(|&size| size == 0 || u32::try_from(size).is_err()) {
            let help = "name training files with rows, or split them";
            let problem = Problem::new(format!("{} training rows", sizes[task]), "from 1 to 4294967295", help);
            return Err(problem.key(format!("tasks.{}", names[task].as_ref())).recipe());
        }
        let constant = |power: f64, cap: usize| {
            Self::Constant(powers(&sizes.iter().map(|&size| size.min(cap)).collect::<Vec<_>>(), power))
        };
        match sampling {
            Sampling::Proportional {} => Ok(constant(1.0, usize::MAX)),
            Sampling::Uniform {} => Ok(constant(0.0, usize::MAX)),
            Sampling::Temperature { temperature } => {
                let sound = temperature.is_finite() && *temperature > 0.0;
                checked(sound, "temperature", temperature, "a number above 0", "1 is proportional, large is uniform")?;
                Ok(constant(1.0 / temperature, usize::MAX))
            }
            Sampling::Power { power, cap } => {
                let sound = (0.0..=1.0).contains(power);
                checked(sound, "power", power, "a number from 0 to 1", "1 is proportional, 0 is uniform")?;
                checked(*cap != Some(0), "cap", &0, "at least 1 row", "remove it for no cap")?;
                Ok(constant(*power, cap.unwrap_or(usize::MAX)))
            }
            Sampling::Annealed { from, to } => {
                for (key, power) in [("from", from), ("to", to)] {
                    let sound = (0.0..=1.0).contains(power);
                    checked(sound, key, power, "a number from 0 to 1", "1 is proportional, 0 is uniform")?;
                }
                Ok(Self::Annealed(*from, *to))
            }
            Sampling::Fixed { weights } => {
                if let Some(name) = weights.keys().find(|name| names.iter().all(|known| known.as_ref() != *name)) {
                    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
                    let help = format!("{}remove it, or add the task", super::suggest::did_you_mean(name, &names));
                    let found = "a weight for a task that is not in the recipe";
                    let problem = Problem::new(found, format!("tasks {}", super::suggest::listed(&names)), help);
                    return Err(problem.key(format!("sampling.weights.{name}")).recipe());
                }
                let weight = |name: &S| {
                    let key = format!("weights.{}", name.as_ref());
                    let weight = weights.get(name.as_ref()).copied();
                    let help = "give every task a weight; 0 leaves it out";
                    checked(weight.is_some(), &key, "no weight", "a number", help)?;
                    let weight = weight.unwrap_or_default();
                    checked(weight.is_finite() && weight >= 0.0, &key, &weight, "a finite number of at least 0", help)?;
                    Ok(weight)
                };
                let weights: Vec<f64> = names.iter().map(weight).collect::<Result<_>>()?;
                let largest = weights.iter().copied().fold(0.0, f64::max);
                checked(largest > 0.0, "weights", "no weight above 0", "at least one", "raise one of them")?;
                Ok(Self::Constant(weights.iter().map(|weight| weight / largest).collect()))
            }
        }
    }
}

fn checked(
    sound: bool,
    key: &str,
    found: &(impl std::fmt::Display + ?Sized),
    expected: &str,
    help: &str,
) -> Result<()> {
    if sound {
        return Ok(());
    }
    Err(Problem::new(found.to_string(), expected, help).key(format!("sampling.{key}")).recipe())
}
