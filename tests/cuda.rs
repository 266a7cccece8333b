//! Kernels on a CUDA device against those on the CPU. `scripts/test_cuda.sh` runs this on a card, or on the emulator of
//! `tests/cuda_emulator`; without either every test says so and does nothing.
#![cfg(feature = "cuda")]

mod support;

use candle_core::{Device, Tensor};

/// The device, if there is one.
fn device() -> Option<Device> {
    match Device::new_cuda(0) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("MTL_ZOO_NEEDS_CUDA").is_some() => panic!("no CUDA device: {error}"),
        Err(_) => {
            println!("skipped: no CUDA device, and no emulator (scripts/test_cuda.sh)");
            None
        }
    }
}

#[test]
fn numbers_come_back_as_they_went() {
    let Some(device) = device() else { return };
    let numbers: Vec<f32> = (0..1000).map(|i| i as f32 * 0.5 - 100.0).collect();
    let x = Tensor::from_slice(&numbers, (40, 25), &device).unwrap();
    let back = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(back, numbers);
    // One of candle's own kernels.
    let doubled = (&x + &x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(doubled.iter().zip(&numbers).all(|(y, x)| *y == 2.0 * x));
    let square = x.matmul(&x.t().unwrap()).unwrap().to_device(&Device::Cpu).unwrap();
    let cpu = x.to_device(&Device::Cpu).unwrap();
    let expected = cpu.matmul(&cpu.t().unwrap()).unwrap();
    let error = (square - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(error < 1.0, "{error}");
}
