//! What `--dry-run` tells about the data: rows, labels, lengths.

use super::{Example, Target};
use crate::recipe::TaskType;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Numbers about one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatistics {
    /// Name of the task.
    pub name: String,
    /// What its head does.
    #[serde(rename = "type")]
    pub kind: TaskType,
    /// The splits by name: "train", "validation", "test".
    pub splits: IndexMap<String, SplitStatistics>,
}

impl TaskStatistics {
    /// Describes the tokenized splits of a task.
    pub fn new<'a>(
        name: &str,
        kind: TaskType,
        labels: &[String],
        splits: impl IntoIterator<Item = (&'a str, &'a [Example])>,
    ) -> Self {
        let splits = splits.into_iter();
        let splits = splits.map(|(split, examples)| (split.to_owned(), SplitStatistics::new(labels, examples)));
        Self { name: name.into(), kind, splits: splits.collect() }
    }
}

/// Numbers about one split of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitStatistics {
    /// Number of rows.
    pub rows: usize,
    /// What the rows answer.
    pub targets: TargetStatistics,
    /// How long they are.
    pub tokens: TokenStatistics,
}

/// What the rows of a split answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetStatistics {
    /// How often each label occurs, in the order of the labels; of tags every word counts.
    Counts(IndexMap<String, usize>),
    /// How the numbers are spread.
    Values {
        /// Mean.
        mean: f64,
        /// Standard deviation of these rows (divided by their number, not by one less).
        sd: f64,
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
}

/// How long the rows of a split are in tokens, special tokens included, after truncation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenStatistics {
    /// Shortest.
    pub min: usize,
    /// As many rows are longer as are shorter.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// 95 of 100 rows are at most this long (nearest rank).
    pub p95: usize,
    /// Longest.
    pub max: usize,
    /// All tokens of the split.
    pub total: usize,
    /// Rows that were cut at the length limit.
    pub truncated: usize,
}

impl SplitStatistics {
    /// Describes tokenized rows; `labels` is empty for regression.
    pub fn new(labels: &[String], examples: &[Example]) -> Self {
        Self {
            rows: examples.len(),
            targets: TargetStatistics::new(labels, examples),
            tokens: TokenStatistics::new(examples),
        }
    }
}

impl TargetStatistics {
    fn new(labels: &[String], examples: &[Example]) -> Self {
        let mut counts = vec![0; labels.len()];
        let mut values = Vec::new();
        for example in examples {
            let numbers = match &example.target {
                Target::Class(number) => std::slice::from_ref(number),
                Target::Classes(numbers) | Target::Tags(numbers) => numbers,
                Target::Value(value) => {
                    values.push(f64::from(*value));
                    continue;
                }
            };
            numbers.iter().for_each(|&number| counts[number as usize] += 1);
        }
        if values.is_empty() {
            return Self::Counts(labels.iter().cloned().zip(counts).collect());
        }
        let rows = values.len() as f64;
        let mean = values.iter().sum::<f64>() / rows;
        let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
        let (min, max) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        Self::Values { mean, sd, min: min.unwrap_or(mean), max: max.unwrap_or(mean) }
    }
}

impl TokenStatistics {
    fn new(examples: &[Example]) -> Self {
        let mut lengths: Vec<_> = examples.iter().map(|example| example.encoded.ids.len()).collect();
        lengths.sort_unstable();
        let rows = lengths.len();
        if rows == 0 {
            return Self::default();
        }
        let total = lengths.iter().sum();
        Self {
            min: lengths[0],
            median: (lengths[(rows - 1) / 2] + lengths[rows / 2]) as f64 / 2.0,
            mean: total as f64 / rows as f64,
            p95: lengths[(rows * 95).div_ceil(100) - 1],
            max: lengths[rows - 1],
            total,
            truncated: examples.iter().filter(|example| example.encoded.truncated).count(),
        }
    }
}
