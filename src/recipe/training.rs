//! How a recipe trains: optimizer, schedule, sampling.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Optimizer, schedule and length of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Seed of head initialisation, sampling and dropout.
    pub seed: u64,
    /// Length of training in passes over all training rows of all tasks together.
    pub epochs: f64,
    /// Length of training in optimizer steps; replaces `epochs` if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Tokens of one packed batch, all tasks together.
    pub batch_tokens: usize,
    /// Packed batches whose gradients are added before one optimizer step.
    pub accumulate: usize,
    /// Peak learning rate of the backbone.
    pub learning_rate: f64,
    /// Peak learning rate of the heads; `learning_rate` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_learning_rate: Option<f64>,
    /// Factor on the learning rate from each layer to the one below it.
    pub layer_decay: f64,
    /// Decoupled weight decay; never on biases and norms.
    pub weight_decay: f64,
    /// Decay rates of AdamW's moments.
    pub betas: [f64; 2],
    /// AdamW's epsilon.
    pub epsilon: f64,
    /// How the learning rate goes on after the warm-up.
    pub schedule: Schedule,
    /// Share of all steps in which the learning rate rises from zero.
    pub warmup: f64,
    /// Largest global norm of the gradient; 0 for no clipping.
    pub clip: f64,
    /// Steps between evaluations; once an epoch if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<usize>,
    /// Stop after so many evaluations without a better mean validation score; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Steps between saved states that a run can resume from; at each evaluation if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_every: Option<usize>,
    /// Saved states that are kept, the newest ones.
    pub keep_states: usize,
    /// Steps between measurements of the tasks' own gradients: norms and cosines; 0 for none.
    pub conflicts_every: usize,
    /// Whether those are told by layer, too.
    pub conflicts_by_layer: bool,
    /// Steps between measurements of what a step of one task does to the losses of the others; 0 for none.
    pub affinity_every: usize,
    /// Number format of the computation.
    pub dtype: TrainingDtype,
    /// Layers keep only their input for the backward pass and are computed again there.
    pub recompute: bool,
    /// Products of f32 on a CUDA device round their factors to TF32, 10 bits of fraction: several times faster on cards from
    /// Ampere on. The CPU does not look at it.
    #[serde(skip_serializing_if = "is_off")]
    pub tf32: bool,
    /// Threads; all cores if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 3.0,
            steps: None,
            batch_tokens: 1024,
            accumulate: 1,
            learning_rate: 5e-5,
            head_learning_rate: None,
            layer_decay: 1.0,
            weight_decay: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            schedule: Schedule::Linear,
            warmup: 0.1,
            clip: 1.0,
            evaluate_every: None,
            patience: None,
            save_every: None,
            keep_states: 2,
            conflicts_every: 10,
            conflicts_by_layer: false,
            affinity_every: 0,
            dtype: TrainingDtype::F32,
            recompute: false,
            tf32: false,
            threads: None,
        }
    }
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Falls to zero in a straight line.
    Linear,
    /// Falls to zero along half a cosine.
    Cosine,
    /// Stays at the peak.
    Constant,
}

/// Number format of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingDtype {
    /// 32 bits throughout.
    F32,
    /// The layers' products of bf16 with sums in f32; parameters, moments, norms, losses and heads in f32.
    Bf16,
    /// The same with f16 and a loss scale, on CUDA devices: for cards without bf16.
    F16,
}

/// Which part of the backbone is not trained: "none", "embeddings", "all", or a number n for the embeddings and
/// the first n layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "\"none\", \"embeddings\", \"all\" or a number of layers")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    #[serde(with = "none")]
    None,
    /// All but the embeddings is trained.
    #[serde(with = "embeddings")]
    Embeddings,
    /// Only the heads are trained.
    #[serde(with = "all")]
    All,
    /// The embeddings and the first n layers are not trained.
    Layers(usize),
}

/// How many examples of each task are in a step. `size` is the number of a task's training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampling {
    /// Share ∝ size.
    Proportional {},
    /// The same share for every task.
    Uniform {},
    /// Share ∝ size^(1/temperature), as multilingual BERT and T5 mix.
    Temperature {
        /// 1 is proportional, large is uniform.
        #[serde(default = "two")]
        temperature: f64,
    },
    /// Share ∝ min(size, cap)^power.
    Power {
        /// 1 is proportional, 0 is uniform.
        #[serde(default = "half")]
        power: f64,
        /// Sizes above it count as it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap: Option<usize>,
    },
    /// Share ∝ size^α with α falling from `from` to `to` over training (Stickland & Murray 2019).
    Annealed {
        /// α at the start.
        #[serde(default = "one")]
        from: f64,
        /// α at the end.
        #[serde(default = "fifth")]
        to: f64,
    },
    /// Shares ∝ given weights; every task is named.
    Fixed {
        /// Weight a task.
        weights: IndexMap<String, f64>,
    },
}

impl Default for Sampling {
    fn default() -> Self {
        Self::Proportional {}
    }
}

/// Written only where it is on: recipes of runs on the CPU stay as they were.
fn is_off(on: &bool) -> bool {
    !on
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

fn fifth() -> f64 {
    0.2
}

/// A word of [`Freeze`] as a serde format of its own.
macro_rules! word {
    ($name:ident) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(stringify!($name))
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
                match String::deserialize(deserializer)?.as_str() {
                    stringify!($name) => Ok(()),
                    other => Err(D::Error::custom(format!("not {other}"))),
                }
            }
        }
    };
}

word!(none);
word!(embeddings);
word!(all);
