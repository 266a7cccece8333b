//! The devices that there are beside the CPU.

use super::cuda;
use candle_core::Device;

/// Why there is no device to compute on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFault {
    /// The program was built without the feature `cuda`.
    NotCompiled,
    /// The driver's library is not there.
    NoDriver(String),
    /// The driver is older than the program needs: its version and the needed one, as CUDA counts (13000 is 13.0).
    DriverTooOld {
        /// What the driver can.
        found: i32,
        /// What the program was built for.
        needed: i32,
    },
    /// There is a driver, but no device.
    NoDevice,
    /// The program has no kernels for a card this old: its compute capability and the oldest one, ten times (75 is 7.5).
    CardTooOld {
        /// The card's.
        found: i32,
        /// What the program was built for.
        needed: i32,
    },
    /// So many devices, and one beyond them was asked for.
    OutOfRange {
        /// How many there are.
        devices: usize,
    },
    /// A library beside the driver is not there: cuBLAS or cuRAND.
    NoLibrary(String),
    /// Something else, in the driver's words.
    Other(String),
}

/// Opens CUDA device `number`.
///
/// # Errors
/// The first reason of [`DeviceFault`] that holds.
pub fn open_device(number: usize) -> Result<Device, DeviceFault> {
    cuda::open(number)
}

/// Whether products of f32 on CUDA devices round their factors to TF32. Holds for the whole process.
pub fn set_tf32(on: bool) {
    cuda::set_tf32(on);
}

/// The name of the card; `None` for the CPU.
pub fn device_name(device: &Device) -> Option<String> {
    cuda::name(device)
}

/// Compute capability of a CUDA device, such as (8, 0); `None` for the CPU.
pub fn device_capability(device: &Device) -> Option<(i32, i32)> {
    cuda::capability(device)
}

/// Free and all memory of a device, in bytes; `None` for the CPU.
pub fn device_memory(device: &Device) -> Option<(usize, usize)> {
    cuda::memory(device)
}
