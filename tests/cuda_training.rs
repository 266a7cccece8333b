//! Training on a CUDA device against training on the CPU. Runs on a card, or on the emulator (scripts/test_cuda.sh).
#![cfg(all(feature = "cuda", feature = "train"))]

mod support;

#[path = "cuda_training/gradients.rs"]
mod gradients;
#[path = "cuda_training/methods.rs"]
mod methods;
#[path = "training/setup.rs"]
#[allow(dead_code, reason = "shared with tests/training")]
mod setup;
#[path = "cuda_training/steps.rs"]
mod steps;

use setup::Setup;
use support::cuda::device;

/// The golden training on the CPU, and the same on the device.
fn both(name: &str) -> Option<[Setup; 2]> {
    let mut card = Setup::open(name);
    card.device = device()?;
    Some([Setup::open(name), card])
}

/// Largest difference over the largest number.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(f64::from(x.abs())));
    let worst = found.iter().zip(expected).fold(0.0f64, |max, (a, b)| {
        let difference = f64::from((a - b).abs());
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    });
    worst / largest.max(f64::MIN_POSITIVE)
}
