//! One backbone, several heads, one arena.

use super::backbones::{BackboneConfig, Depth, ParameterSpec};
use super::losses::TaskLoss;
use super::weights::take;
use super::{Backbone, Head, HeadOptions, Losses, Pass, Prediction, Weight, Weights};
use crate::data::{Batch, Packed};
use crate::error::{Problem, Result};
use crate::gradient::{Arena, Owner, Parameter, Slot};
use crate::ops::philox;
use crate::recipe::{Freeze, Pooling};
use candle_core::{DType, Device, Shape, Tensor, Var};
use indexmap::IndexMap;

/// How a model is put together from weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// Which part of the backbone is not trained.
    pub freeze: Freeze,
    /// Seed of heads that the weights do not hold.
    pub seed: u64,
    /// Take every head from the weights; a head that is absent is an error.
    pub trained_heads: bool,
}

/// A backbone and its heads.
#[derive(Debug)]
pub struct JointModel {
    config: BackboneConfig,
    backbone: Backbone,
    heads: IndexMap<String, Head>,
    arena: Arena,
    /// Backbone parameters that are not trained.
    constants: IndexMap<String, Tensor>,
    /// Every backbone parameter: its specification, and the name that the weights had for it.
    parameters: Vec<(ParameterSpec, String)>,
}

impl JointModel {
    /// Builds the model. Weights are taken by the names that they have on the Hub, heads' by `heads.<task>.<tensor>`;
    /// weights of other names are left out.
    ///
    /// # Errors
    /// If a tensor is absent or of a wrong shape, or a head wants a pooler that the backbone has not.
    pub fn new(
        config: BackboneConfig,
        weights: Weights,
        heads: Vec<(String, HeadOptions)>,
        options: &ModelOptions,
    ) -> Result<Self> {
        Self::on(&Device::Cpu, config, weights, heads, options)
    }

    /// As [`JointModel::new`], on a device.
    ///
    /// # Errors
    /// As [`JointModel::new`], and if the device has no memory for it.
    pub fn on(
        device: &Device,
        config: BackboneConfig,
        mut weights: Weights,
        heads: Vec<(String, HeadOptions)>,
        options: &ModelOptions,
    ) -> Result<Self> {
        let stored: IndexMap<String, String> =
            weights.keys().map(|name| (config.canonical_name(name), name.clone())).collect();
        let pooler = stored.contains_key("pooler.dense.weight");
        let pools = |head: &&(String, HeadOptions)| head.1.pooling == Pooling::Pooler;
        if let (false, Some((name, _))) = (pooler, heads.iter().find(pools)) {
            return Err(Problem::new(
                "pooling \"pooler\", but this backbone has no pooler",
                "\"mean\", \"cls\" or \"max\"",
                "write `pooling = \"mean\"`",
            )
            .key(format!("tasks.{name}.pooling"))
            .recipe());
        }
        let pooler_used = heads.iter().any(|head| pools(&head));

        let mut trained = Vec::new();
        let mut constants = IndexMap::new();
        let mut parameters = Vec::new();
        for spec in config.parameters(pooler) {
            let name = stored.get(&spec.name).unwrap_or(&spec.name).clone();
            let Weight { shape, values } = take(&mut weights, &name, &spec.shape)?;
            if is_frozen(&spec, options.freeze) || (spec.depth == Depth::Pooler && !pooler_used) {
                constants.insert(spec.name.clone(), Tensor::from_vec(values, shape, device)?);
            } else {
                let owner = if spec.by_token { Owner::Table } else { Owner::Shared };
                trained.push((spec.name.clone(), Shape::from(shape), owner, values));
            }
            parameters.push((spec, name));
        }
        for (task, head) in &heads {
            let (weight, bias) = (head_name(task, "weight"), head_name(task, "bias"));
            let (weight_shape, bias_shape) = ([head.outputs, config.hidden()], [head.outputs]);
            let has = weights.contains_key(&weight) || options.trained_heads;
            let values = match has {
                true => [take(&mut weights, &weight, &weight_shape)?, take(&mut weights, &bias, &bias_shape)?],
                false => [
                    Weight {
                        values: initial(task, head.outputs * config.hidden(), options.seed),
                        shape: weight_shape.into(),
                    },
                    Weight { values: vec![0.0; head.outputs], shape: bias_shape.into() },
                ],
            };
            for (name, weight) in [weight, bias].into_iter().zip(values) {
                trained.push((name, Shape::from(weight.shape), Owner::Head, weight.values));
            }
        }

        let arena = Arena::on(device, trained)?;
        let get = |name: &str| match constants.get(name) {
            Some(constant) => Parameter::constant(constant.clone()),
            None => arena.get(name).expect("every parameter is a constant or in the arena"),
        };
        let backbone = Backbone::new(&config, pooler, get);
        let head = |(task, (name, options)): (usize, (String, HeadOptions))| {
            let (weight, bias) = (get(&head_name(&name, "weight")), get(&head_name(&name, "bias")));
            (name, Head { task, weight, bias, options })
        };
        let heads = heads.into_iter().enumerate().map(head).collect();
        Ok(Self { config, backbone, heads, arena, constants, parameters })
    }

