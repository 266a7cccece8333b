//! MiniLM-L6 with random weights on random tokens, and what benchmarks are asked on the command line.

use candle_core::Device;
use mtl_zoo::data::{Batch, Packed, Targets, TaskBatch};
use mtl_zoo::model::backbones::BackboneConfig;
use mtl_zoo::model::{HeadOptions, JointModel, ModelOptions, Weight, Weights};
use mtl_zoo::recipe::{Freeze, Pooling, Recipe, TaskType, Training};
use serde_json::json;

pub const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
    "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu", "max_position_embeddings": 512,
    "type_vocab_size": 2, "layer_norm_eps": 1e-12}"#;
const VOCABULARY: u32 = 30_522;
const CLASSES: usize = 4;

/// What follows the command.
pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn new() -> Self {
        Self(std::env::args().collect())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    pub fn value<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        let at = self.0.iter().position(|argument| argument == name);
        match at.and_then(|at| self.0.get(at + 1)) {
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} {text}")),
            None => default,
        }
    }
}

/// Numbers that only have to be spread out.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// BERT-base has twice the width and twice the layers.
#[allow(dead_code, reason = "not in every benchmark")]
pub fn base() -> String {
    let wide = CONFIG.replace("384", "768").replace("1536", "3072");
    wide.replace("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 12")
}

/// A model of random weights with heads for so many tasks, on a device.
pub fn model_on(device: &Device, config: &str, tasks: usize, dropout: f32) -> JointModel {
    let mut config = BackboneConfig::parse(config.as_bytes()).unwrap();
    config.set_dropout(Some(dropout), Some(dropout));
    let mut random = Random(1);
    let mut weights = Weights::new();
    for spec in config.parameters(false) {
        let len = spec.shape.iter().product();
        let norm = spec.name.ends_with("LayerNorm.weight");
        let mut number = || if norm { 1.0 } else { (random.next() % 2001) as f32 * 4e-5 - 0.04 };
        weights.insert(spec.name, Weight { shape: spec.shape, values: (0..len).map(|_| number()).collect() });
    }
    let head = HeadOptions { dropout, ..HeadOptions::new(TaskType::Classification, CLASSES, Pooling::Mean) };
    let heads = (0..tasks).map(|task| (format!("task{task}"), head.clone())).collect();
    let options = ModelOptions { freeze: Freeze::None, seed: 0, trained_heads: false };
    JointModel::on(device, config, weights, heads, &options).unwrap()
}

/// Random tokens in sequences of one length, as many of each task.
pub fn batch(tokens: usize, length: usize, tasks: usize, random: &mut Random) -> Batch {
    let sequences = tokens / length;
    let own = |task: usize| vec![length; (task + 1) * sequences / tasks - task * sequences / tasks];
    batch_of(&(0..tasks).map(own).collect::<Vec<_>>(), random)
}

/// Random tokens in sequences of every task in turn, at most `tokens` together, of lengths drawn from those that the task has.
#[allow(dead_code, reason = "not in every benchmark")]
pub fn mixed(tokens: usize, lengths: &[Vec<usize>], random: &mut Random) -> Batch {
    let (mut own, mut left) = (vec![Vec::new(); lengths.len()], tokens);
    for task in (0..lengths.len()).cycle() {
        let length = lengths[task][random.next() as usize % lengths[task].len()];
        if length > left {
            break;
        }
        left -= length;
        own[task].push(length);
    }
    batch_of(&own, random)
}

/// Random tokens in sequences of these lengths, `[task][sequence]`.
fn batch_of(lengths: &[Vec<usize>], random: &mut Random) -> Batch {
    let all: Vec<usize> = lengths.concat();
    let mut starts = vec![0u32];
    starts.extend(all.iter().scan(0u32, |end, &length| {
        *end += length as u32;
        Some(*end)
    }));
    let tokens = starts[all.len()] as usize;
    let packed = Packed {
        ids: (0..tokens).map(|_| random.next() as u32 % VOCABULARY).collect(),
        type_ids: vec![0; tokens],
        positions: all.iter().flat_map(|&length| 0..length as u32).collect(),
        starts: starts.clone(),
    };
    let (mut first, mut tasks) = (0, Vec::new());
    for (task, own) in lengths.iter().enumerate() {
        let sequences = first..first + own.len();
        first = sequences.end;
        let classes = own.iter().map(|_| random.next() as u32 % CLASSES as u32).collect();
        tasks.push(TaskBatch {
            task,
            tokens: starts[sequences.start] as usize..starts[sequences.end] as usize,
            first_half: own.len() / 2,
            sequences,
            targets: Targets::Classes(classes),
        });
    }
    Batch { packed, tasks }
}

/// Floating-point operations of a training step: products of the layers, attention included, forward and twice backward.
#[allow(dead_code, reason = "not in every benchmark")]
pub fn flops(model: &JointModel, batch: &Batch) -> f64 {
    let (h, inner) = (model.config().hidden() as f64, model.config().inner() as f64);
    let squares: f64 = batch.packed.starts.windows(2).map(|pair| f64::from(pair[1] - pair[0]).powi(2)).sum();
    let products = 2.0 * (4.0 * h * h + 2.0 * h * inner) * batch.packed.tokens() as f64;
    3.0 * model.config().layers() as f64 * (products + 4.0 * h * squares)
}

/// A recipe of tasks for [`model`].
pub fn recipe(tasks: usize, training: Training) -> Recipe {
    let task = |task: usize| {
        (format!("task{task}"), serde_json::from_value(json!({"type": "classification", "train": "-"})).unwrap())
    };
    Recipe { training, tasks: (0..tasks).map(task).collect(), ..Recipe::default() }
}
