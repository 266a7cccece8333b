//! Milliseconds of an answer to one text, and texts a second, by all heads of a checkpoint, as JSON.
//!
//!     cargo bench --bench predict -- CHECKPOINT TEXTS [--threads N]
//!
//! TEXTS is a file with one text a line; the first one is answered alone, again and again.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use mtl_zoo::{Input, MultiTask};
use serde_json::json;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut files, mut threads) = (Vec::new(), 0);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().and_then(|text| text.parse().ok()).expect("--threads: a number"),
            _ => files.push(argument),
        }
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let [checkpoint, texts] = &files[..] else { panic!("CHECKPOINT and TEXTS") };
    let predictor = MultiTask::load(checkpoint).unwrap();
    let texts = std::fs::read_to_string(texts).unwrap();
    let inputs: Vec<Input> = texts.lines().map(|line| Input::Text(line.into())).collect();
    let mut milliseconds: Vec<f64> = (0..220)
        .map(|_| {
            let start = Instant::now();
            predictor.predict(&inputs[..1], &[]).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(20)
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    let start = Instant::now();
    predictor.predict(&inputs, &[]).unwrap();
    let rate = inputs.len() as f64 / start.elapsed().as_secs_f64();
    println!("{}", json!({"milliseconds": milliseconds[milliseconds.len() / 2], "texts_per_second": rate}));
}
