//! BERT's encoder over packed sequences, trainable.

use super::BertConfig;
use super::bert_config::PositionEmbedding;
use crate::data::Packed;
use crate::gradient::{Parameter, Recorder};
use crate::model::Pass;
use crate::ops::{
    self, Activation, Attention, Dense, EmbeddingTables, EncoderLayer, FixedOperands, LayerOptions, Norm,
    RelativePositions,
};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// BERT's encoder.
#[derive(Debug)]
pub struct Bert {
    /// Word, position and segment embeddings; those of positions are not used where attention scores distances.
    tables: [Parameter; 3],
    norm: Norm,
    layers: Vec<Layer>,
    pooler: Option<Dense>,
    dropout: f32,
}

#[derive(Debug)]
struct Layer {
    parameters: Arc<EncoderLayer>,
    /// Learned scores by distance, and whether keys take part.
    distances: Option<(Parameter, bool)>,
    heads: usize,
    dropout: f32,
    attention_dropout: f32,
    /// Operands laid out once, when parameters do not change any more.
    operands: Option<Arc<FixedOperands>>,
}

impl Bert {
    pub(super) fn new(config: &BertConfig, pooler: bool, mut get: impl FnMut(&str) -> Parameter) -> Self {
        let get = &mut get;
        let tables =
            ["word", "position", "token_type"].map(|table| get(&format!("embeddings.{table}_embeddings.weight")));
        Self {
            tables,
            norm: norm(get, "embeddings.LayerNorm", config),
            layers: (0..config.num_hidden_layers).map(|index| Layer::new(config, index, get)).collect(),
            pooler: pooler.then(|| dense(get, "pooler.dense")),
            dropout: config.hidden_dropout_prob,
        }
    }

    pub(super) fn forward(&self, packed: &Packed, pass: &Pass) -> Result<Tensor> {
        let recorder = pass.tokens();
        let recorder = recorder.as_ref();
        let [word, position, segment] = self.tables.clone();
        let mut tables = vec![(word, packed.ids.clone()), (segment, packed.type_ids.clone())];
        if self.layers.iter().all(|layer| layer.distances.is_none()) {
            tables.push((position, packed.positions.clone()));
        }
        let trained = tables.iter().any(|(table, _)| table.slot.is_some()) || self.norm.weight.slot.is_some();
        let root = pass.root().filter(|_| trained);
        let embedded = ops::embedding(EmbeddingTables { tables }, root, recorder)?;
        let Norm { weight, bias, epsilon } = &self.norm;
        let normed = ops::layer_norm(&embedded, weight, bias, *epsilon, recorder)?;
        let mut states = ops::dropout(&normed, pass.dropout(self.dropout))?;
        // Below the first trained layer nothing is recorded: no memory, no backward work.
        let trained = |layer: &Layer| states.track_op() || layer.parameters.output.weight.slot.is_some();
        let first = match pass.root() {
            Some(_) => self.layers.iter().position(trained).unwrap_or(self.layers.len()),
            None => 0,
        };
        let (below, above) = self.layers.split_at(first);
        let run = |states: &Tensor, layers: &[Layer]| {
            let layers = layers.iter().map(|layer| layer.with_options(packed, pass, recorder)).collect();
            ops::encoder(states, layers, pass.precision(), pass.recompute())
        };
        if !below.is_empty() {
            states = run(&states, below)?;
        }
        if let (false, Some(root), false) = (states.track_op(), pass.root(), above.is_empty()) {
            states = ops::anchor(&states, root)?;
        }
        run(&states, above)
    }

    /// Lays out weights once: they do not change any more.
    pub(super) fn fix(&mut self) -> Result<()> {
        for layer in &mut self.layers {
            layer.operands = FixedOperands::new(&layer.parameters)?.map(Arc::new);
        }
        Ok(())
    }

    pub(super) fn pooler(&self, first: &Tensor, task: usize, pass: &Pass) -> Option<Result<Tensor>> {
        let pooler = self.pooler.as_ref()?;
        let rows = first.dim(0).unwrap_or(0);
        let states = ops::linear(first, &pooler.weight, Some(&pooler.bias), pass.task(task, rows).as_ref());
        Some(states.and_then(|states| ops::activation(&states, Activation::Tanh)))
    }
}

fn dense(get: &mut impl FnMut(&str) -> Parameter, name: &str) -> Dense {
    Dense { weight: get(&format!("{name}.weight")), bias: get(&format!("{name}.bias")) }
}

fn norm(get: &mut impl FnMut(&str) -> Parameter, name: &str, config: &BertConfig) -> Norm {
    let Dense { weight, bias } = dense(get, name);
    Norm { weight, bias, epsilon: config.layer_norm_eps }
}

impl Layer {
    fn new(config: &BertConfig, index: usize, get: &mut impl FnMut(&str) -> Parameter) -> Self {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let distances = config.relative().then(|| get(&name("attention.self.distance_embedding.weight")));
        let keys = config.position_embedding_type == PositionEmbedding::RelativeKeyQuery;
        let parameters = EncoderLayer {
            qkv: ["query", "key", "value"].map(|part| dense(get, &name(&format!("attention.self.{part}")))),
            attention_output: dense(get, &name("attention.output.dense")),
            attention_norm: norm(get, &name("attention.output.LayerNorm"), config),
            intermediate: dense(get, &name("intermediate.dense")),
            activation: Activation::from_hub_name(&config.hidden_act).expect("checked when the configuration was read"),
            output: dense(get, &name("output.dense")),
            output_norm: norm(get, &name("output.LayerNorm"), config),
        };
        Self {
            parameters: Arc::new(parameters),
            distances: distances.map(|table| (table, keys)),
            heads: config.num_attention_heads,
            dropout: config.hidden_dropout_prob,
            attention_dropout: config.attention_probs_dropout_prob,
            operands: None,
        }
    }

    /// The layer as the op takes it.
    fn with_options(
        &self,
        packed: &Packed,
        pass: &Pass,
        recorder: Option<&Recorder>,
    ) -> (Arc<EncoderLayer>, LayerOptions) {
        let attention = Attention {
            starts: packed.starts.clone(),
            heads: self.heads,
            dropout: pass.dropout(self.attention_dropout),
            relative: self.distances.clone().map(|(table, keys)| RelativePositions { table, keys }),
            recorder: recorder.cloned(),
        };
        let dropout = [pass.dropout(self.dropout), pass.dropout(self.dropout)];
        (self.parameters.clone(), LayerOptions { attention, dropout, operands: self.operands.clone() })
    }
}
