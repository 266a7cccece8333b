//! Seconds of one training step of MiniLM-L6 on random tokens, as JSON.
//!
//!     cargo bench --bench step -- [--tokens N] [--length N] [--tasks N] [--rows] [--dtype f32|bf16] [--dropout P]
//!                                 [--steps N] [--threads N] [--recompute] [--rate]
//!                                 [--device cpu|cuda|cuda:N] [--base] [--tf32]
//!
//! `--rows` keeps every task's gradient apart and takes their Gramian; `--rate` measures matrix products and
//! memory instead. `--base` takes the size of BERT-base. `scripts/bench_torch.py` runs this side by side with PyTorch.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod minilm;

use minilm::{Arguments, CONFIG, Random, base, batch, model_on, recipe};
use mtl_zoo::device::{DeviceChoice, describe};
use mtl_zoo::ops::{Precision, product_rate};
use mtl_zoo::recipe::{Training, TrainingDtype};
use mtl_zoo::train::{Trainer, peak_memory};
use rayon::prelude::*;
use serde_json::json;
use std::time::Instant;

/// Bytes a second that all threads read and write when they go through numbers that no cache holds: `y = a·y + x`, in
/// place, twelve bytes a number. The best of five rounds.
fn memory_rate() -> f64 {
    const NUMBERS: usize = 1 << 25;
    const PIECE: usize = 1 << 16;
    let (x, mut y) = (vec![1.0f32; NUMBERS], vec![2.0f32; NUMBERS]);
    let seconds = (0..6).map(|_| {
        let start = Instant::now();
        y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = 0.5 * *y + x);
        });
        start.elapsed().as_secs_f64()
    });
    (12 * NUMBERS) as f64 / seconds.skip(1).fold(f64::INFINITY, f64::min)
}

fn main() {
    let arguments = Arguments::new();
    let (tokens, length) = (arguments.value("--tokens", 2048), arguments.value("--length", 64));
    let (tasks, steps) = (arguments.value("--tasks", 1), arguments.value("--steps", 10));
    let bf16 = arguments.value("--dtype", "bf16".to_owned()) == "bf16";
    let threads = arguments.value("--threads", 0usize);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    if arguments.flag("--rate") {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        println!("{}", json!({"flops": product_rate(precision), "bytes": memory_rate()}));
        return;
    }
    let training = Training {
        dtype: if bf16 { TrainingDtype::Bf16 } else { TrainingDtype::F32 },
        recompute: arguments.flag("--recompute"),
        tf32: arguments.flag("--tf32"),
        conflicts_every: usize::from(arguments.flag("--rows")),
        ..Training::default()
    };
    let choice: DeviceChoice = arguments.value("--device", "cpu".to_owned()).parse().unwrap();
    let (device, _) = choice.open().unwrap_or_else(|error| panic!("{error}"));
    let config = if arguments.flag("--base") { base() } else { CONFIG.into() };
    let recipe = recipe(tasks, training);
    let mut trainer = Trainer::new(model_on(&device, &config, tasks, arguments.value("--dropout", 0.1)), &recipe);
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
        json!({"device": describe(&device), "peak_bytes": memory, "seconds": median, "best": seconds[0], "tokens_per_second": tokens as f64 / median})
    );
}
