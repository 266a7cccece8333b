//! From files to packed batches: rows, labels, splits, tokens, sampling, packing.

#[cfg(feature = "train")]
pub mod columns;
mod divide;
#[cfg(feature = "train")]
pub mod labels;
pub mod packing;
pub mod random;
#[cfg(feature = "train")]
pub mod readers;
#[cfg(feature = "train")]
mod remote;
#[cfg(feature = "train")]
pub mod sampler;
#[cfg(feature = "train")]
pub mod splits;
#[cfg(feature = "train")]
pub mod statistics;
#[cfg(feature = "train")]
mod suggest;
#[cfg(feature = "train")]
pub mod task_data;
#[cfg(feature = "train")]
mod token_cache;
pub mod tokenize;

pub use packing::{Batch, Packed, Targets, TaskBatch};
#[cfg(feature = "train")]
pub use remote::pull_data;
#[cfg(feature = "train")]
pub use sampler::{Sampler, SamplerState};
#[cfg(feature = "train")]
pub use statistics::TaskStatistics;
#[cfg(feature = "train")]
pub use task_data::{TaskData, labelled_rows};
#[cfg(feature = "train")]
pub use token_cache::TokenCache;
pub use tokenize::{Encoded, NO_TOKEN, Tokenizer};

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

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
