//! The gradient store and AdamW on a CUDA device. A file of kernels (`.cu`) has its launches in the Rust file beside it.

mod kernels;
mod measure;
mod moments;
mod open;
mod recorder;
mod reduce;
mod rows;
mod staging;
mod table;

pub use moments::{DeviceMoments, DeviceStep};
pub use open::{capability, memory, name, open, set_tf32};
pub use recorder::DeviceGradient;
pub use rows::DeviceRows;
pub use staging::upload;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use candle_core::{CudaDevice, Device};

/// The CUDA device behind candle's handle.
fn cuda(device: &Device) -> Option<&CudaDevice> {
    match device {
        Device::Cuda(device) => Some(device),
        _ => None,
    }
}

/// Where the numbers lie on the device, for kernels that take several buffers at once. All work is on one stream, so the
/// address stays good for what is launched while the buffer lives.
fn address<T: DeviceRepr>(buffer: &CudaSlice<T>) -> u64 {
    buffer.device_ptr(buffer.stream()).0
}
