//! One optimizer step: forward, losses, backward, clip, update.

use super::Conflicts;
use crate::balance::Balancer;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::gradient::{AdamW, AdamWOptions, GradientStore};
use crate::model::backbones::Depth;
use crate::model::{MultiTask, Pass};
use crate::ops::{Noise, Precision};
use crate::recipe::{Recipe, TrainingDtype};
use std::sync::Arc;

/// A model in training.
pub struct Trainer {
    model: MultiTask,
    optimizer: AdamW,
    /// The balancing method with its state.
    pub balance: Balancer,
    store: Arc<GradientStore>,
    tasks: Vec<String>,
    /// Weight of each task's loss, from the recipe.
    weights: Vec<f64>,
    clip: f64,
    seed: u64,
    precision: Precision,
    recompute: bool,
    /// Steps between measurements of the tasks' own gradients.
    conflicts_every: Option<u64>,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss a task before weighting; `None` for tasks without examples in the step.
    pub losses: Vec<Option<f32>>,
    /// Weight that each task's loss had in the objective.
    pub weights: Vec<f64>,
    /// The objective: the weighted sum of the losses over the number of tasks.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// The tasks' own gradients, in steps that measure them.
    pub conflicts: Option<Conflicts>,
    /// Tokens of the step.
    pub tokens: usize,
}

impl Trainer {
    /// A trainer at step zero. The recipe's tasks are the model's heads, in the same order.
    pub fn new(model: MultiTask, recipe: &Recipe) -> Self {
        let training = &recipe.training;
        let options = AdamWOptions { betas: training.betas, epsilon: training.epsilon };
        let optimizer = AdamW::new(model.arena(), options, |name| {
            let rate = match model.depth(name) {
                None => training.head_learning_rate.unwrap_or(training.learning_rate),
                Some(depth) => {
                    let layers = model.config().layers();
                    let below = match depth {
                        Depth::Pooler => 0,
                        Depth::Layer(layer) => layers - 1 - layer,
                        Depth::Embeddings => layers,
                    };
                    training.learning_rate * training.layer_decay.powi(below as i32)
                }
            };
            // Biases and norms are the vectors.
            let vector = model.arena().entries()[name].shape.rank() < 2;
            (rate, if vector { 0.0 } else { training.weight_decay })
        });
        let store = match (training.conflicts_every, training.dtype) {
            (None, _) => GradientStore::new(model.arena(), 1),
            (Some(_), TrainingDtype::F32) => GradientStore::new(model.arena(), recipe.tasks.len()),
            (Some(_), TrainingDtype::Bf16) => GradientStore::in_bf16(model.arena(), recipe.tasks.len()),
        };
        Self {
            optimizer,
            balance: Balancer::new(recipe, 1),
            store: Arc::new(store),
            tasks: recipe.tasks.keys().cloned().collect(),
            weights: recipe.tasks.values().map(|task| task.weight).collect(),
            clip: training.clip,
            seed: training.seed,
            precision: match training.dtype {
                TrainingDtype::F32 => Precision::F32,
                TrainingDtype::Bf16 => Precision::Bf16,
            },
            recompute: training.recompute,
            conflicts_every: training.conflicts_every.map(|every| every as u64),
            model,
        }
    }

    /// One optimizer step on the mean gradient of `batches`; `factor` is the schedule's.
    ///
    /// The objective is `1/T Σ weight · balance · mean loss` over all T tasks of the recipe; a task without examples
    /// adds nothing.
    ///
    /// # Errors
    /// [`Error::NotFinite`] before anything is changed, if a loss or gradient is NaN or infinite.
    pub fn step(&mut self, batches: &[Batch], factor: f64) -> Result<StepReport> {
        self.store.lock().clear();
        let by_task = self.conflicts_every.is_some_and(|every| (self.optimizer.steps() + 1).is_multiple_of(every));
        self.optimizer.catch_up(self.model.arena(), batches.iter().flat_map(|batch| &batch.packed.ids))?;
        let tasks = self.tasks.len();
        let step = self.optimizer.steps() + 1;
        let mut sums = vec![(0.0f64, 0usize); tasks];
        let (mut loss, mut weights) = (0.0, vec![0.0; tasks]);
        let mut scales = vec![0.0; tasks];
        for (index, batch) in batches.iter().enumerate() {
            let pass = self.pass(batch, index, batches.len(), by_task)?;
            let losses = self.model.losses(batch, &pass)?;
            let mut observed = vec![None; tasks];
            for (task, value) in batch.tasks.iter().zip(losses.values()?) {
                if !value.is_finite() {
                    return Err(not_finite(step, &self.tasks[task.task], "the loss", value));
                }
                observed[task.task] = Some(value);
                sums[task.task].0 += f64::from(value);
                sums[task.task].1 += 1;
            }
            let weighted: Vec<_> = observed
                .iter()
                .zip(&self.weights)
                .map(|(loss, weight)| loss.map(|loss| f64::from(loss) * weight))
                .collect();
            let balance = self.balance.weights(&weighted, &[]);
            weights = balance[0].iter().zip(&self.weights).map(|(balance, weight)| balance * weight).collect();
            let scale = 1.0 / (tasks * batches.len()) as f64;
            scales = weights.iter().map(|weight| scale * weight).collect();
            let scaled: Vec<f64> = batch.tasks.iter().map(|task| scale * weights[task.task]).collect();
            let terms = batch.tasks.iter().zip(&scaled);
            loss += terms.map(|(task, scale)| scale * f64::from(observed[task.task].unwrap_or(0.0))).sum::<f64>();
            losses.backward(&scaled)?;
        }

        let (gramian, heads_square) = {
            let mut rows = self.store.lock();
            rows.finish();
            (rows.gramian(), rows.heads_square())
        };
        let square = gramian.iter().flatten().sum::<f64>() + heads_square;
        // Rounding may leave opposite gradients below zero; a NaN must stay one.
        let gradient_norm = if square < 0.0 { 0.0 } else { square.sqrt() };
        if !gradient_norm.is_finite() {
            return Err(self.blame(step, batches));
        }
        // As PyTorch's clip_grad_norm_.
        let clip = if self.clip > 0.0 { (self.clip / (gradient_norm + 1e-6)).min(1.0) } else { 1.0 };
        let rows = vec![1.0; gramian.len()];
        self.optimizer.step(self.model.arena(), &self.store, &rows, factor, clip as f32)?;
        let mean = |(sum, count): (f64, usize)| (count > 0).then(|| (sum / count as f64) as f32);
        Ok(StepReport {
            losses: sums.into_iter().map(mean).collect(),
            weights,
            loss,
            gradient_norm,
            conflicts: by_task.then(|| Conflicts::new(&gramian, &scales)),
            tokens: batches.iter().map(|batch| batch.packed.tokens()).sum(),
        })
    }

