//! From files to packed batches: rows, labels, splits, tokens, sampling, packing.

pub mod packing;
#[cfg(feature = "train")]
pub mod columns;
#[cfg(feature = "train")]
pub mod labels;
#[cfg(feature = "train")]
pub mod readers;
#[cfg(feature = "train")]
pub mod sampler;
#[cfg(feature = "train")]
pub mod splits;
#[cfg(feature = "train")]
pub mod statistics;
#[cfg(feature = "train")]
pub mod task_data;
pub mod tokenize;

pub use packing::{Batch, Packed, TaskBatch, Targets};
pub use tokenize::{Encoded, Tokenizer};

/// What a head reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// One text.
    Text(String),
    /// Two texts, read together as a sentence pair.
    Pair(String, String),
    /// Words that are already split; each gets a tag.
    Words(Vec<String>),
}

/// What a head should answer. Class numbers index the task's labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One class.
    Class(u32),
    /// Any number of classes, ascending.
    Classes(Vec<u32>),
    /// A number.
    Value(f32),
    /// One tag a word.
    Tags(Vec<u32>),
}

/// One labelled row of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What the head reads.
    pub input: Input,
    /// What it should answer.
    pub target: Target,
}

/// A row after tokenization.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The tokens.
    pub encoded: Encoded,
    /// The answer; [`Target::Tags`] still count words (see [`Encoded::first_tokens`]).
    pub target: Target,
}
