//! A model with everything that its training changes.

use super::LossScale;
use super::weighing::History;
use crate::balance::{self, Balancer, Needs};
use crate::collective::{Alone, Collective};
use crate::data::Batch;
use crate::error::{Fault, Problem, Result};
use crate::gradient::{AdamW, AdamWOptions, GradientStore, Parts, Squares, Traces, set_tf32};
use crate::model::JointModel;
use crate::model::backbones::Depth;
use crate::ops::Precision;
use crate::recipe::{Level, Recipe, TrainingDtype};
use indexmap::IndexMap;
use std::sync::Arc;

/// A model in training.
pub struct Trainer {
    pub(super) model: JointModel,
    pub(super) optimizer: AdamW,
    /// The balancing method with its state.
    pub balance: Balancer,
    pub(super) store: Arc<GradientStore>,
    pub(super) tasks: Vec<String>,
    /// Weight of each task's loss, from the recipe.
    pub(super) weights: Vec<f64>,
    pub(super) clip: f64,
    pub(super) seed: u64,
    pub(super) precision: Precision,
    pub(super) recompute: bool,
    /// In training with f16.
    pub(super) loss_scale: Option<LossScale>,
    /// Tokens of a pass at most, where larger batches are divided.
    pub(super) piece_tokens: Option<usize>,
    /// Steps between measurements of the tasks' own gradients; 0 for none.
    pub(super) conflicts_every: u64,
    /// Whether those are told by layer, too.
    pub(super) by_layer: bool,
    /// Steps between measurements of affinity; 0 for none.
    pub(super) affinity_every: u64,
    pub(super) parts: Parts,
    pub(super) history: History,
    /// The processes that take each step together.
    pub(super) ranks: Arc<dyn Collective>,
    /// The validation batch of a step, for a balancing method that reads one.
    pub validation: Option<Box<dyn Fn(u64) -> Batch + Send>>,
}

impl Trainer {
    /// A trainer at step zero. The recipe's tasks are the model's heads, in the same order.
    pub fn new(model: JointModel, recipe: &Recipe) -> Self {
        let training = &recipe.training;
        set_tf32(training.tf32);
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
        let by_layer = training.conflicts_by_layer;
        let layers = recipe.balance.level == Level::Layers;
        let parts = match layers || by_layer {
            true => Parts::new(model.arena(), |name| match model.depth(name) {
                Some(Depth::Layer(layer)) => format!("layer {layer}"),
                Some(Depth::Pooler) => "pooler".into(),
                _ => "embeddings".into(),
            }),
            false => Parts::whole(model.arena()),
        };
        let reads_gradients =
            balance::method(&recipe.balance.method).is_some_and(|method| method.needs.reads_gradients());
        let balance = Balancer::new(recipe, if layers && reads_gradients { parts.count() } else { 1 });
        let rows = match model.device().is_cpu() {
            true => gradient_rows(recipe),
            // A batch may be divided there, and rows that are not used take no memory.
            false => gradient_rows(recipe).max(recipe.tasks.len()),
        };
        let store = match training.dtype {
            // Traces, which are f32, go back to a device in the gradients' place.
            TrainingDtype::Bf16 if balance.needs() == Needs::Traces && !model.device().is_cpu() => {
                GradientStore::new(model.arena(), rows)
            }
            TrainingDtype::Bf16 if reads_gradients => GradientStore::in_bf16(model.arena(), rows),
            TrainingDtype::Bf16 => GradientStore::in_bf16_but_first(model.arena(), rows),
            // Those of f16 are too large for it until the loss scale is taken out.
            TrainingDtype::F32 | TrainingDtype::F16 => GradientStore::new(model.arena(), rows),
        };
        let history = match balance.needs() {
            Needs::Traces => History::Traces(Traces::new(model.arena(), recipe.tasks.len())),
            Needs::Squares => History::Squares(Squares::new(model.arena(), recipe.tasks.len())),
            _ => History::None,
        };
        Self {
            optimizer,
            balance,
            store: Arc::new(store),
            parts,
            history,
            ranks: Arc::new(Alone),
            validation: None,
            tasks: recipe.tasks.keys().cloned().collect(),
            weights: recipe.tasks.values().map(|task| task.weight).collect(),
            clip: training.clip,
            seed: training.seed,
            precision: match training.dtype {
                TrainingDtype::F32 => Precision::F32,
                TrainingDtype::Bf16 => Precision::Bf16,
                TrainingDtype::F16 => Precision::F16,
            },
            loss_scale: (training.dtype == TrainingDtype::F16).then(LossScale::default),
            recompute: training.recompute,
            piece_tokens: None,
            conflicts_every: training.conflicts_every as u64,
            by_layer,
            affinity_every: training.affinity_every as u64,
            model,
        }
    }