    /// The model, its parameters up to date.
    pub fn model(&mut self) -> Result<&MultiTask> {
        self.optimizer.settle(self.model.arena())?;
        Ok(&self.model)
    }

    /// Calls `f` with the parameters and both moments, all up to date.
    pub fn read<R>(&mut self, f: impl FnOnce(&[f32], [&[f32]; 2]) -> R) -> Result<R> {
        self.optimizer.settle(self.model.arena())?;
        Ok(self.model.arena().with(|parameters| f(parameters, self.optimizer.moments())))
    }

    /// The optimizer, its moments up to date.
    pub fn optimizer(&mut self) -> Result<&AdamW> {
        self.optimizer.settle(self.model.arena())?;
        Ok(&self.optimizer)
    }

    /// Shapes and names of the model; its parameters may be behind.
    pub fn layout(&self) -> &MultiTask {
        &self.model
    }

    /// Overwrites the parameters.
    ///
    /// # Errors
    /// If they are not as many as the arena holds.
    pub fn set_parameters(&mut self, parameters: &[f32]) -> Result<()> {
        self.model.arena().restore(parameters)?;
        self.optimizer.forget();
        Ok(())
    }

    /// Goes on from saved parameters and moments.
    ///
    /// # Errors
    /// If they are not as many as the arena holds.
    pub fn restore(&mut self, parameters: &[f32], first: Vec<f32>, second: Vec<f32>, steps: u64) -> Result<()> {
        self.set_parameters(parameters)?;
        self.optimizer.restore(first, second, steps);
        Ok(())
    }

    /// How the layers multiply in training.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The pass over batch `index` of `batches` of the next step.
    fn pass(&self, batch: &Batch, index: usize, batches: usize, by_task: bool) -> Result<Pass> {
        let noise = Noise::new(self.seed, self.optimizer.steps() * batches as u64 + index as u64);
        let pass = match by_task {
            true => Pass::training(&self.store, batch, Some(noise))?,
            false => Pass::joint(&self.store, batch, Some(noise))?,
        };
        Ok(pass.in_precision(self.precision).recomputing(self.recompute))
    }

    /// Runs the backward pass of one task at a time, with the same dropout, to find whose gradient is not finite.
    fn blame(&self, step: u64, batches: &[Batch]) -> Error {
        let attempt = |index: usize, batch: &Batch, task: usize| -> Result<Option<(usize, f32)>> {
            self.store.lock().clear();
            let pass = self.pass(batch, index, batches.len(), false)?;
            let mut weights = vec![0.0; batch.tasks.len()];
            weights[task] = 1.0;
            self.model.losses(batch, &pass)?.backward(&weights)?;
            let mut rows = self.store.lock();
            rows.finish();
            Ok(rows.first_non_finite())
        };
        for (index, batch) in batches.iter().enumerate() {
            for (position, task) in batch.tasks.iter().enumerate() {
                match attempt(index, batch, position) {
                    Ok(Some((offset, value))) => {
                        let what = format!("the gradient of `{}`", self.model.arena().name_at(offset));
                        return not_finite(step, &self.tasks[task.task], &what, value);
                    }
                    Ok(None) => {}
                    Err(error) => return error,
                }
            }
        }
        not_finite(step, &self.tasks.join("` and `"), "the norm of the joint gradient", f32::INFINITY)
    }
}

fn not_finite(step: u64, task: &str, what: &str, value: f32) -> Error {
    let value = if value.is_nan() { "NaN" } else { "infinite" };
    Error::NotFinite { step: step as usize, task: task.to_owned(), what: what.to_owned(), value }
}
