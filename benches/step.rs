//! Seconds of one training step of MiniLM-L6 on random tokens, as JSON.
//!
//!     cargo bench --bench step -- [--tokens N] [--length N] [--tasks N] [--rows] [--dtype f32|bf16|f16] [--dropout P]
//!                                 [--steps N] [--threads N] [--recompute] [--rates]
//!                                 [--device cpu|cuda|cuda:N] [--base] [--tf32] [--lengths FILE]
//!     cargo bench --bench step -- --lengths-of RECIPE
//!
//! `--rows` keeps every task's gradient apart and takes their Gramian, in every second step; those between are joint, and
//! `ratio` is the median over pairs of steps. `--rates` measures matrix products after every step, whole ones and the kernel
//! alone, and memory at the end: `beside` has the seconds of each step and both rates, `bytes` that of memory. `--base` takes
//! the size of BERT-base. `--lengths` takes a JSON file of lengths, an array a task, and draws the sequences from those;
//! `--lengths-of` prints such a file of a recipe's training rows. `scripts/bench_torch.py` runs this side by side with PyTorch.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod minilm;

use minilm::{Arguments, CONFIG, Random, base, batch, flops, mixed, model_on, recipe};
use mtl_zoo::catalog::{Catalog, ModelSource};
use mtl_zoo::device::{DeviceChoice, describe};
use mtl_zoo::hub::{HubOptions, resolve_backbone};
use mtl_zoo::ops::{Precision, gemm_rate, kernel_rate};
use mtl_zoo::recipe::{Recipe, RecipeSource, Training, TrainingDtype};
use mtl_zoo::train::{Prepared, Trainer, peak_memory};
use rayon::prelude::*;
use serde_json::json;
use std::path::Path;
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

/// Tokens of every training row of a recipe, by task.
fn lengths_of(path: &Path) -> Vec<Vec<usize>> {
    let catalog = Catalog::standard().unwrap();
    let recipe = Recipe::load(RecipeSource::File(path), &[], &catalog).unwrap();
    let id = match catalog.backbone_source(&recipe.backbone.id, None, path.parent().unwrap()).unwrap() {
        ModelSource::Folder(folder) => folder.display().to_string(),
        ModelSource::Hub { id, .. } => id,
    };
    let backbone = resolve_backbone(&id, None, &HubOptions::default()).unwrap();
    let tasks = Prepared::new(recipe, backbone).unwrap().tasks;
    tasks.iter().map(|task| task.train.iter().map(|example| example.encoded.ids.len()).collect()).collect()
}

fn median_of(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

fn dtype(name: &str) -> TrainingDtype {
    serde_json::from_value(json!(name)).unwrap_or_else(|error| panic!("--dtype: {error}"))
}

fn main() {
    let arguments = Arguments::new();
    let recipe_file = arguments.value("--lengths-of", String::new());
    if !recipe_file.is_empty() {
        println!("{}", json!(lengths_of(Path::new(&recipe_file))));
        return;
    }
    let file = arguments.value("--lengths", String::new());
    let lengths: Option<Vec<Vec<usize>>> =
        (!file.is_empty()).then(|| serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap());
    let (tokens, length) = (arguments.value("--tokens", 2048), arguments.value("--length", 64));
    let tasks = lengths.as_ref().map_or_else(|| arguments.value("--tasks", 1), Vec::len);
    let steps = arguments.value("--steps", 10);
    let dtype = dtype(&arguments.value("--dtype", "bf16".to_owned()));
    let threads = arguments.value("--threads", 0usize);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let precision = if dtype == TrainingDtype::F32 { Precision::F32 } else { Precision::Bf16 };
    let (rows, rates) = (arguments.flag("--rows"), arguments.flag("--rates"));
    let training = Training {
        dtype,
        recompute: arguments.flag("--recompute"),
        tf32: arguments.flag("--tf32"),
        conflicts_every: if rows { 2 } else { 0 },
        ..Training::default()
    };
    let choice: DeviceChoice = arguments.value("--device", "cpu".to_owned()).parse().unwrap();
    let (device, _) = choice.open().unwrap_or_else(|error| panic!("{error}"));
    let config = if arguments.flag("--base") { base() } else { CONFIG.into() };
    let recipe = recipe(tasks, training);
    let mut trainer = Trainer::new(model_on(&device, &config, tasks, arguments.value("--dropout", 0.1)), &recipe);
    let mut random = Random(2);
    let (mut seconds, mut joint, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut counted, mut arithmetic, mut beside) = (0.0, 0.0, Vec::new());
    for step in 0..if rows { 2 * steps } else { steps } + 2 {
        let batch = [match &lengths {
            Some(lengths) => mixed(tokens, lengths, &mut random),
            None => batch(tokens, length, tasks, &mut random),
        }];
        let start = Instant::now();
        trainer.step(&batch, 1.0).unwrap();
        // The first steps touch memory for the first time.
        if step < 2 {
            continue;
        }
        let now = start.elapsed().as_secs_f64();
        if rows && step % 2 == 0 {
            joint.push(now);
        } else {
            ratios.extend(joint.last().map(|joint| now / joint));
            seconds.push(now);
            counted += batch[0].packed.tokens() as f64;
            arithmetic += flops(trainer.layout(), &batch[0]);
        }
        if rates {
            beside.push([now, gemm_rate(precision), kernel_rate(precision)]);
        }
    }
    let steps = seconds.len() as f64;
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let median = median_of(seconds).expect("a step at least");
    println!(
        "{}",
        json!({
            "device": describe(&device),
            "peak_bytes": peak_memory(),
            "seconds": median,
            "best": best,
            "joint": median_of(joint),
            "ratio": median_of(ratios),
            "beside": beside,
            "bytes": rates.then(memory_rate),
            "tokens_per_second": counted / steps / median,
            "flops_per_second": arithmetic / steps / median,
        })
    );
}
