//! The model, recipe and batches that scripts/make_training_goldens.py trained.

use crate::support::{Golden, bundled};
use candle_core::Device;
use mtl_zoo::data::packing::IGNORE;
use mtl_zoo::data::{Batch, Packed, Targets, TaskBatch};
use mtl_zoo::model::{BackboneConfig, HeadOptions, JointModel, ModelOptions, Weight, Weights};
use mtl_zoo::recipe::{Freeze, Recipe, Schedule, TaskType, Training};
use mtl_zoo::train::Trainer;
use serde_json::{Value, json};

pub struct Setup {
    pub golden: Golden,
    pub recipe: Recipe,
    pub steps: usize,
    pub batches: Vec<Batch>,
    config: BackboneConfig,
    weights: Weights,
    heads: Vec<(String, HeadOptions)>,
    /// Where models compute.
    pub device: Device,
}

impl Setup {
    pub fn open(name: &str) -> Self {
        let golden = Golden::open(name);
        let settings: Value = serde_json::from_str(&golden.metadata["settings"]).unwrap();
        let mut weights = golden.weights("param.");
        if weights.is_empty() {
            weights = bundled().1;
        }
        weights.extend(golden.weights("head.").into_iter().map(|(name, weight)| (format!("heads.{name}"), weight)));
        let config = BackboneConfig::parse(golden.metadata["config"].as_bytes()).unwrap();
        let tasks = settings["tasks"].as_object().unwrap();
        let heads: Vec<_> = tasks.iter().map(|(name, task)| (name.clone(), head(task))).collect();
        let steps = settings["steps"].as_u64().unwrap() as usize;
        let batches = (0..steps).map(|index| batch(&golden, index, &heads)).collect();
        Self { recipe: recipe(&settings), golden, steps, batches, config, weights, heads, device: Device::Cpu }
    }

    /// The model at its start, without dropout anywhere.
    pub fn model(&self) -> JointModel {
        self.model_with(0.0, Freeze::None)
    }

    pub fn model_with(&self, dropout: f32, freeze: Freeze) -> JointModel {
        let mut config = self.config.clone();
        config.set_dropout(Some(dropout), Some(dropout));
        let mut heads = self.heads.clone();
        heads.iter_mut().for_each(|(_, head)| head.dropout = dropout);
        let options = ModelOptions { freeze, seed: 0, trained_heads: true };
        JointModel::on(&self.device, config, self.weights.clone(), heads, &options).unwrap()
    }

    pub fn trainer(&self) -> Trainer {
        Trainer::new(self.model(), &self.recipe)
    }

    /// Weight of each task's loss.
    pub fn task_weights(&self) -> Vec<f64> {
        self.recipe.tasks.values().map(|task| task.weight).collect()
    }

    /// Overwrites an initial weight.
    pub fn set(&mut self, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let Weight { values, .. } = self.weights.get_mut(name).unwrap();
        change(values);
    }
}

fn recipe(settings: &Value) -> Recipe {
    let number = |key: &str| settings[key].as_f64().unwrap();
    assert_eq!((&settings["schedule"], &settings["optimizer"]), (&json!("linear"), &json!("adamw")));
    let training = Training {
        learning_rate: number("learning_rate"),
        head_learning_rate: Some(number("head_learning_rate")),
        layer_decay: number("layer_decay"),
        weight_decay: number("weight_decay"),
        betas: [settings["betas"][0].as_f64().unwrap(), settings["betas"][1].as_f64().unwrap()],
        epsilon: number("epsilon"),
        schedule: Schedule::Linear,
        warmup: 0.1,
        clip: number("clip"),
        ..Training::default()
    };
    let task = |(name, task): (&String, &Value)| {
        let written = json!({"type": task["type"], "train": "none", "weight": task["weight"]});
        (name.clone(), serde_json::from_value(written).unwrap())
    };
    let tasks = settings["tasks"].as_object().unwrap().iter().map(task).collect();
    Recipe { training, tasks, ..Recipe::default() }
}

fn head(task: &Value) -> HeadOptions {
    let kind: TaskType = serde_json::from_value(task["type"].clone()).unwrap();
    let pooling = serde_json::from_value(task.get("pooling").cloned().unwrap_or(json!("mean"))).unwrap();
    HeadOptions {
        class_weights: task.get("class_weights").map(|weights| serde_json::from_value(weights.clone()).unwrap()),
        label_smoothing: task.get("label_smoothing").map_or(0.0, |share| share.as_f64().unwrap() as f32),
        ..HeadOptions::new(kind, task["outputs"].as_u64().unwrap() as usize, pooling)
    }
}

fn batch(golden: &Golden, index: usize, heads: &[(String, HeadOptions)]) -> Batch {
    let packed = golden.packed(&format!("batch.{index}."));
    let task = |(task, (name, head)): (usize, &(String, HeadOptions))| {
        let at = format!("batch.{index}.task.{name}");
        let targets = golden.arrays.get(&format!("{at}.targets"))?;
        let [first, end] = golden.ints(&format!("{at}.sequences"))[..] else { panic!("{at}") };
        let sequences = first as usize..end as usize;
        Some(task_batch(&packed, task, sequences, targets_of(head.kind, &targets.1)))
    };
    let tasks = heads.iter().enumerate().filter_map(task).collect();
    Batch { packed, tasks }
}

pub fn task_batch(packed: &Packed, task: usize, sequences: std::ops::Range<usize>, targets: Targets) -> TaskBatch {
    let tokens = packed.starts[sequences.start] as usize..packed.starts[sequences.end] as usize;
    TaskBatch { task, first_half: sequences.len() / 2, sequences, tokens, targets }
}

fn targets_of(kind: TaskType, values: &[f64]) -> Targets {
    let floats = values.iter().map(|&x| x as f32).collect();
    let class = |&x: &f64| if x < 0.0 { IGNORE } else { x as u32 };
    let classes = values.iter().map(class).collect();
    match kind {
        TaskType::Classification => Targets::Classes(classes),
        TaskType::TokenClassification => Targets::Tags(classes),
        TaskType::MultiLabel => Targets::MultiLabel(floats),
        TaskType::Regression => Targets::Values(floats),
    }
}
