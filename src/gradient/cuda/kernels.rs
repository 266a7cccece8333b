//! The kernel files of this room, and the shapes in which they are launched.

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, LaunchConfig};
use candle_core::{CudaDevice, Result};

/// A file of kernels.
#[derive(Clone, Copy)]
pub(super) enum File {
    Rows,
    Gramian,
    AdamW,
}

/// The kernel of that name.
pub(super) fn kernel(device: &CudaDevice, file: File, name: &'static str) -> Result<CudaFunction> {
    let path = match file {
        File::Rows => "gradient/cuda/rows",
        File::Gramian => "gradient/cuda/gramian",
        File::AdamW => "gradient/cuda/adamw",
    };
    crate::cuda::kernel(device, path, name)
}

/// So many blocks of so many threads.
pub(super) fn blocks(blocks: usize, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks as u32, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

/// For a kernel that strides over `count` numbers.
pub(super) fn over(count: usize) -> LaunchConfig {
    blocks(count.div_ceil(1024).clamp(1, 2048), 256)
}

/// Threads for rows of so many numbers.
pub(super) fn across(width: usize) -> u32 {
    (width.next_multiple_of(32)).clamp(32, 256) as u32
}
