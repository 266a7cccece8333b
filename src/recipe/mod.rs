//! The recipe: which backbone, which tasks, how to train. Plain data; every field has its default here.

mod balance;
mod balance_methods;
#[cfg(feature = "train")]
pub(crate) mod document;
#[cfg(feature = "train")]
pub(crate) mod explain;
#[cfg(feature = "train")]
mod languages;
#[cfg(feature = "train")]
mod licenses;
#[cfg(feature = "train")]
mod load;
#[cfg(feature = "train")]
mod overrides;
#[cfg(feature = "train")]
mod paths;
#[cfg(feature = "train")]
mod source;
#[cfg(feature = "train")]
pub mod suggest;
mod task;
mod training;
#[cfg(feature = "train")]
pub(crate) mod validate;
#[cfg(feature = "train")]
pub(crate) mod validate_checkpoint;
#[cfg(feature = "train")]
mod validate_task;

pub use balance::{Balance, Level, ParameterValue};
pub use balance_methods::{BalanceMethod, Parameter, ParameterKind, Range};
#[cfg(feature = "train")]
pub use load::RecipeSource;
#[cfg(feature = "train")]
pub use overrides::Override;
#[cfg(feature = "train")]
pub use source::{Base, CardKind, Cards, SourceFile};
pub use task::{Balanced, ClassWeights, Columns, Files, Format, Split, Task};
pub use training::{Freeze, Sampling, Schedule, Training, TrainingDtype};
#[cfg(all(test, feature = "train"))]
pub(crate) use validate::NOT_OF_STATES;

use crate::metrics::Kind;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A whole recipe. Tasks keep the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Name of the run; the file's stem if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pretrained encoder.
    pub backbone: Backbone,
    /// How to train.
    pub training: Training,
    /// How many examples of each task are in a step.
    pub sampling: Sampling,
    /// How the task losses are combined.
    pub balance: Balance,
    /// How the result is stored.
    pub checkpoint: CheckpointOptions,
    /// The tasks by name.
    pub tasks: IndexMap<String, Task>,
}

/// The pretrained encoder and how it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backbone {
    /// A card's name, a folder, or a Hub id.
    pub id: String,
    /// Hub revision: a branch, tag or commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Longest input in tokens, special tokens included; longer inputs are cut.
    pub max_tokens: usize,
    /// Dropout of hidden states; the backbone's own setting if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,
    /// Dropout of attention probabilities; the backbone's own setting if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_dropout: Option<f32>,
    /// Which part of the backbone is not trained.
    pub freeze: Freeze,
}

impl Default for Backbone {
    fn default() -> Self {
        Self {
            id: "bundled".into(),
            revision: None,
            max_tokens: 128,
            dropout: None,
            attention_dropout: None,
            freeze: Freeze::None,
        }
    }
}

/// How the result is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointOptions {
    /// Number format of the stored tensors.
    pub dtype: CheckpointDtype,
    /// Title of the model card; one from the tasks' names if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Licence as the Hub writes it, for the model card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// ISO 639-1 codes of the texts' languages, or `multilingual`, for the model card.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Hub id of the model that the backbone comes from, for the model card; the backbone's if it is on the Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
}

/// Number format of stored tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointDtype {
    /// 32 bits: what was trained, to the bit.
    #[default]
    F32,
    /// 16 bits, 11 of precision.
    F16,
    /// 16 bits, 8 of precision, the range of f32.
    Bf16,
}

/// What a head does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskType {
    /// One of several classes.
    Classification,
    /// Any number of several labels.
    MultiLabel,
    /// A number.
    Regression,
    /// A tag for every word.
    TokenClassification,
}

impl TaskType {
    /// The name as recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
            Self::Regression => "regression",
            Self::TokenClassification => "token_classification",
        }
    }

    /// The kind of prediction, which decides the metrics that apply.
    pub fn predictions(self) -> Kind {
        match self {
            Self::Classification => Kind::Classes,
            Self::MultiLabel => Kind::MultiLabel,
            Self::Regression => Kind::Values,
            Self::TokenClassification => Kind::Tags,
        }
    }
}

/// How token states become one state a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// State of the first token.
    Cls,
    /// Mean over all tokens.
    #[default]
    Mean,
    /// Largest value over all tokens, a dimension at a time.
    Max,
    /// The backbone's own pooler: a dense layer with tanh on the first token.
    Pooler,
}
