//! Every op on a CUDA device against the same op on the CPU: results, gradients of inputs, and gradients of parameters by row.
//! `scripts/test_cuda.sh` runs this on a card, or on the emulator of `tests/cuda_emulator`; without either every test says so and
//! does nothing.
#![cfg(feature = "cuda")]

mod support;

#[path = "cuda/attention.rs"]
mod attention;
#[path = "cuda/encoder.rs"]
mod encoder;
#[path = "cuda/harness.rs"]
mod harness;
#[path = "cuda/losses.rs"]
mod losses;
#[path = "cuda/ops.rs"]
mod ops;

use candle_core::Tensor;
use support::cuda::device;

#[test]
fn numbers_come_back_as_they_went() {
    let Some(device) = device() else { return };
    let numbers: Vec<f32> = (0..1000).map(|i| i as f32 * 0.5 - 100.0).collect();
    let x = Tensor::from_slice(&numbers, (40, 25), &device).unwrap();
    assert_eq!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), numbers);
    // One of candle's own kernels.
    let doubled = (&x + &x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(doubled.iter().zip(&numbers).all(|(y, x)| *y == 2.0 * x));
}
