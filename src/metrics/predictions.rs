//! What a metric is computed from.

use serde::{Deserialize, Serialize};

use super::Metric;

/// The four kinds of [`Predictions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One class for each example.
    Classes,
    /// Any number of labels for each example.
    MultiLabel,
    /// One number for each example.
    Values,
    /// One tag for each token of each example.
    Tags,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Classes, Kind::MultiLabel, Kind::Values, Kind::Tags];

    /// The metrics that are reported unless a recipe names others. The first is the primary one, which picks the best
    /// checkpoint.
    pub fn default_metrics(self) -> &'static [Metric] {
        match self {
            Kind::Classes => &[Metric::Accuracy, Metric::MacroF1],
            Kind::MultiLabel => &[Metric::MicroF1, Metric::MacroF1],
            Kind::Values => &[Metric::Pearson, Metric::Spearman, Metric::Mse],
            Kind::Tags => &[Metric::EntityF1, Metric::Accuracy],
        }
    }
}

/// What was expected and what was predicted, example by example.
///
/// `expected` and `predicted` have equal lengths. Matrices are row-major with one row an example.
#[derive(Clone, Copy, Debug)]
pub enum Predictions<'a> {
    /// One class for each example.
    Classes {
        /// Class ids, below `classes`.
        expected: &'a [u32],
        /// Class ids, below `classes`.
        predicted: &'a [u32],
        /// `[examples * classes]`, or empty where they are not known (AUROC is then undefined).
        probabilities: &'a [f32],
        /// Number of classes of the task, seen or not.
        classes: usize,
    },
    /// Any number of labels for each example.
    MultiLabel {
        /// `[examples * labels]`.
        expected: &'a [bool],
        /// `[examples * labels]`.
        predicted: &'a [bool],
        /// `[examples * labels]`, or empty where they are not known (AUROC is then undefined).
        probabilities: &'a [f32],
        /// Number of labels of the task.
        labels: usize,
    },
    /// One number for each example.
    Values {
        /// Target values.
        expected: &'a [f32],
        /// Predicted values.
        predicted: &'a [f32],
    },
    /// One tag for each token of each example.
    Tags {
        /// Tag ids by sequence, below `labels.len()`.
        expected: &'a [Vec<u32>],
        /// Tag ids by sequence, as long as the expected ones.
        predicted: &'a [Vec<u32>],
        /// The distinct tag names, such as `O`, `B-PER`, `NOUN`.
        labels: &'a [String],
    },
}

impl Predictions<'_> {
    /// Which kind these are.
    pub fn kind(&self) -> Kind {
        match self {
            Predictions::Classes { .. } => Kind::Classes,
            Predictions::MultiLabel { .. } => Kind::MultiLabel,
            Predictions::Values { .. } => Kind::Values,
            Predictions::Tags { .. } => Kind::Tags,
        }
    }

    pub(super) fn debug_assert_consistent(&self) {
        match *self {
            Predictions::Classes { expected, predicted, probabilities, classes } => {
                debug_assert_eq!(expected.len(), predicted.len(), "expected and predicted classes");
                debug_assert!(
                    probabilities.is_empty() || probabilities.len() == expected.len() * classes,
                    "{} probabilities for {} examples of {classes} classes",
                    probabilities.len(),
                    expected.len(),
                );
                debug_assert!(
                    expected.iter().chain(predicted).all(|&class| (class as usize) < classes),
                    "a class id is not below {classes}",
                );
            }
            Predictions::MultiLabel { expected, predicted, probabilities, labels } => {
                debug_assert_eq!(expected.len(), predicted.len(), "expected and predicted labels");
                debug_assert!(
                    probabilities.is_empty() || probabilities.len() == expected.len(),
                    "{} probabilities for {} labels",
                    probabilities.len(),
                    expected.len(),
                );
                debug_assert!(
                    expected.len().checked_rem(labels).unwrap_or(expected.len()) == 0,
                    "{} values are not rows of {labels} labels",
                    expected.len(),
                );
            }
            Predictions::Values { expected, predicted } => {
                debug_assert_eq!(expected.len(), predicted.len(), "expected and predicted values");
            }
            Predictions::Tags { expected, predicted, labels } => {
                debug_assert!(
                    expected.iter().map(Vec::len).eq(predicted.iter().map(Vec::len)),
                    "expected and predicted tag sequences differ in number or length",
                );
                debug_assert!(
                    expected.iter().chain(predicted).flatten().all(|&tag| (tag as usize) < labels.len()),
                    "a tag id is not below {}",
                    labels.len(),
                );
            }
        }
    }
}