    /// Makes later passes faster, at the price of a copy of the backbone's weights: for a model that only answers.
    /// Parameters must not change afterwards.
    pub fn fix(&mut self) -> Result<()> {
        // On a device the weights are multiplied as they lie.
        if self.device().is_cpu() {
            self.backbone.fix()?;
        }
        Ok(())
    }

    /// The backbone's configuration.
    pub fn config(&self) -> &BackboneConfig {
        &self.config
    }

    /// The heads by task, in order.
    pub fn heads(&self) -> &IndexMap<String, Head> {
        &self.heads
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        self.arena.device()
    }

    /// The trainable parameters.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Where a backbone parameter lies; `None` for heads' parameters.
    pub fn depth(&self, name: &str) -> Option<Depth> {
        self.parameters.iter().find(|(spec, _)| spec.name == name).map(|(spec, _)| spec.depth)
    }

    /// Layers of the backbone through which gradients go.
    pub fn trained_layers(&self) -> usize {
        let layers = self.config.layers();
        let below = |depth| match depth {
            Depth::Embeddings => layers,
            Depth::Layer(layer) => layers - layer,
            Depth::Pooler => 0,
        };
        let trained = self.parameters.iter().filter(|(spec, _)| !self.constants.contains_key(&spec.name));
        trained.map(|(spec, _)| below(spec.depth)).max().unwrap_or(0)
    }

    /// Where the heads' parameters lie in the arena, with the number of their task.
    pub fn head_slots(&self) -> impl Iterator<Item = (usize, Slot)> {
        let parameters = self.heads.values().flat_map(|head| [(head.task, &head.weight), (head.task, &head.bias)]);
        parameters.filter_map(|(task, parameter)| Some((task, parameter.slot?)))
    }

    /// Numbers in the backbone and in all heads.
    pub fn size(&self) -> (usize, usize) {
        let backbone = self.parameters.iter().map(|(spec, _)| spec.shape.iter().product::<usize>()).sum();
        (backbone, self.arena.len() - self.arena.heads_start())
    }

    /// Every tensor under the name that it has in a checkpoint.
    pub fn tensors(&self) -> IndexMap<String, Tensor> {
        let backbone = self.parameters.iter().map(|(spec, stored)| {
            let trained = || self.arena.get(&spec.name).expect("a parameter is a constant or in the arena").value;
            (stored.clone(), self.constants.get(&spec.name).cloned().unwrap_or_else(trained))
        });
        let heads = self.heads.iter().flat_map(|(task, head)| {
            [(head_name(task, "weight"), head.weight.value.clone()), (head_name(task, "bias"), head.bias.value.clone())]
        });
        backbone.chain(heads).collect()
    }

    /// Hidden states `[tokens, hidden]` of packed sequences.
    ///
    /// # Errors
    /// If a token id, segment or position lies outside of the backbone's tables.
    pub fn hidden(&self, packed: &Packed, pass: &Pass) -> Result<Tensor> {
        Ok(self.backbone.forward(packed, pass)?)
    }

