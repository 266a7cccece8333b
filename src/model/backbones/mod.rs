//! Pretrained encoders, one file a family.

mod bert;
mod bert_config;

pub use bert::Bert;
pub use bert_config::{BertConfig, PositionEmbedding};

use super::Pass;
use crate::data::Packed;
use crate::error::{Problem, Result};
use crate::gradient::Parameter;
use candle_core::Tensor;
use serde::Deserialize;

/// Configuration of a backbone of any family.
#[derive(Clone, Debug, PartialEq)]
pub enum BackboneConfig {
    /// BERT and what shares its layers.
    Bert(BertConfig),
}

/// Where a parameter of a backbone lies, for freezing and layer-wise learning rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Before the first layer.
    Embeddings,
    /// In layer n, counted from 0 at the bottom.
    Layer(usize),
    /// After the last layer.
    Pooler,
}

/// Name, shape and depth of a backbone's parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name without the prefix that some files put before it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub depth: Depth,
    /// Whether it is a table whose rows belong to token ids.
    pub by_token: bool,
}

impl BackboneConfig {
    /// Reads a Hub `config.json`.
    ///
    /// # Errors
    /// If it is no JSON object, of a family that is not supported, or its values cannot be.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Family {
            model_type: Option<String>,
        }
        let help = "use the config.json that belongs to the weights";
        let family: Family = serde_json::from_slice(json).map_err(|error| {
            Problem::new(format!("{error}"), "a JSON object as the Hub's config.json", help)
                .file("config.json")
                .backbone()
        })?;
        match family.model_type.as_deref() {
            Some("bert") => Ok(Self::Bert(BertConfig::parse(json)?)),
            other => Err(Problem::new(
                other.map_or("no model_type".into(), |name| format!("model_type \"{name}\"")),
                "model_type \"bert\"",
                "choose a backbone of a supported family; `mtl-zoo list backbones` names some",
            )
            .file("config.json")
            .key("model_type")
            .backbone()),
        }
    }

    /// Width of the hidden states.
    pub fn hidden(&self) -> usize {
        match self {
            Self::Bert(config) => config.hidden_size,
        }
    }

    /// Width of the feed-forward part.
    pub fn inner(&self) -> usize {
        match self {
            Self::Bert(config) => config.intermediate_size,
        }
    }

    /// Entries of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Bert(config) => config.vocab_size,
        }
    }

    /// Longest input in tokens.
    pub fn max_positions(&self) -> usize {
        match self {
            Self::Bert(config) => config.max_position_embeddings,
        }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        match self {
            Self::Bert(config) => config.num_hidden_layers,
        }
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        match self {
            Self::Bert(config) => config.type_vocab_size,
        }
    }

    /// Name of the family.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Bert(_) => "bert",
        }
    }

    /// Sets the dropout probabilities that are given.
    pub fn set_dropout(&mut self, hidden: Option<f32>, attention: Option<f32>) {
        match self {
            Self::Bert(config) => {
                config.hidden_dropout_prob = hidden.unwrap_or(config.hidden_dropout_prob);
                config.attention_probs_dropout_prob = attention.unwrap_or(config.attention_probs_dropout_prob);
            }
        }
    }

    /// Every parameter, in the order of the forward pass.
    pub fn parameters(&self, pooler: bool) -> Vec<ParameterSpec> {
        match self {
            Self::Bert(config) => config.parameters(pooler),
        }
    }

    /// The family's name for a tensor that a file may call otherwise; `None` for tensors that are not the backbone's.
    pub fn canonical_name(&self, stored: &str) -> String {
        match self {
            Self::Bert(_) => bert_config::canonical_name(stored),
        }
    }
}

/// A pretrained encoder of any family.
#[derive(Debug)]
pub enum Backbone {
    /// BERT.
    Bert(Bert),
}

impl Backbone {
    /// Builds the encoder; `get` gives the parameter of each name of [`BackboneConfig::parameters`].
    pub fn new(config: &BackboneConfig, pooler: bool, get: impl FnMut(&str) -> Parameter) -> Self {
        match config {
            BackboneConfig::Bert(config) => Self::Bert(Bert::new(config, pooler, get)),
        }
    }

    /// Hidden states `[tokens, hidden]` of packed sequences.
    pub fn forward(&self, packed: &Packed, pass: &Pass) -> candle_core::Result<Tensor> {
        match self {
            Self::Bert(bert) => bert.forward(packed, pass),
        }
    }

    /// Makes later passes faster, at the price of a copy of the weights. Parameters must not change afterwards.
    pub fn fix(&mut self) -> candle_core::Result<()> {
        match self {
            Self::Bert(bert) => bert.fix(),
        }
    }

    /// The pooler's states `[sequences, hidden]` of first-token states of one task; `None` without a pooler.
    pub fn pooler(&self, first: &Tensor, task: usize, pass: &Pass) -> Option<candle_core::Result<Tensor>> {
        match self {
            Self::Bert(bert) => bert.pooler(first, task, pass),
        }
    }
}
