//! One forward pass: whether it records gradients, where they go, and its noise.

use crate::data::packing::Batch;
use crate::gradient::{GradientStore, Recorder};
use crate::ops::{Dropout, Noise, Precision};
use candle_core::{DType, Device, Result, Var};
use std::sync::Arc;

/// One forward pass.
#[derive(Debug, Default)]
pub struct Pass {
    recording: Option<Recording>,
    noise: Option<Noise>,
    precision: Precision,
    recompute: bool,
}

#[derive(Debug)]
struct Recording {
    store: Arc<GradientStore>,
    /// A variable that makes candle record what follows.
    root: Var,
    /// Tokens by gradient row: where tasks label the same tokens, the first of them has the row.
    tokens: Recorder,
    /// Whether each task has a gradient row of its own.
    by_task: bool,
}

impl Pass {
    /// A pass that records nothing and drops nothing.
    pub fn inference() -> Self {
        Self::default()
    }

    /// A pass over `batch` whose backward pass adds to `store`: to its only row, or to a row a task if it has more.
    /// Without noise there is no dropout.
    pub fn training(store: &Arc<GradientStore>, batch: &Batch, noise: Option<Noise>) -> Result<Self> {
        Self::recording(store, batch, noise, store.row_count() > 1)
    }

    /// As [`Pass::training`], but all gradients go to the first row.
    pub fn joint(store: &Arc<GradientStore>, batch: &Batch, noise: Option<Noise>) -> Result<Self> {
        Self::recording(store, batch, noise, false)
    }

    fn recording(store: &Arc<GradientStore>, batch: &Batch, noise: Option<Noise>, by_task: bool) -> Result<Self> {
        let spans = match by_task {
            false => vec![(0, 0..batch.packed.tokens())],
            true => {
                let mut spans: Vec<_> = batch.tasks.iter().map(|task| (task.task, task.tokens.clone())).collect();
                spans.dedup_by(|later, first| later.1 == first.1);
                spans
            }
        };
        let tokens = Recorder::split(store, spans);
        let root = Var::zeros(1, DType::F32, &Device::Cpu)?;
        let recording = Some(Recording { store: store.clone(), root, tokens, by_task });
        Ok(Self { recording, noise, ..Self::default() })
    }

    /// The same pass with layers that multiply in `precision`.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same pass with layers that keep only their input for the backward pass, if `recompute`: less memory for a
    /// third more arithmetic.
    pub fn recomputing(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// How the layers multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether layers are computed again in the backward pass.
    pub fn recompute(&self) -> bool {
        self.recompute
    }

    /// The variable to anchor untracked states to; none in a pass that records nothing.
    pub fn root(&self) -> Option<&Var> {
        self.recording.as_ref().map(|recording| &recording.root)
    }

    /// Records gradients of ops over all tokens of the batch.
    pub fn tokens(&self) -> Option<Recorder> {
        self.recording.as_ref().map(|recording| recording.tokens.clone())
    }

    /// Whether each task has a gradient row of its own.
    pub fn by_task(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.by_task)
    }

    /// Records gradients of ops over `len` rows that all belong to `task`.
    pub fn task(&self, task: usize, len: usize) -> Option<Recorder> {
        let recording = self.recording.as_ref()?;
        let row = if recording.by_task { task } else { 0 };
        Some(Recorder::split(&recording.store, [(row, 0..len)]))
    }

    /// A dropout with its own mask; none without noise or at probability 0.
    pub fn dropout(&self, p: f32) -> Option<Dropout> {
        // The stream is taken even at probability 0, so that one setting does not change the masks of others.
        self.noise.as_ref().map(|noise| noise.dropout(p)).filter(|_| p > 0.0)
    }
}