    /// The pooler's output `[sequences, hidden]`, for backbones that have one.
    pub fn pooled(&self, hidden: &Tensor, packed: &Packed, pass: &Pass) -> Option<Result<Tensor>> {
        let first = crate::ops::pool(hidden, &packed.starts, crate::ops::PoolKind::First);
        match first {
            Ok(first) => self.backbone.pooler(&first, 0, pass).map(|pooled| Ok(pooled?)),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The mean loss of every task in the batch, in the batch's order; none of a batch without sequences.
    pub fn losses(&self, batch: &Batch, pass: &Pass) -> Result<Losses> {
        if batch.packed.tokens() == 0 {
            return Ok(Losses { tasks: Vec::new(), hidden: Tensor::zeros(1, DType::F32, self.device())?, rows: None });
        }
        let hidden = self.hidden(&batch.packed, pass)?;
        let tasks = batch.tasks.iter().map(|task| {
            let head = &self.heads[task.task];
            let states = hidden.narrow(0, task.tokens.start, task.tokens.len())?;
            let leaf = pass.root().map(|_| Var::from_tensor(&states)).transpose()?;
            let states = leaf.as_ref().map_or(&states, Var::as_tensor);
            let logits = head.logits(&self.backbone, states, &batch.packed, task.sequences.clone(), pass)?;
            let loss = head.loss(&logits, &task.targets)?;
            Ok(TaskLoss { task: task.task, loss, leaf, tokens: task.tokens.clone() })
        });
        Ok(Losses { tasks: tasks.collect::<Result<_>>()?, hidden, rows: pass.director() })
    }

    /// Answers of some heads to every packed sequence, from one pass of the backbone: `[head][sequence]`.
    pub fn predict(&self, packed: &Packed, heads: &[usize]) -> Result<Vec<Vec<Prediction>>> {
        let pass = Pass::inference();
        let hidden = self.hidden(packed, &pass)?;
        let answers =
            heads.iter().map(|&index| self.answers(&self.heads[index], &hidden, packed, 0..packed.sequences()));
        answers.collect()
    }

    /// Answers and losses of the tasks of a batch, each by its own head, in the batch's order.
    pub fn evaluate(&self, batch: &Batch, pass: &Pass) -> Result<Vec<(Vec<Prediction>, f32)>> {
        let hidden = self.hidden(&batch.packed, pass)?;
        let tasks = batch.tasks.iter().map(|task| {
            let head = &self.heads[task.task];
            let states = hidden.narrow(0, task.tokens.start, task.tokens.len())?;
            let logits = head.logits(&self.backbone, &states, &batch.packed, task.sequences.clone(), pass)?;
            let loss = head.loss(&logits, &task.targets)?.to_scalar()?;
            Ok((decode(head, &logits, &batch.packed, task.sequences.clone())?, loss))
        });
        tasks.collect()
    }

    fn answers(
        &self,
        head: &Head,
        hidden: &Tensor,
        packed: &Packed,
        sequences: std::ops::Range<usize>,
    ) -> Result<Vec<Prediction>> {
        let logits = head.logits(&self.backbone, hidden, packed, sequences.clone(), &Pass::inference())?;
        decode(head, &logits, packed, sequences)
    }
}

/// Cuts logits at the sequences and decodes each.
fn decode(head: &Head, logits: &Tensor, packed: &Packed, sequences: std::ops::Range<usize>) -> Result<Vec<Prediction>> {
    let values: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    let mut rest = &values[..];
    let decoded = sequences.map(|sequence| {
        let (now, later) = rest.split_at(head.rows(packed.sequence(sequence).len()) * head.options.outputs);
        rest = later;
        head.decode(now)
    });
    Ok(decoded.collect())
}

fn head_name(task: &str, tensor: &str) -> String {
    format!("heads.{task}.{tensor}")
}

fn is_frozen(spec: &ParameterSpec, freeze: Freeze) -> bool {
    match (freeze, spec.depth) {
        (Freeze::None, _) => false,
        (Freeze::All, _) => true,
        (Freeze::Embeddings, depth) => depth == Depth::Embeddings,
        (Freeze::Layers(_), Depth::Embeddings) => true,
        (Freeze::Layers(n), Depth::Layer(layer)) => layer < n,
        (Freeze::Layers(_), Depth::Pooler) => false,
    }
}

/// Normal numbers with standard deviation 0.02 that depend on seed and task name only, so that a task starts from the
/// same head whatever trains beside it.
fn initial(task: &str, len: usize, seed: u64) -> Vec<f32> {
    // FNV-1a of the name.
    let name = task
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let key = name ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let unit = |bits: u32| (f64::from(bits) + 0.5) / 4_294_967_296.0;
    let normals = (0..len.div_ceil(2) as u32).flat_map(|index| {
        let [a, b, ..] = philox([index, 0, 0, 1], [key as u32, (key >> 32) as u32]);
        let radius = (-2.0 * unit(a).ln()).sqrt() * 0.02;
        let (sin, cos) = (std::f64::consts::TAU * unit(b)).sin_cos();
        [(radius * cos) as f32, (radius * sin) as f32]
    });
    normals.take(len).collect()
}
