//! Kernels for CUDA devices, compiled when the program is built, and how they are launched.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule, LaunchConfig};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{CudaDevice, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The compiled kernel files by their path under `src/`, without extension.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// What was loaded, by device number. The context of a device is one for the whole process, so this holds for every
/// [`CudaDevice`] of that number.
#[derive(Default)]
struct Loaded {
    modules: HashMap<(usize, &'static str), Arc<CudaModule>>,
    functions: HashMap<(usize, &'static str, &'static str), CudaFunction>,
}

/// Kernel `name` of `file`, such as `ops/cuda/layer_norm`.
///
/// # Errors
/// If the device cannot run it, or there is none of that name.
pub fn kernel(device: &CudaDevice, file: &'static str, name: &'static str) -> Result<CudaFunction> {
    static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);
    let stream = device.cuda_stream();
    let context = stream.context();
    let number = context.ordinal();
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    if let Some(function) = loaded.functions.get(&(number, file, name)) {
        return Ok(function.clone());
    }
    let module = match loaded.modules.get(&(number, file)) {
        Some(module) => module.clone(),
        None => {
            let Some((_, binary)) = FILES.iter().find(|(path, _)| *path == file) else {
                candle_core::bail!("no kernel file {file}")
            };
            let module = context.load_module(Ptx::from_binary(binary.to_vec())).w()?;
            loaded.modules.insert((number, file), module.clone());
            module
        }
    };
    let function = module.load_function(name).w()?;
    loaded.functions.insert((number, file, name), function.clone());
    Ok(function)
}

/// A grid of blocks of `threads` threads.
pub fn grid(x: usize, y: usize, threads: usize) -> LaunchConfig {
    LaunchConfig { grid_dim: (x as u32, y as u32, 1), block_dim: (threads as u32, 1, 1), shared_mem_bytes: 0 }
}
