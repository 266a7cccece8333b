//! Seconds of one training step of MiniLM-L6 under every balancing method, beside equal weighting.
//!
//!     cargo bench --bench balancing -- [--tasks N] [--tokens N] [--length N] [--dtype f32|bf16] [--methods a,b] [--steps N]
//!                                    [--threads N] [--json] [--device cpu|cuda|cuda:N] [--base]
//!
//! Steps of the method and of equal weighting take turns on the same batches; the ratio is the median over pairs. With
//! `--json` one object, else a line a method. `scripts/bench_balance.py` puts it beside PyTorch's libraries.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod minilm;

use minilm::{Arguments, CONFIG, Random, base, batch, model_on, recipe};
use mtl_zoo::balance::methods;
use mtl_zoo::data::Batch;
use mtl_zoo::device::DeviceChoice;
use mtl_zoo::recipe::{Balance, Training, TrainingDtype};
use mtl_zoo::train::Trainer;
use serde_json::{Map, json};
use std::time::Instant;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments = Arguments::new();
    let (tokens, length) = (arguments.value("--tokens", 2048), arguments.value("--length", 64));
    let (tasks, steps) = (arguments.value("--tasks", 4), arguments.value("--steps", 7));
    let f32 = arguments.value("--dtype", "bf16".to_owned()) == "f32";
    let chosen = arguments.value("--methods", String::new());
    rayon::ThreadPoolBuilder::new().num_threads(arguments.value("--threads", 0)).build_global().unwrap();
    let training = Training {
        dtype: if f32 { TrainingDtype::F32 } else { TrainingDtype::Bf16 },
        // What is measured for everybody is not the method's cost.
        conflicts_every: 0,
        ..Training::default()
    };
    let choice: DeviceChoice = arguments.value("--device", "cpu".to_owned()).parse().unwrap();
    let (device, _) = choice.open().unwrap_or_else(|error| panic!("{error}"));
    let config = if arguments.flag("--base") { base() } else { CONFIG.into() };
    let trainer = |method: &str| {
        let mut recipe = recipe(tasks, training.clone());
        recipe.balance = Balance::new(method);
        let mut trainer = Trainer::new(model_on(&device, &config, tasks, 0.1), &recipe);
        trainer.validation = Some(Box::new(move |step| batch(tokens, length, tasks, &mut Random(step))));
        trainer
    };
    let timed = |trainer: &mut Trainer, batch: &[Batch]| {
        let start = Instant::now();
        trainer.step(batch, 1.0).unwrap();
        start.elapsed().as_secs_f64()
    };
    let mut equal = trainer("equal");
    let (mut baseline, mut found) = (Vec::new(), Map::new());
    let wanted = |name: &str| chosen.is_empty() || chosen.split(',').any(|one| one == name);
    for entry in methods().iter().filter(|entry| !["equal", "search"].contains(&entry.name) && wanted(entry.name)) {
        let (mut own, mut random) = (trainer(entry.name), Random(2));
        let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
        for step in 0..steps + 2 {
            let batch = [batch(tokens, length, tasks, &mut random)];
            let [plain, with] = [timed(&mut equal, &batch), timed(&mut own, &batch)];
            // The first steps touch memory for the first time.
            if step >= 2 {
                baseline.push(plain);
                seconds.push(with);
                ratios.push(with / plain);
            }
        }
        let (seconds, ratio) = (median(seconds), median(ratios));
        if !arguments.flag("--json") {
            println!("{:14} {:8.1} ms {ratio:6.3}  {}", entry.name, 1e3 * seconds, entry.cost);
        }
        found.insert(entry.name.into(), json!({"seconds": seconds, "ratio": ratio}));
    }
    if arguments.flag("--json") {
        println!("{}", json!({"tasks": tasks, "equal": median(baseline), "methods": found}));
    }
}
