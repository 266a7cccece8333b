//! One forward pass: whether it records gradients, where they go, and its noise.

use crate::data::packing::{Batch, TaskBatch};
use crate::gradient::{GradientStore, Recorder};
use crate::ops::{Dropout, Noise, Precision};
use candle_core::{DType, Result, Var};
use std::ops::Range;
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
    rows: GradientRows,
    /// Tokens by gradient row.
    tokens: Recorder,
    /// Of each task, its number, its sequences, and those in its first half.
    halves: Vec<[usize; 3]>,
}

/// Which gradient row a task's gradient goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientRows {
    /// All gradients to row 0.
    Joint,
    /// That of task t to row `first + t`.
    Tasks {
        /// Row of task 0.
        first: usize,
    },
    /// What the first half of the sequences of task t gives to row t, what the others give to row `tasks + t`.
    Halves {
        /// Number of tasks.
        tasks: usize,
    },
}

impl GradientRows {
    /// Number of gradient rows of a range of tokens.
    fn spans(self) -> usize {
        if matches!(self, Self::Halves { .. }) { 2 } else { 1 }
    }

    /// The gradient rows of a task, one a span.
    fn of(self, task: usize) -> Vec<usize> {
        match self {
            Self::Joint => vec![0],
            Self::Tasks { first } => vec![first + task],
            Self::Halves { tasks } => vec![task, tasks + task],
        }
    }

    /// The rows that backward passes of some tasks of a batch write to, each with the tokens that do, in order.
    pub fn spans_of<'a>(
        self,
        batch: &Batch,
        tasks: impl IntoIterator<Item = &'a TaskBatch>,
    ) -> Vec<(usize, Range<usize>)> {
        if self == Self::Joint {
            return vec![(0, 0..batch.packed.tokens())];
        }
        let spans = |task: &TaskBatch| {
            let middle = batch.packed.starts[task.sequences.start + task.first_half] as usize;
            self.of(task.task).into_iter().zip(self.cut(&task.tokens, middle))
        };
        tasks.into_iter().flat_map(spans).collect()
    }

    /// Cuts `range` for [`GradientRows::of`], the middle given.
    fn cut(self, range: &Range<usize>, middle: usize) -> Vec<Range<usize>> {
        match self {
            Self::Halves { .. } => vec![range.start..middle, middle..range.end],
            _ => vec![range.clone()],
        }
    }
}

/// Directs the backward pass of a batch's tokens to gradient rows.
#[derive(Debug)]
pub(super) struct Director {
    tokens: Recorder,
    rows: GradientRows,
}

impl Director {
    /// Sends the gradients of range `range` of the batch's tokens to the rows of `task`.
    pub fn direct(&self, range: usize, task: usize) {
        for (span, row) in self.rows.of(task).into_iter().enumerate() {
            self.tokens.direct(range * self.rows.spans() + span, row);
        }
    }
}

impl Pass {
    /// A pass that records nothing and drops nothing.
    pub fn inference() -> Self {
        Self::default()
    }

    /// A pass that records nothing, with dropout.
    pub fn observing(noise: Noise) -> Self {
        Self { noise: Some(noise), ..Self::default() }
    }

    /// A pass over `batch` whose backward pass adds to `store`: to its only row, or to a row a task if it has more.
    /// Without noise there is no dropout.
    pub fn training(store: &Arc<GradientStore>, batch: &Batch, noise: Option<Noise>) -> Result<Self> {
        let rows = if store.row_count() > 1 { GradientRows::Tasks { first: 0 } } else { GradientRows::Joint };
        Self::recording(store, batch, noise, rows)
    }

    /// As [`Pass::training`], with the rows named.
    pub fn recording(
        store: &Arc<GradientStore>,
        batch: &Batch,
        noise: Option<Noise>,
        rows: GradientRows,
    ) -> Result<Self> {
        // Where tasks label the same tokens, the first of them has the rows to begin with.
        let mut before = None;
        let first = batch.tasks.iter().filter(|task| before.replace(&task.tokens) != Some(&task.tokens));
        let spans = rows.spans_of(batch, first);
        let root = Var::zeros(1, DType::F32, store.device())?;
        let tokens = Recorder::split(store, spans);
        let halves = batch.tasks.iter().map(|task| [task.task, task.sequences.len(), task.first_half]).collect();
        let recording = Recording { store: store.clone(), root, rows, tokens, halves };
        Ok(Self { recording: Some(recording), noise, ..Self::default() })
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

    /// Directs gradients to rows, in a pass that keeps the tasks' apart.
    pub(super) fn director(&self) -> Option<Director> {
        let Recording { tokens, rows, .. } = self.recording.as_ref()?;
        (*rows != GradientRows::Joint).then(|| Director { tokens: tokens.clone(), rows: *rows })
    }

    /// Records gradients of ops over `len` rows that all belong to `task`, in the order of its sequences.
    pub fn task(&self, task: usize, len: usize) -> Option<Recorder> {
        let Recording { store, rows, halves, .. } = self.recording.as_ref()?;
        // Rows that are tokens belong to a head, whose gradient has no halves.
        let half = halves.iter().find(|[of, sequences, _]| *of == task && *sequences == len);
        let middle = half.map_or(len / 2, |[.., first]| *first);
        let spans = rows.of(task).into_iter().zip(rows.cut(&(0..len), middle));
        Some(Recorder::split(store, spans))
    }

    /// A dropout with its own mask; none without noise or at probability 0.
    pub fn dropout(&self, p: f32) -> Option<Dropout> {
        // The stream is taken even at probability 0, so that one setting does not change the masks of others.
        self.noise.as_ref().map(|noise| noise.dropout(p)).filter(|_| p > 0.0)
    }
}
