//! Examples a second of joint training on a recipe's own data, as JSON. Loading and evaluation are not counted; choosing
//! and packing the examples is.
//!
//!     cargo bench --bench mix -- RECIPE.toml [--steps N] [--threads N] [--set KEY=VALUE]...

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use mtl_zoo::catalog::Catalog;
use mtl_zoo::hub::{HubOptions, resolve_backbone};
use mtl_zoo::recipe::{Override, Recipe, RecipeSource};
use mtl_zoo::train::{LearningRate, Prepared, Trainer, peak_memory};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut file, mut steps, mut threads, mut overrides) = (None, 30usize, 0usize, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match argument.as_str() {
            "--steps" => steps = value().parse().expect("--steps: a number"),
            "--threads" => threads = value().parse().expect("--threads: a number"),
            "--set" => overrides.push(Override::parse(&value()).expect("--set: KEY=VALUE")),
            _ => file = Some(argument),
        }
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let file = file.expect("a recipe");
    let catalog = Catalog::standard().unwrap();
    let recipe = Recipe::load(RecipeSource::File(Path::new(&file)), &overrides, &catalog).unwrap();
    let backbone = resolve_backbone(&recipe.backbone.id, None, &HubOptions::default()).unwrap();
    let prepared = Prepared::new(recipe, backbone).unwrap();
    let recipe = &prepared.recipe;
    let mut trainer = Trainer::new(prepared.model().unwrap(), recipe);
    let mut sampler = prepared.sampler().unwrap();
    let rate = LearningRate::new(&recipe.training, steps + 2);
    let (mut examples, mut tokens, mut start) = (0, 0, Instant::now());
    for step in 0..steps + 2 {
        if step == 2 {
            // The first steps touch memory for the first time.
            (examples, tokens, start) = (0, 0, Instant::now());
        }
        let batch = prepared.batch(&prepared.draw(&mut sampler, 0.0));
        examples += batch.packed.sequences();
        tokens += batch.packed.tokens();
        trainer.step(&[batch], rate.factor(step)).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "examples_per_second": examples as f64 / seconds,
            "tokens_per_second": tokens as f64 / seconds,
            "seconds_per_step": seconds / steps as f64,
            "peak_bytes": peak_memory(),
        })
    );
}
