//! The program in several ranks: what it trains is what one process trains. Over MPI run by scripts/test_parallel.sh, over NCCL
//! by scripts/test_cuda.sh.
#![cfg(all(feature = "cli", any(feature = "mpi", feature = "nccl"), unix))]

#[cfg(feature = "mpi")]
#[path = "parallel/mpi.rs"]
mod mpi;
#[cfg(feature = "nccl")]
#[path = "parallel/nccl.rs"]
mod nccl;
#[path = "cli/support.rs"]
mod support;

use mtl_zoo::checkpoint::TensorFile;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// A run of five tasks, two of which label the same inputs, without dropout.
const ARGS: &[&str] = &[
    "finetune",
    "five.toml",
    "--threads",
    "1",
    "--set",
    "backbone.dropout=0.0",
    "--set",
    "backbone.attention_dropout=0.0",
    "--set",
    "tasks.topic.dropout=0.0",
    "--set",
    "tasks.stars.dropout=0.0",
    "--set",
    "tasks.flags.dropout=0.0",
    "--set",
    "tasks.entails.dropout=0.0",
    "--set",
    "tasks.names.dropout=0.0",
    "--set",
    "training.steps=8",
    "--set",
    "training.evaluate_every=4",
    "--set",
    "training.conflicts_every=2",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(folder: &Path, out: &str) -> Vec<Value> {
    let metrics = fs::read_to_string(folder.join(out).join("metrics.jsonl")).unwrap();
    metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The largest relative difference of two documents of the same form.
fn apart(a: &Value, b: &Value) -> f64 {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() / b.abs().max(1e-2)
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            a.values().zip(b.values()).map(|(a, b)| apart(a, b)).fold(0.0, f64::max)
        }
        (a, b) => {
            assert_eq!(a, b);
            0.0
        }
    }
}

/// Largest differences of the objective, the losses and the rest of the steps' lines, and of the parameters.
fn difference(folder: &Path, found: &str, expected: &str) -> (f64, f64) {
    let (a, b) = (lines(folder, found), lines(folder, expected));
    assert_eq!(a.len(), b.len());
    let steps = a.iter().zip(&b).filter(|(_, b)| b.get("loss").is_some());
    let steps = steps.map(|(a, b)| apart(a, b)).fold(0.0, f64::max);
    let open = |out: &str| TensorFile::open(folder.join(out).join("checkpoint/model.safetensors")).unwrap();
    let (a, b) = (open(found), open(expected));
    let mut parameters = 0.0f64;
    for (a, b) in a.iter().zip(b.iter()) {
        assert_eq!(a.name, b.name);
        let (a, b) = (a.to_f32().unwrap(), b.to_f32().unwrap());
        parameters = a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).fold(parameters, f64::max);
    }
    (steps, parameters)
}

fn same(folder: &Path, one: &str, other: &str, file: &str) -> bool {
    fs::read(folder.join(one).join(file)).unwrap() == fs::read(folder.join(other).join(file)).unwrap()
}

fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// Waits until a file is there.
fn wait_for(path: &Path, child: &mut Child) {
    let start = Instant::now();
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended without {}", path.display());
        assert!(start.elapsed() < Duration::from_secs(120), "no {}", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a launcher ends, within a minute.
fn end(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("it hangs: {}", text(&child.wait_with_output().unwrap().stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}
