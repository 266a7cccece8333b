//! Examples laid end to end: no padding anywhere.

use super::{Encoded, Example, NO_TOKEN, Target};
use std::ops::Range;

pub use crate::ops::IGNORE;

/// Sequences laid end to end, without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Token ids, `[tokens]`.
    pub ids: Vec<u32>,
    /// Segment of each token, `[tokens]`.
    pub type_ids: Vec<u32>,
    /// Position of each token in its sequence, `[tokens]`.
    pub positions: Vec<u32>,
    /// Where each sequence starts, and the end of the last: `[sequences + 1]`, first 0.
    pub starts: Vec<u32>,
}

/// The targets of one task in a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// One class a sequence, `[sequences]`.
    Classes(Vec<u32>),
    /// 0 or 1 a sequence and label, `[sequences * labels]`, row-major.
    MultiLabel(Vec<f32>),
    /// One number a sequence, `[sequences]`.
    Values(Vec<f32>),
    /// One tag a token, [`IGNORE`] where there is none, `[tokens]`.
    Tags(Vec<u32>),
}

/// One task's share of a batch: a contiguous range. Tasks that label the same inputs have the same range.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskBatch {
    /// Index of the task in the recipe.
    pub task: usize,
    /// Its sequences.
    pub sequences: Range<usize>,
    /// Its tokens.
    pub tokens: Range<usize>,
    /// How many of its sequences are in the first half of the task's in the batch; where this is a piece of a batch, in that
    /// of the whole one.
    pub first_half: usize,
    /// What its head should answer.
    pub targets: Targets,
}

/// A packed batch with the targets of every task in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The tokens of all tasks.
    pub packed: Packed,
    /// Which of them are whose.
    pub tasks: Vec<TaskBatch>,
}

impl Packed {
    /// Lays the sequences end to end.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a Encoded>) -> Self {
        let mut packed = Self { starts: vec![0], ..Self::default() };
        sequences.into_iter().for_each(|sequence| packed.push(sequence));
        packed
    }

    fn push(&mut self, sequence: &Encoded) {
        self.ids.extend(&sequence.ids);
        self.type_ids.extend(&sequence.type_ids);
        self.positions.extend(0..sequence.ids.len() as u32);
        self.starts.push(self.ids.len() as u32);
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The tokens of sequence `index`.
    pub fn sequence(&self, index: usize) -> Range<usize> {
        self.starts[index] as usize..self.starts[index + 1] as usize
    }
}

impl Batch {
    /// Packs groups of tasks that label the same inputs, each given as `(task, labels of the task, examples)` for every
    /// task in it. Groups without examples are left out.
    ///
    /// # Panics
    /// If the tasks of a group have not as many tokens each.
    pub fn new<'a>(groups: impl IntoIterator<Item = Vec<(usize, usize, Vec<&'a Example>)>>) -> Self {
        let mut batch = Self { packed: Packed::new([]), tasks: Vec::new() };
        for group in groups {
            let (first_sequence, first_token) = (batch.packed.sequences(), batch.packed.tokens());
            let inputs = group.first().map_or(&[][..], |(_, _, examples)| examples);
            inputs.iter().for_each(|example| batch.packed.push(&example.encoded));
            let tokens = first_token..batch.packed.tokens();
            for (task, labels, examples) in group.iter().filter(|(_, _, examples)| !examples.is_empty()) {
                let own: usize = examples.iter().map(|example| example.encoded.ids.len()).sum();
                assert_eq!(own, tokens.len(), "tasks of a group have the same inputs");
                batch.tasks.push(TaskBatch {
                    task: *task,
                    sequences: first_sequence..batch.packed.sequences(),
                    tokens: tokens.clone(),
                    first_half: (batch.packed.sequences() - first_sequence) / 2,
                    targets: Targets::new(examples, *labels),
                });
            }
        }
        batch
    }
}

impl Targets {
    /// The targets of examples of one task; all are of the kind of the first.
    fn new(examples: &[&Example], labels: usize) -> Self {
        match &examples[0].target {
            Target::Class(_) => Self::Classes(examples.iter().map(|e| e.target.class()).collect()),
            Target::Value(_) => Self::Values(examples.iter().map(|e| e.target.value()).collect()),
            Target::Classes(_) => {
                let mut flat = vec![0.0; examples.len() * labels];
                for (row, example) in flat.chunks_mut(labels.max(1)).zip(examples) {
                    example.target.indices().iter().for_each(|&label| row[label as usize] = 1.0);
                }
                Self::MultiLabel(flat)
            }
            Target::Tags(_) => {
                let mut flat = Vec::new();
                for example in examples {
                    let start = flat.len();
                    flat.resize(start + example.encoded.ids.len(), IGNORE);
                    let words = example.encoded.first_tokens.iter().zip(example.target.indices());
                    for (&token, &tag) in words.filter(|&(&token, _)| token != NO_TOKEN) {
                        flat[start + token as usize] = tag;
                    }
                }
                Self::Tags(flat)
            }
        }
    }
}

impl Target {
    fn class(&self) -> u32 {
        match self {
            Self::Class(class) => *class,
            other => unreachable!("a task has targets of one kind, and {other:?} is not a class"),
        }
    }

    fn value(&self) -> f32 {
        match self {
            Self::Value(value) => *value,
            other => unreachable!("a task has targets of one kind, and {other:?} is not a value"),
        }
    }

    fn indices(&self) -> &[u32] {
        match self {
            Self::Classes(indices) | Self::Tags(indices) => indices,
            other => unreachable!("a task has targets of one kind, and {other:?} is not a list"),
        }
    }
}
