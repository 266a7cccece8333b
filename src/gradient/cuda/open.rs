//! Opening a CUDA device, and why it may not go.

use super::super::DeviceFault;
use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, result, sys};
use candle_core::cuda_backend::cudarc::{self};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The major version of the toolkit that compiled the kernels: the oldest driver that takes them is of that version.
const TOOLKIT: &str = env!("MTL_ZOO_CUDA_MAJOR");

/// The oldest compute capability that there are kernels for, ten times; 0 if the emulator has them.
const OLDEST: &str = env!("MTL_ZOO_CUDA_OLDEST");

/// Opens device `number`, on a stream of its own that all threads share.
///
/// # Errors
/// The first reason of [`DeviceFault`] that holds.
pub fn open(number: usize) -> std::result::Result<Device, DeviceFault> {
    let mut found = 0;
    // Where the library is absent, it says so by an error or, in other builds, by a panic.
    // SAFETY: writes one number.
    let version = caught(|| unsafe { sys::cuDriverGetVersion(&mut found) }.result());
    match version {
        Err(text) => return Err(DeviceFault::NoDriver(text)),
        Ok(Err(error)) if is_absent(&error) => return Err(DeviceFault::NoDriver(String::new())),
        Ok(_) => {}
    }
    match caught(CudaContext::device_count) {
        Ok(Ok(0)) => return Err(DeviceFault::NoDevice),
        Ok(Ok(devices)) if number >= devices as usize => {
            return Err(DeviceFault::OutOfRange { devices: devices as usize });
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.0 == sys::cudaError_enum::CUDA_ERROR_NO_DEVICE => return Err(DeviceFault::NoDevice),
        Ok(Err(error)) if is_absent(&error) => return Err(DeviceFault::NoDriver(String::new())),
        Ok(Err(error)) => return Err(DeviceFault::Other(error.to_string())),
        Err(text) => return Err(DeviceFault::NoDriver(text)),
    }
    let needed = TOOLKIT.parse::<i32>().map_or(0, |major| 1000 * major);
    if found < needed {
        return Err(DeviceFault::DriverTooOld { found, needed });
    }
    match caught(|| Device::new_cuda_with_stream(number)) {
        Ok(Ok(device)) => match (capability(&device), OLDEST.parse()) {
            (Some((major, minor)), Ok(needed)) if 10 * major + minor < needed => {
                Err(DeviceFault::CardTooOld { found: 10 * major + minor, needed })
            }
            _ => {
                prepare(&device);
                Ok(device)
            }
        },
        Ok(Err(error)) => Err(of_text(error.to_string())),
        Err(text) => Err(of_text(text)),
    }
}

fn is_absent(error: &cudarc::driver::DriverError) -> bool {
    use sys::cudaError_enum as E;
    matches!(error.0, E::CUDA_ERROR_SHARED_OBJECT_INIT_FAILED | E::CUDA_ERROR_NOT_FOUND | E::CUDA_ERROR_STUB_LIBRARY)
}

/// What a device is not made without, by the error that candle gives.
fn of_text(text: String) -> DeviceFault {
    let lower = text.to_lowercase();
    match lower.contains("cublas") || lower.contains("curand") {
        true => DeviceFault::NoLibrary(text),
        false => DeviceFault::Other(text),
    }
}

/// What `f` gives, or the words that it panics with.
fn caught<R>(f: impl FnOnce() -> R) -> std::result::Result<R, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
    })
}

/// Settings of a device for training.
fn prepare(device: &Device) {
    let Device::Cuda(cuda) = device else { return };
    // SAFETY: all work of a device is on its one stream, so nothing is used on one stream before it is ready on another.
    unsafe { cuda.disable_event_tracking() };
    // Memory that is freed stays with the program: by default each wait for the device would give all of it back, and the
    // next step would ask for it again.
    let context = cuda.cuda_stream().context().clone();
    if context.has_async_alloc() {
        let mut keep = u64::MAX;
        // SAFETY: the attribute is a u64 that the call reads. A device without the setting is only slower.
        let _ = unsafe {
            result::device::get_default_mem_pool(context.cu_device()).and_then(|pool| {
                let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
                result::mem_pool::set_attribute(pool, attribute, (&raw mut keep).cast())
            })
        };
    }
}

/// As [`set_tf32`](super::super::set_tf32); candle's products look at the same switch.
pub fn set_tf32(on: bool) {
    candle_core::cuda_backend::set_gemm_reduced_precision_f32(on);
}

/// The card's name.
pub fn name(device: &Device) -> Option<String> {
    match device {
        Device::Cuda(device) => device.cuda_stream().context().name().ok(),
        _ => None,
    }
}

/// The card's compute capability.
pub fn capability(device: &Device) -> Option<(i32, i32)> {
    match device {
        Device::Cuda(device) => device.cuda_stream().context().compute_capability().ok(),
        _ => None,
    }
}

/// Free and all memory of a device, in bytes.
pub fn memory(device: &Device) -> Option<(usize, usize)> {
    match device {
        Device::Cuda(device) => device.cuda_stream().context().mem_get_info().ok(),
        _ => None,
    }
}
