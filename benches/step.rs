//! Seconds of one training step of MiniLM-L6 on random tokens, as JSON.
//!
//!     cargo bench --bench step -- [--tokens N] [--length N] [--tasks N] [--rows] [--dtype f32|bf16] [--dropout P]
//!                                 [--steps N] [--threads N] [--recompute] [--rate]
//!
//! `--rows` keeps every task's gradient apart and takes their Gramian; `--rate` measures matrix products instead. `scripts/bench_torch.py` runs this side by side with PyTorch.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use mtl_zoo::data::{Batch, Packed, Targets, TaskBatch};
use mtl_zoo::model::backbones::BackboneConfig;
use mtl_zoo::model::{HeadOptions, ModelOptions, MultiTask, Weight, Weights};
use mtl_zoo::ops::{Precision, product_rate};
use mtl_zoo::recipe::{Freeze, Pooling, Recipe, TaskType, Training, TrainingDtype};
use mtl_zoo::train::{Trainer, peak_memory};
use serde_json::json;
use std::time::Instant;

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
    "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu", "max_position_embeddings": 512,
    "type_vocab_size": 2, "layer_norm_eps": 1e-12}"#;
const VOCABULARY: u32 = 30_522;
const CLASSES: usize = 4;

struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn value<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        let at = self.0.iter().position(|argument| argument == name);
        match at.and_then(|at| self.0.get(at + 1)) {
            Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} {text}")),
            None => default,
        }
    }
}

/// Numbers that only have to be spread out.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

fn model(tasks: usize, dropout: f32) -> MultiTask {
    let mut config = BackboneConfig::parse(CONFIG.as_bytes()).unwrap();
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
    MultiTask::new(config, weights, heads, &ModelOptions { freeze: Freeze::None, seed: 0, trained_heads: false })
        .unwrap()
}

fn batch(tokens: usize, length: usize, tasks: usize, random: &mut Random) -> Batch {
    let sequences = tokens / length;
    let ids = (0..sequences * length).map(|_| random.next() as u32 % VOCABULARY).collect();
    let packed = Packed {
        ids,
        type_ids: vec![0; sequences * length],
        positions: (0..sequences).flat_map(|_| 0..length as u32).collect(),
        starts: (0..=sequences).map(|sequence| (sequence * length) as u32).collect(),
    };
    let task = |task: usize| {
        let own = task * sequences / tasks..(task + 1) * sequences / tasks;
        let classes = own.clone().map(|_| random.next() as u32 % CLASSES as u32).collect();
        TaskBatch {
            task,
            tokens: own.start * length..own.end * length,
            sequences: own,
            targets: Targets::Classes(classes),
        }
    };
    Batch { packed, tasks: (0..tasks).map(task).collect() }
}

fn main() {
    let arguments = Arguments(std::env::args().collect());
    let (tokens, length) = (arguments.value("--tokens", 2048), arguments.value("--length", 64));
    let (tasks, steps) = (arguments.value("--tasks", 1), arguments.value("--steps", 10));
    let bf16 = arguments.value("--dtype", "bf16".to_owned()) == "bf16";
    let threads = arguments.value("--threads", 0usize);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    if arguments.flag("--rate") {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        println!("{}", json!({"flops": product_rate(precision)}));
        return;
    }
    let recipe = Recipe {
        training: Training {
            dtype: if bf16 { TrainingDtype::Bf16 } else { TrainingDtype::F32 },
            recompute: arguments.flag("--recompute"),
            conflicts_every: usize::from(arguments.flag("--rows")),
            ..Training::default()
        },
        tasks: (0..tasks)
            .map(|task| {
                (
                    format!("task{task}"),
                    serde_json::from_value(json!({"type": "classification", "train": "-"})).unwrap(),
                )
            })
            .collect(),
        ..Recipe::default()
    };
    let mut trainer = Trainer::new(model(tasks, arguments.value("--dropout", 0.1)), &recipe);
    let mut random = Random(2);
    let mut seconds = Vec::new();
    for step in 0..steps + 2 {
        let batch = [batch(tokens, length, tasks, &mut random)];
        let start = Instant::now();
        trainer.step(&batch, 1.0).unwrap();
        // The first steps touch memory for the first time.
        if step >= 2 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let memory = peak_memory();
    println!(
        "{}",
        json!({"peak_bytes": memory, "seconds": median, "best": seconds[0], "tokens_per_second": tokens as f64 / median})
    );
}
