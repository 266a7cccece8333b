//! Configuration and parameter names of BERT (Devlin et al. 2019), as transformers' `BertConfig` writes them.

use super::{Depth, ParameterSpec};
use crate::error::{Problem, Result};
use crate::ops::Activation;
use serde::Deserialize;

/// What decides the shape of a BERT.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width between the two dense layers.
    pub intermediate_size: usize,
    /// Name of the activation.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Dropout of hidden states.
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f32,
    /// Dropout of attention probabilities.
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f32,
    /// Longest input.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Number of segments.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// ε of the layer normalizations.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// How positions enter.
    #[serde(default)]
    pub position_embedding_type: PositionEmbedding,
}

/// How positions enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionEmbedding {
    /// A learned embedding a position.
    #[default]
    Absolute,
    /// And learned scores of queries by distance (Shaw et al. 2018).
    RelativeKey,
    /// And learned scores of queries and keys by distance (Huang et al. 2020).
    RelativeKeyQuery,
}

fn gelu() -> String {
    "gelu".into()
}

fn tenth() -> f32 {
    0.1
}

fn positions() -> usize {
    512
}

fn two() -> usize {
    2
}

fn epsilon() -> f64 {
    1e-12
}

/// Larger than any real model; a file that says more is not believed.
const LIMIT: usize = 1 << 24;

impl BertConfig {
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let problem = |key: &str, found: String, expected: String| {
            Problem::new(found, expected, "use the config.json that belongs to the weights")
                .file("config.json")
                .key(key)
                .backbone()
        };
        let config: Self = serde_json::from_slice(json)
            .map_err(|error| problem("BERT", error.to_string(), "a configuration as transformers writes it".into()))?;
        let sizes = [
            ("vocab_size", config.vocab_size, LIMIT),
            ("hidden_size", config.hidden_size, 1 << 16),
            ("num_hidden_layers", config.num_hidden_layers, 1 << 10),
            ("num_attention_heads", config.num_attention_heads, 1 << 10),
            ("intermediate_size", config.intermediate_size, 1 << 18),
            ("max_position_embeddings", config.max_position_embeddings, LIMIT),
            ("type_vocab_size", config.type_vocab_size, 1 << 10),
        ];
        for (key, size, limit) in sizes {
            if size == 0 || size > limit {
                return Err(problem(key, size.to_string(), format!("a number from 1 to {limit}")));
            }
        }
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let found = format!("{} heads for hidden_size {}", config.num_attention_heads, config.hidden_size);
            return Err(problem("num_attention_heads", found, "a divisor of hidden_size".into()));
        }
        if Activation::from_hub_name(&config.hidden_act).is_none() {
            let expected = "gelu, gelu_new, gelu_pytorch_tanh, relu, silu or tanh";
            return Err(problem("hidden_act", format!("\"{}\"", config.hidden_act), expected.into()));
        }
        for (key, p) in [
            ("hidden_dropout_prob", config.hidden_dropout_prob),
            ("attention_probs_dropout_prob", config.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&p) {
                return Err(problem(key, p.to_string(), "a probability from 0 to below 1".into()));
            }
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            return Err(problem("layer_norm_eps", config.layer_norm_eps.to_string(), "a small positive number".into()));
        }
        Ok(config)
    }

    /// Whether attention has learned scores by distance.
    pub fn relative(&self) -> bool {
        self.position_embedding_type != PositionEmbedding::Absolute
    }

    pub(super) fn parameters(&self, pooler: bool) -> Vec<ParameterSpec> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize], depth| {
            let by_token = name == "embeddings.word_embeddings.weight";
            specs.push(ParameterSpec { name, shape: shape.to_vec(), depth, by_token });
        };
        for (table, entries) in [
            ("word", self.vocab_size),
            ("position", self.max_position_embeddings),
            ("token_type", self.type_vocab_size),
        ] {
            add(format!("embeddings.{table}_embeddings.weight"), &[entries, hidden], Depth::Embeddings);
        }
        add("embeddings.LayerNorm.weight".into(), &[hidden], Depth::Embeddings);
        add("embeddings.LayerNorm.bias".into(), &[hidden], Depth::Embeddings);
        for layer in 0..self.num_hidden_layers {
            let depth = Depth::Layer(layer);
            let mut linear = |name: &str, outputs, inputs| {
                add(format!("encoder.layer.{layer}.{name}.weight"), &[outputs, inputs], depth);
                add(format!("encoder.layer.{layer}.{name}.bias"), &[outputs], depth);
            };
            linear("attention.self.query", hidden, hidden);
            linear("attention.self.key", hidden, hidden);
            linear("attention.self.value", hidden, hidden);
            linear("attention.output.dense", hidden, hidden);
            linear("intermediate.dense", inner, hidden);
            linear("output.dense", hidden, inner);
            for norm in ["attention.output.LayerNorm", "output.LayerNorm"] {
                add(format!("encoder.layer.{layer}.{norm}.weight"), &[hidden], depth);
                add(format!("encoder.layer.{layer}.{norm}.bias"), &[hidden], depth);
            }
            if self.relative() {
                let shape = [2 * self.max_position_embeddings - 1, hidden / self.num_attention_heads];
                add(format!("encoder.layer.{layer}.attention.self.distance_embedding.weight"), &shape, depth);
            }
        }
        if pooler {
            add("pooler.dense.weight".into(), &[hidden, hidden], Depth::Pooler);
            add("pooler.dense.bias".into(), &[hidden], Depth::Pooler);
        }
        specs
    }
}

/// Files of models with a task head put `bert.` first; the oldest call norms' parameters gamma and beta.
pub(super) fn canonical_name(stored: &str) -> String {
    let name = stored.strip_prefix("bert.").unwrap_or(stored);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) if norm.ends_with("LayerNorm") => format!("{norm}.weight"),
        Some((norm, "beta")) if norm.ends_with("LayerNorm") => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}
