//! Metrics: how well predictions match what was expected.
//!
//! Plain functions over slices, computed in `f64`, that know nothing of models or data. A [`Metric`] names one of them;
//! [`Metric::compute`] picks the function that fits the [`Predictions`] at hand. Values agree with scikit-learn, SciPy
//! and seqeval (golden file: `tests/golden/metrics.json`); the doc comments name every deviation.
//!
//! `None` means that a metric is undefined on these predictions, never that it is zero.

pub mod classification;
pub mod correlation;
pub mod entities;
mod f1;
pub mod multi_label;
mod predictions;
pub mod ranking;
pub mod regression;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use predictions::{Kind, Predictions};

/// The name of a metric, as recipes, cards and reports write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of examples (multi-label: whole label sets; tags: single tags) predicted correctly. In [0, 1].
    Accuracy,
    /// Mean recall over the expected classes. In [0, 1].
    BalancedAccuracy,
    /// F1 per class, averaged with equal weights. In [0, 1].
    MacroF1,
    /// F1 of the counts summed over all classes. In [0, 1].
    MicroF1,
    /// F1 per class, averaged by how often the class is expected. In [0, 1].
    WeightedF1,
    /// Matthews correlation coefficient, also for more than two classes. In [-1, 1].
    Matthews,
    /// Area under the ROC curve; macro one-vs-rest for more than two classes or labels. In [0, 1].
    Auroc,
    /// Pearson correlation. In [-1, 1].
    Pearson,
    /// Spearman rank correlation. In [-1, 1].
    Spearman,
    /// Mean squared error, at least 0. Lower is better.
    Mse,
    /// Mean absolute error, at least 0. Lower is better.
    Mae,
    /// Coefficient of determination, at most 1.
    R2,
    /// Micro F1 over whole entities, as seqeval's default mode counts them. In [0, 1].
    EntityF1,
}

impl Metric {
    /// Every metric, in the order in which help texts list them.
    pub const ALL: [Metric; 13] = [
        Metric::Accuracy,
        Metric::BalancedAccuracy,
        Metric::MacroF1,
        Metric::MicroF1,
        Metric::WeightedF1,
        Metric::Matthews,
        Metric::Auroc,
        Metric::Pearson,
        Metric::Spearman,
        Metric::Mse,
        Metric::Mae,
        Metric::R2,
        Metric::EntityF1,
    ];

    /// The name in recipes, cards and reports: `snake_case`, the same as serde writes.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::BalancedAccuracy => "balanced_accuracy",
            Metric::MacroF1 => "macro_f1",
            Metric::MicroF1 => "micro_f1",
            Metric::WeightedF1 => "weighted_f1",
            Metric::Matthews => "matthews",
            Metric::Auroc => "auroc",
            Metric::Pearson => "pearson",
            Metric::Spearman => "spearman",
            Metric::Mse => "mse",
            Metric::Mae => "mae",
            Metric::R2 => "r2",
            Metric::EntityF1 => "entity_f1",
        }
    }

    /// What the metric measures, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Metric::Accuracy => "share of correct predictions (multi-label: of label sets that match entirely)",
            Metric::BalancedAccuracy => "mean recall over the expected classes",
            Metric::MacroF1 => "F1 averaged over classes with equal weights",
            Metric::MicroF1 => "F1 of the counts summed over classes",
            Metric::WeightedF1 => "F1 averaged over classes by their frequency",
            Metric::Matthews => "Matthews correlation coefficient",
            Metric::Auroc => "area under the ROC curve (macro one-vs-rest beyond two classes)",
            Metric::Pearson => "Pearson correlation",
            Metric::Spearman => "Spearman rank correlation",
            Metric::Mse => "mean squared error (lower is better)",
            Metric::Mae => "mean absolute error (lower is better)",
            Metric::R2 => "coefficient of determination",
            Metric::EntityF1 => "micro F1 over whole entities, as seqeval counts them",
        }
    }

    /// Whether a larger value means better predictions: false for the errors, [`Metric::Mse`] and [`Metric::Mae`].
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Metric::Mse | Metric::Mae)
    }

    /// Whether the metric has a meaning for predictions of this kind.
    pub fn applies_to(self, kind: Kind) -> bool {
        use Metric::*;
        match kind {
            Kind::Classes => {
                matches!(self, Accuracy | BalancedAccuracy | MacroF1 | MicroF1 | WeightedF1 | Matthews | Auroc)
            }
            Kind::MultiLabel => matches!(self, Accuracy | MacroF1 | MicroF1 | WeightedF1 | Auroc),
            Kind::Values => matches!(self, Pearson | Spearman | Mse | Mae | R2),
            Kind::Tags => matches!(self, Accuracy | EntityF1),
        }
    }

    /// The metric's value on these predictions.
    ///
    /// `None` if the metric does not apply to their kind ([`Metric::applies_to`]), or is undefined on them: no
    /// examples, a constant input to a correlation or a constant target of R², a class without examples (AUROC), values
    /// that are not finite. The functions that compute each value say more.
    ///
    /// The lengths of the slices must agree as [`Predictions`] says; a debug build asserts it, in a release build
    /// the value is then meaningless, but nothing panics.
    pub fn compute(self, predictions: &Predictions) -> Option<f64> {
        predictions.debug_assert_consistent();
        match *predictions {
            Predictions::Classes { expected, predicted, probabilities, classes } => match self {
                Metric::Accuracy => classification::accuracy(expected, predicted),
                Metric::BalancedAccuracy => classification::balanced_accuracy(expected, predicted),
                Metric::MacroF1 => classification::macro_f1(expected, predicted),
                Metric::MicroF1 => classification::micro_f1(expected, predicted),
                Metric::WeightedF1 => classification::weighted_f1(expected, predicted),
                Metric::Matthews => classification::matthews(expected, predicted),
                Metric::Auroc => ranking::multi_class_auroc(expected, probabilities, classes),
                _ => None,
            },
            Predictions::MultiLabel { expected, predicted, probabilities, labels } => match self {
                Metric::Accuracy => multi_label::subset_accuracy(expected, predicted, labels),
                Metric::MacroF1 => multi_label::macro_f1(expected, predicted, labels),
                Metric::MicroF1 => multi_label::micro_f1(expected, predicted, labels),
                Metric::WeightedF1 => multi_label::weighted_f1(expected, predicted, labels),
                Metric::Auroc => ranking::multi_label_auroc(expected, probabilities, labels),
                _ => None,
            },
            Predictions::Values { expected, predicted } => match self {
                Metric::Pearson => correlation::pearson(expected, predicted),
                Metric::Spearman => correlation::spearman(expected, predicted),
                Metric::Mse => regression::mse(expected, predicted),
                Metric::Mae => regression::mae(expected, predicted),
                Metric::R2 => regression::r2(expected, predicted),
                _ => None,
            },
            Predictions::Tags { expected, predicted, labels } => match self {
                Metric::Accuracy => entities::tag_accuracy(expected, predicted),
                Metric::EntityF1 => entities::entity_f1(expected, predicted, labels),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name).ok_or_else(|| UnknownMetric(name.to_owned()))
    }
}

/// The error of parsing a [`Metric`] from a name that no metric has; holds that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMetric(pub String);

impl fmt::Display for UnknownMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Metric::ALL.map(Metric::name).join(", ");
        write!(f, "unknown metric `{}`: expected one of {known}", self.0)
    }
}

impl std::error::Error for UnknownMetric {}
