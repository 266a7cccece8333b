//! One task of a recipe: its data, head, loss and metrics.

use super::{Pooling, TaskType};
use crate::metrics::Metric;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A data set, a head, a loss and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name of a task card that gives every field not written here; a resolved recipe has it in `from_card`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// In a resolved recipe, the card that gave fields: for the record, it is not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_card: Option<String>,
    /// What the head does.
    #[serde(rename = "type")]
    pub kind: TaskType,
    /// Training files. Relative paths start at the recipe's folder.
    pub train: Files,
    /// Validation files, or the fraction of the training rows to use.
    #[serde(default = "tenth")]
    pub validation: Split,
    /// Test files, or the fraction of the training rows to use; no test score if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Split>,
    /// File format; by the file's extension if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Which columns hold what.
    #[serde(default)]
    pub columns: Columns,
    /// The labels in their order; if absent, found in the training rows and sorted (numbers by value).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Use only so many training rows, drawn with `split_seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Seed of split fractions and of `limit`; independent of the training seed.
    #[serde(default)]
    pub split_seed: u64,
    /// How token states become one state a sequence; not used by token classification.
    #[serde(default)]
    pub pooling: Pooling,
    /// Dropout before the head's last layer.
    #[serde(default = "head_dropout")]
    pub dropout: f32,
    /// Weight of the task's loss.
    #[serde(default = "one")]
    pub weight: f64,
    /// Weights of the classes in the loss: "balanced", or a weight a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// Share of the target spread evenly over all classes, from 0 to below 1.
    #[serde(default)]
    pub label_smoothing: f32,
    /// Metrics to report, the first picks the best checkpoint; by type if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
}

fn tenth() -> Split {
    Split::Fraction(0.1)
}

fn head_dropout() -> f32 {
    0.1
}

fn one() -> f64 {
    1.0
}

/// One file or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a file name, or a list of file names")]
pub enum Files {
    /// One file.
    One(PathBuf),
    /// Several files, read one after the other.
    Many(Vec<PathBuf>),
}

impl Files {
    /// The files as a slice.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    /// The same files with each path mapped.
    pub fn map(&self, f: impl Fn(&PathBuf) -> PathBuf) -> Self {
        match self {
            Self::One(path) => Self::One(f(path)),
            Self::Many(paths) => Self::Many(paths.iter().map(f).collect()),
        }
    }
}

/// Where a split comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a fraction such as 0.1, a file name, or a list of file names")]
pub enum Split {
    /// A fraction of the training rows, taken out of them.
    Fraction(f64),
    /// Files of its own.
    Files(Files),
}

/// Format of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Which columns (or JSON keys) hold what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The text, or the first text of a pair.
    pub text: String,
    /// The second text of a pair; if set, the task reads sentence pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// The label, the list of labels, or the number.
    pub label: String,
    /// The words of a token classification task.
    pub tokens: String,
    /// Their tags.
    pub tags: String,
    /// What separates list items (labels, words, tags) in formats without lists.
    pub separator: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            text: "text".into(),
            pair: None,
            label: "label".into(),
            tokens: "tokens".into(),
            tags: "tags".into(),
            separator: " ".into(),
        }
    }
}

/// Weights of the classes in the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "\"balanced\", or a table with a number for each label")]
pub enum ClassWeights {
    /// "balanced": rows / (classes × rows of the class), as scikit-learn computes it.
    Named(Balanced),
    /// A weight a label; labels that are not named weigh 1.
    Given(IndexMap<String, f32>),
}

/// The word "balanced".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balanced {
    /// Inverse to the class's frequency in the training rows.
    Balanced,
}