    /// Takes every step together with other ranks from now on: each has a trainer of its own at the same step, and calls the
    /// same methods with the same batches, of which each passes a part through the model. The step is that of one process
    /// within rounding, but for other dropout masks, and the same on all ranks to the bit.
    pub fn join(&mut self, ranks: Arc<dyn Collective>) {
        self.ranks = ranks;
    }

    /// Balances by fixed weights from now on.
    pub fn fix_weights(&mut self, weights: &IndexMap<String, f64>) {
        self.balance.fix(weights.clone(), &self.tasks);
    }

    /// The model, its parameters up to date.
    pub fn model(&mut self) -> Result<&JointModel> {
        self.optimizer.settle(self.model.arena())?;
        Ok(&self.model)
    }

    /// Calls `f` with the parameters and both moments, all up to date.
    pub fn read<R>(&mut self, f: impl FnOnce(&[f32], [&[f32]; 2]) -> R) -> Result<R> {
        self.optimizer.settle(self.model.arena())?;
        let arena = self.model.arena();
        Ok(self.optimizer.with_moments(|moments| arena.with(|parameters| f(parameters, moments)))??)
    }

    /// What the balancing method keeps of the gradients of all steps, one number after the other.
    pub fn history(&self) -> Vec<f32> {
        self.history.rows().concat()
    }

    /// Goes on from such numbers.
    ///
    /// # Errors
    /// If they are not as many.
    pub fn restore_history(&mut self, numbers: &[f32]) -> Result<()> {
        let expected: usize = self.history.rows().iter().map(Vec::len).sum();
        if numbers.len() != expected {
            let help = "resume with the recipe that the run was started with, or start a new run";
            let found = format!("{} numbers of past gradients", numbers.len());
            return Err(Problem::new(found, expected.to_string(), help).checkpoint(Fault::Value));
        }
        self.history.restore(numbers);
        Ok(())
    }

    /// Names of the parts that balancing or measurements divide the shared parameters into.
    pub fn parts(&self) -> &[String] {
        self.parts.names()
    }

    /// The optimizer, its moments up to date.
    pub fn optimizer(&mut self) -> Result<&AdamW> {
        self.optimizer.settle(self.model.arena())?;
        Ok(&self.optimizer)
    }

    /// Shapes and names of the model; its parameters may be behind.
    pub fn layout(&self) -> &JointModel {
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
        Ok(self.optimizer.restore(first, second, steps)?)
    }

    /// The loss scale, in training with f16.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.loss_scale
    }

    /// Goes on from a saved loss scale, if training is in f16.
    pub fn set_loss_scale(&mut self, saved: Option<LossScale>) {
        self.loss_scale = self.loss_scale.map(|own| saved.unwrap_or(own));
    }

    /// How the layers multiply in training.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}

/// Gradient rows that training by a recipe needs.
pub(super) fn gradient_rows(recipe: &Recipe) -> usize {
    let tasks = recipe.tasks.len();
    let entry = balance::method(&recipe.balance.method);
    let (needs, constant) = entry.map_or((Needs::Losses, true), |entry| (entry.needs, entry.is_constant()));
    let measured = tasks > 1 && (recipe.training.conflicts_every > 0 || recipe.training.affinity_every > 0);
    let weighed = needs.reads_gradients() && recipe.balance.level != Level::Representation;
    let several = !constant && recipe.training.accumulate > 1;
    match needs {
        Needs::Halves | Needs::Validation => 2 * tasks,
        _ if measured || weighed || several => tasks,
        _ => 1,
    }
}
