//! Heads: a task's own layer on top of the backbone, one file a kind.

mod classification;
mod multi_label;
mod regression;
mod token_classification;

use super::{Backbone, Pass};
use crate::data::{Packed, Targets};
use crate::gradient::Parameter;
use crate::ops::{self, PoolKind};
use crate::recipe::{Pooling, TaskType};
use candle_core::{Result, Tensor};
use std::ops::Range;

/// What decides a head's shape and loss.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadOptions {
    /// What it answers.
    pub kind: TaskType,
    /// Classes, labels or tags; 1 for regression.
    pub outputs: usize,
    /// How token states become one; not used by token classification.
    pub pooling: Pooling,
    /// Dropout before the layer.
    pub dropout: f32,
    /// A weight a class or label in the loss.
    pub class_weights: Option<Vec<f32>>,
    /// Share of the target spread evenly over all classes.
    pub label_smoothing: f32,
}

impl HeadOptions {
    /// A head for inference: settings that only matter in training are off.
    pub fn new(kind: TaskType, outputs: usize, pooling: Pooling) -> Self {
        Self { kind, outputs, pooling, dropout: 0.0, class_weights: None, label_smoothing: 0.0 }
    }
}

/// A linear layer `[outputs, hidden]` on pooled states, or on every token's.
#[derive(Debug)]
pub struct Head {
    pub(super) task: usize,
    pub(super) weight: Parameter,
    pub(super) bias: Parameter,
    pub(super) options: HeadOptions,
}

/// A head's answer to one input.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// A class, and every class's probability.
    Class {
        /// The most probable class.
        class: u32,
        /// Softmax of the logits.
        probabilities: Vec<f32>,
    },
    /// The labels above one half, and every label's probability.
    Labels {
        /// Ascending.
        labels: Vec<u32>,
        /// Sigmoid of the logits.
        probabilities: Vec<f32>,
    },
    /// A number.
    Score(f32),
    /// A tag a token and its probability. Take the words' first tokens.
    Tags {
        /// The most probable tag of each token.
        tags: Vec<u32>,
        /// Its probability.
        probabilities: Vec<f32>,
    },
}

impl Head {
    /// What decides the head's shape and loss.
    pub fn options(&self) -> &HeadOptions {
        &self.options
    }

    /// Logits from hidden states `[tokens, hidden]` of the sequences in `sequences`: `[sequences, outputs]`, or `[tokens,
    /// outputs]` for tags.
    pub(super) fn logits(
        &self,
        backbone: &Backbone,
        states: &Tensor,
        packed: &Packed,
        sequences: Range<usize>,
        pass: &Pass,
    ) -> Result<Tensor> {
        let first = packed.starts[sequences.start];
        let starts: Vec<u32> =
            packed.starts[sequences.start..=sequences.end].iter().map(|start| start - first).collect();
        let mut states = states.clone();
        if self.options.kind != TaskType::TokenClassification {
            states = match self.options.pooling {
                Pooling::Cls => ops::pool(&states, &starts, PoolKind::First)?,
                Pooling::Mean => ops::pool(&states, &starts, PoolKind::Mean)?,
                Pooling::Max => ops::pool(&states, &starts, PoolKind::Max)?,
                Pooling::Pooler => {
                    let first = ops::pool(&states, &starts, PoolKind::First)?;
                    backbone.pooler(&first, self.task, pass).expect("checked when the model was built")?
                }
            };
        }
        let states = ops::dropout(&states, pass.dropout(self.options.dropout))?;
        let recorder = pass.task(self.task, states.dim(0)?);
        ops::linear(&states, &self.weight, Some(&self.bias), recorder.as_ref())
    }

    /// Mean loss over the targets that count.
    pub(super) fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor> {
        match (self.options.kind, targets) {
            (TaskType::Classification, Targets::Classes(classes)) => {
                classification::loss(logits, classes, &self.options)
            }
            (TaskType::MultiLabel, Targets::MultiLabel(marks)) => multi_label::loss(logits, marks, &self.options),
            (TaskType::Regression, Targets::Values(values)) => regression::loss(logits, values),
            (TaskType::TokenClassification, Targets::Tags(tags)) => {
                token_classification::loss(logits, tags, &self.options)
            }
            (kind, _) => candle_core::bail!("targets of another kind for a head of kind {kind:?}"),
        }
    }

    /// Answers from the logits of one sequence.
    pub(super) fn decode(&self, logits: &[f32]) -> Prediction {
        match self.options.kind {
            TaskType::Classification => classification::decode(logits),
            TaskType::MultiLabel => multi_label::decode(logits),
            TaskType::Regression => regression::decode(logits),
            TaskType::TokenClassification => token_classification::decode(logits, self.options.outputs),
        }
    }

    /// Rows of logits that one sequence of `tokens` tokens has.
    pub(super) fn rows(&self, tokens: usize) -> usize {
        match self.options.kind {
            TaskType::TokenClassification => tokens,
            _ => 1,
        }
    }
}

/// Softmax in f64, safe at any size of the logits.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| f64::from(x - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / sum) as f32).collect()
}

/// Index of the largest; the first of equals.
fn argmax(values: &[f32]) -> u32 {
    let better = |best: usize, (index, value): (usize, &f32)| if *value > values[best] { index } else { best };
    values.iter().enumerate().fold(0, better) as u32
}
